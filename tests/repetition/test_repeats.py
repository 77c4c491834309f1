"""Repeats are found in models of all sources, as often as in the papers' tables."""

import contextlib
import random
import runpy
import subprocess
import sys

import keras
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.shared import shared

import visiongarden as vg
from visiongarden.backends.sublayers import with_sublayers
from visiongarden.errors import UserError
from visiongarden.graphs import Op, graph
from visiongarden.repetition import repeats, repeats_of, write


def found(source):
    """Copies, arguments and the first step of each repeat, largest saving first."""
    return [
        (len(each.places), each.parameters, len(each.steps)) for each in repeats(source).repeats
    ]


# Counted by hand in the cfgs: copies, what varies, steps. Darknet-53 has 1-2-8-8-4 units (YOLOv3,
# table 1); YOLOv4's stages are the same units between two 1×1; DenseNet-201 has 6-12-48-32;
# ResNet-50 has 3-4-6-3 units, of which the first of a stage differ; VGG-16 has 2-2-3-3-3.
UNIT, STAGE = (23, ("filters",), 3), (5, ("filters", "repeats"), 2)
CFGS = {
    "darknet53": [STAGE, UNIT],
    "yolov3": [STAGE, UNIT],
    "yolov4": [(5, ("filters", "hidden", "repeats"), 7), (23, ("filters", "hidden"), 3)],
    "csdarknet53-omega": [(5, ("filters", "hidden", "repeats"), 7), (23, ("filters", "hidden"), 3)],
    "yolov4-csp": [(4, ("filters", "repeats"), 7), (23, ("filters", "hidden"), 3)],
    "densenet201": [(3, ("filters", "repeats"), 3), (98, (), 3)],
    "resnet50": [(3, ("filters", "repeats"), 5), (12, ("filters",), 2)],
    "resnet152": [(3, ("filters", "repeats"), 5), (46, ("filters",), 2)],
    "vgg-16": [(5, ("filters", "repeats"), 2)],
    "yolov3-tiny": [(5, ("filters",), 2)],
}


@pytest.mark.parametrize("name", CFGS)
def test_cfgs(name):
    listed = found(shared("reference", "darknet", "AlexeyAB", "cfg", f"{name}.cfg"))
    expected = CFGS[name]
    assert [copies for copies, _, _ in listed[: len(expected)]] == [row[0] for row in expected]
    if name not in ("resnet50", "resnet152", "yolov4-csp", "densenet201"):
        assert listed[: len(expected)] == expected


def test_places_and_steps_of_darknet53():
    result = repeats(shared("reference", "darknet", "AlexeyAB", "cfg", "darknet53.cfg"))
    stage, unit = result.repeats
    assert [place.arguments for place in stage.places] == [
        {"filters": filters, "repeats": repeats}
        for filters, repeats in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))
    ]
    # 5 downsamplings and 23 units of 3 lines; the block has 5 lines, written out.
    assert (stage.flat, stage.lines, stage.saves) == (74, 5, 64)
    assert (unit.flat, unit.lines, unit.saves) == (69, 3, 43)
    assert unit.used_in == (stage.name,)
    assert unit.steps == (
        "conv 1×1, filters // 2, batch norm, leaky_relu",
        "conv 3×3, filters, batch norm, leaky_relu",
        "add of 2 and the entry",
    )
    assert "lines 41-65: convolutional 1 … shortcut 4  filters=64 repeats=1" in str(result)
    listed = result.to_dict()
    assert (listed["unit"], listed["operations"]) == ("line", 78)
    assert listed["repeats"][1]["copies"] == 23


def test_repeats_do_not_depend_on_the_grouping_of_layers():
    own = found(vg.backbones.Darknet53(width=0.25).as_model())
    assert own == [STAGE, UNIT]
    inputs = keras.Input((64, 64, 3))
    outer = keras.Model(inputs, vg.backbones.Darknet53(width=0.25).as_model()(inputs)["p5"])
    assert found(outer) == own


def test_the_search_does_not_change_the_model():
    model = vg.backbones.Darknet53(width=0.1).as_model()
    stage = model.get_layer("stage2")
    before = [len(layer._inbound_nodes) for layer in with_sublayers(model)]
    first = found(model)
    assert [len(layer._inbound_nodes) for layer in with_sublayers(model)] == before
    assert found(model) == first
    assert stage.output.shape[-1] == 12


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # 16 units, of which 4 project; the three stages of stride 2 are alike.
        ("ResNet50", [(3, 6), (12, 4)]),
        # Sandler et al. 2018, table 2: 17 units, of which 10 add their input.
        ("MobileNetV2", [(4, 4), (10, 4)]),
    ],
)
def test_keras_applications(name, expected):
    model = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3))
    listed = found(model)
    assert [(copies, steps) for copies, _, steps in listed[:2]] == expected


def test_a_plain_keras_file_executes_no_code(tmp_path):
    inputs = keras.Input((16, 16, 4))
    x = inputs
    for _ in range(4):
        y = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(x)
        x = keras.layers.Add()([x, keras.layers.Conv2D(4, 1)(y)])
    keras.Model(inputs, x).save(tmp_path / "plain.keras")
    assert found(tmp_path / "plain.keras") == [(4, (), 3)]
    keras.Sequential([inputs, keras.layers.Lambda(lambda x: x)]).save(tmp_path / "code.keras")
    with pytest.raises(UserError, match=r"custom layers or code: .*Lambda"):
        repeats(tmp_path / "code.keras")


def onnx_file(path, units, half=False, dilation=1):
    """`units` of two convolutions, x · sigmoid(x) and an addition, filters 8 then 16."""
    onnx = pytest.importorskip("onnx")
    make, nodes, weights, last, channels = onnx.helper.make_node, [], [], "x", 4
    for filters, count in ((8, units), (16, units)):
        sizes = [(filters, channels, 3, 2)]
        sizes += [(filters, filters, 3, 1)] * count
        for i, (out, into, kernel, stride) in enumerate(sizes):
            name = f"f{filters}_{i}"
            shape = (out, into, kernel, kernel)
            weights.append(onnx.helper.make_tensor(name, 1, shape, [0.0] * (out * into * 9)))
            step = dilation if stride == 1 else 1
            spread = {"strides": [stride] * 2, "pads": [step] * 4, "dilations": [step] * 2}
            nodes += [
                make("Conv", [last, name], [f"{name}c"], **spread),
                make("Sigmoid", [f"{name}c"], [f"{name}s"]),
                make("Mul", [f"{name}c", f"{name}s"], [f"{name}a"]),
            ]
            if i:
                nodes.append(make("Add", [last, f"{name}a"], [f"{name}o"]))
            last = f"{name}o" if i else f"{name}a"
        channels = filters
    value = onnx.helper.make_tensor_value_info
    ends = [value("x", 1, [1, 4, 32, 32])], [value(last, 1, [1, 16, 8, 8])]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", *ends, weights))
    data = model.SerializeToString()
    path.write_bytes(data[: len(data) // 2] if half else data)
    return path


@pytest.mark.parametrize("dilation", [1, 2])
def test_onnx(tmp_path, dilation):
    result = repeats(onnx_file(tmp_path / "net.onnx", 3, dilation=dilation))
    stage, unit = result.repeats
    assert (len(stage.places), len(unit.places)) == (2, 6)
    assert stage.steps == ("conv 3×3 / 2, filters, silu", f"3 × {unit.name}(filters=filters)")
    module, test, refused = write(result, tmp_path / f"found{dilation}.py")
    assert not refused
    assert passes(test)
    assert ('padding="same", dilation_rate=2' in module.read_text()) == (dilation == 2)


def test_a_truncated_onnx_file(tmp_path):
    with pytest.raises(UserError, match=r"cut\.onnx"):
        repeats(onnx_file(tmp_path / "cut.onnx", 3, half=True))


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.binary(max_size=300), where=st.integers(0, 4000))
def test_damaged_files_raise_only_user_errors(tmp_path_factory, data, where):
    folder = tmp_path_factory.mktemp("fuzz")
    valid = onnx_file(folder / "valid.onnx", 1).read_bytes()
    bad = folder / "bad.onnx"
    bad.write_bytes(valid[:where] + data + valid[where + len(data) :])
    cfg = folder / "bad.cfg"
    cfg.write_bytes(b"[net]\nchannels=3\n[convolutional]\nfilters=2\n" + data)
    for path in (bad, cfg):
        with contextlib.suppress(UserError):
            repeats(path)


@pytest.mark.parametrize("name", ["none.cfg", "none.onnx", "model.h5"])
def test_other_files_are_named(tmp_path, name):
    if name == "model.h5":
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=name):
        repeats(tmp_path / name)


# A chain of stages with random units: the search must find them.


def synthetic(stages, seed=0):
    """Stages of (width, units): a stride-2 convolution, then units with a branch that rejoins."""
    random_kinds = random.Random(seed)
    kernel = random_kinds.choice([3, 5, 7])
    ops = [Op("input", ())]

    def conv(reads, width, kernel, stride=1):
        fixed = (("act", "relu"), ("kernel", (kernel, kernel)), ("norm", "batch"))
        ops.append(Op("conv", (reads,), (*fixed, ("stride", (stride, stride))), width))
        return len(ops) - 1

    x = 0
    for width, units in stages:
        x = conv(x, width, 3, stride=2)
        for _ in range(units):
            y = conv(conv(x, width // 2, 1), width, kernel)
            z = conv(x, width, 1)
            ops.append(Op("concat", (y, z)))
            ops.append(Op("add", (x, conv(len(ops) - 1, width, 1))))
            x = len(ops) - 1
    return graph(ops, [x])


@settings(max_examples=30, deadline=None)
@given(
    stages=st.lists(
        st.tuples(st.sampled_from([16, 32, 64]), st.integers(1, 5)), min_size=3, max_size=6
    ),
    seed=st.integers(0, 9),
)
def test_stages_are_found(stages, seed):
    result = repeats_of(synthetic(stages, seed))
    units = sum(count for _, count in stages)
    counts = {len(each.places): each for each in result.repeats}
    one = {count for _, count in stages} == {1}
    assert (len(stages) if one else units) in counts
    assert sum(each.flat for each in result.repeats if each.flat > result.operations) == 0
    if len({count for _, count in stages}) > 1:
        stage = next(each for each in result.repeats if "repeats" in each.parameters)
        assert [place.arguments["repeats"] for place in stage.places] == [n for _, n in stages]


def test_nothing_repeats():
    ops = [Op("input", ()), *(Op(f"kind{i}", (i,)) for i in range(9))]
    result = repeats_of(graph(ops, [9]))
    assert result.repeats == ()
    assert "no repeated sub-structure" in str(result)


# Generated blocks.


def passes(test):
    """Run the generated test in this process; return whether it has cases."""
    space = runpy.run_path(str(test))
    for case in space["CASES"]:
        space["test_block_matches_its_regions"](*case)
    return bool(space["CASES"])


@pytest.mark.parametrize(
    "name",
    ["vgg-16", *(pytest.param(n, marks=pytest.mark.slow) for n in ("yolov4", "yolo-fastest"))],
)
def test_generated_blocks_match_their_regions_and_pass_ruff(tmp_path, name):
    folder = "yolo_fastest" if name == "yolo-fastest" else "darknet"
    path = next(shared("reference", folder).rglob(f"{name}.cfg"))
    result = repeats(path)
    module, test, _ = write(result, tmp_path / "blocks.py")
    for arguments in (["check", "--select", "E,F,I,B,UP,C4,PT"], ["format", "--check"]):
        ran = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--isolated", "--line-length", "100",
             module, test],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout
    assert passes(test)


def test_a_generated_block_computes_the_same(tmp_path):
    result = repeats(vg.backbones.Darknet53(width=0.25).as_model())
    module, _, _ = write(result, tmp_path / "same_numbers.py")
    space = {"__name__": "same_numbers"}
    exec(compile(module.read_text(), module, "exec"), space)  # noqa: S102
    unit = next(each for each in result.repeats if len(each.places) == 23)
    original = vg.blocks.Residual(16, activation="leaky_relu")
    written = space[unit.name](filters=16)
    image = keras.random.normal((2, 8, 8, 16), seed=0)
    original(image), written(image)
    written.set_weights(original.get_weights())
    difference = keras.ops.max(keras.ops.abs(original(image) - written(image)))
    assert float(difference) == 0


def test_atrous_convolutions_are_written_as_conv_norm_act(tmp_path):
    inputs = x = keras.Input((16, 16, 4))
    for filters in (8, 8, 16, 16):
        y = vg.layers.ConvNormAct(filters, 3, activation="relu", dilation=2)(x)
        y = vg.layers.ConvNormAct(filters, 1, activation="relu")(y)
        x = keras.layers.Concatenate()([x, y])
    result = repeats(keras.Model(inputs, x))
    module, test, refused = write(result, tmp_path / "atrous.py")
    assert not refused
    assert 'ConvNormAct(filters, 3, activation="relu", dilation=2)' in module.read_text()
    assert passes(test)


def test_nothing_is_overwritten(tmp_path):
    result = repeats(vg.backbones.Darknet53(width=0.1).as_model())
    (tmp_path / "test_mine.py").write_text("mine")
    with pytest.raises(UserError, match=r"test_mine\.py already exists"):
        write(result, tmp_path / "mine.py")
    assert [path.name for path in tmp_path.iterdir()] == ["test_mine.py"]
    for name in ("blocks.txt", "not a name.py", "class.py"):
        with pytest.raises(UserError, match="cannot write"):
            write(result, tmp_path / name)


def test_names_from_a_file_stay_text(tmp_path):
    evil = tmp_path / 'a"""\nimport os\n.cfg'
    layer = (
        "[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=relu\n[maxpool]\nsize=2\nstride=2\n"
    )
    evil.write_text("[net]\nchannels=3\n" + layer * 4)
    module, _, _ = write(repeats(evil), tmp_path / "safe.py")
    assert "import os" not in module.read_text().splitlines()


@vg.register(package="test_repeats")
class Scale(keras.layers.Layer):
    """Custom layer with one factor per channel."""

    def __init__(self, start=1.0, mode="plain", sides=(1, 1), **kwargs):
        super().__init__(**kwargs)
        self.start, self.mode, self.sides = start, mode, sides

    def build(self, input_shape):
        self.factor = self.add_weight(
            shape=(input_shape[-1],), initializer=keras.initializers.Constant(self.start)
        )

    def call(self, x):
        return x * self.factor

    def get_config(self):
        own = {"start": self.start, "mode": self.mode, "sides": self.sides}
        return super().get_config() | own


def test_registered_layers_are_written(tmp_path):
    inputs = x = keras.Input((16, 16, 8))
    for filters in (8, 8, 16, 16):
        y = vg.layers.ConvNormAct(filters, 3, activation="relu")(x)
        y = Scale(0.5, sides=(2, 3))(y)
        y = vg.layers.ConvNormAct(filters, 1, activation="relu")(y)
        x = keras.layers.Concatenate()([x, y])
    result = repeats(keras.Model(inputs, x))
    module, test, refused = write(result, tmp_path / "scaled.py")
    assert not refused
    text = module.read_text()
    assert f"from {__name__} import Scale\n" in text
    assert "Scale(start=0.5, sides=(2, 3))" in text
    assert passes(test)
