"""Rules for published checkpoints: patterns with indices, changes of values, recognition."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.backends.weightless import weightless
from visiongarden.errors import ConfigError, UserError
from visiongarden.weights import Change, Rules, published, read_rules, transfer
from visiongarden.weights.rename import renamed

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
BLOCKS[152] = (3, 8, 36, 3)


def norm(name, count):
    names = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{leaf}": (count,) for leaf in names} | {f"{name}.num_batches_tracked": ()}


def resnet_shapes(depth, base=64, classes=1000):
    """Names and shapes of torchvision's ResNet: He et al. 2015, table 1."""
    shapes = {"conv1.weight": (base, 3, 7, 7)} | norm("bn1", base)
    taken, wide = base, 4 if depth >= 50 else 1
    for stage, repeats in enumerate(BLOCKS[depth]):
        inner = base * 2**stage
        sides = [(inner, 1), (inner, 3), (4 * inner, 1)] if wide == 4 else [(inner, 3)] * 2
        for unit in range(repeats):
            start, channels = f"layer{stage + 1}.{unit}", taken
            for j, (filters, kernel) in enumerate(sides, 1):
                shapes[f"{start}.conv{j}.weight"] = (filters, channels, kernel, kernel)
                shapes |= norm(f"{start}.bn{j}", filters)
                channels = filters
            if taken != channels or (unit == 0 and stage):
                shapes[f"{start}.downsample.0.weight"] = (channels, taken, 1, 1)
                shapes |= norm(f"{start}.downsample.1", channels)
            taken = channels
    return shapes | {"fc.weight": (classes, taken), "fc.bias": (classes,)}


def arrays(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.random(shape, dtype=np.float32) + 0.5 for name, shape in shapes.items()}


def classifier(backbone, classes=1000, **fields):
    head = vg.heads.Classification(num_classes=classes)
    return vg.Classifier(backbone, head, image_size=64, **fields)


def numbers(model):
    return {w.path: keras.ops.convert_to_numpy(w.value) for w in model.weights}


@pytest.mark.parametrize(
    ("rename", "names"),
    [
        ({"layer{n}.{i}": "stage{n+1}/unit{i+1}"}, {"layer1.0.a": "stage2/unit1.a"}),
        ({"a{n}": "b{2*n-1}"}, {"a10.w": "b19.w"}),
        ({"a{n=2..3}": "b{n-2}"}, {"a1.w": "a1.w", "a2.w": "b0.w", "a3.w": "b1.w", "a4": "a4"}),
        ({"a{n}.{n}": "b{n}"}, {"a1.1.w": "b1.w", "a1.2.w": "a1.2.w"}),
        ({"*.{n}.**.end": "{n//2}.*.**"}, {"x.5.y.z.end.w": "2.x.y.z.w"}),
        ({"a{n}": "b{n%3}"}, {"a7": "b1", "a": "a", "ab": "ab"}),
    ],
)
def test_indices(rename, names):
    assert renamed(names, rename) == names


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ({"a{n}": "b{m}"}, "is not an index on the right"),
        ({"a{n}": "b{n.real}"}, "is not an index on the right"),
        ({"a{n}": "b{print(n)}"}, "is not an index on the right"),
        ({"a{n}": "b{n**99999999}"}, "is not an index on the right"),
        ({"a{n}": "b{1//0}"}, "is not an index on the right"),
        ({"a{n+1}": "b{n}"}, "is not an index on the left"),
        ({"a{}": "b"}, "is not an index on the left"),
    ],
)
def test_invalid_indices(rename, message):
    with pytest.raises(UserError, match=message):
        renamed(["a1"], rename)
    with pytest.raises(ConfigError, match="rules mine: .*" + message):
        Rules(name="mine", names=rename)


@pytest.mark.parametrize("depth", BLOCKS)
def test_every_weight_of_torchvisions_resnets_has_its_place(depth):
    backbone = vg.backbones.ResNet(depth=depth, levels=("p5",))
    with weightless():
        model = classifier(backbone)
    shapes = resnet_shapes(depth)
    stored = {n: np.broadcast_to(np.float32(1), shape) for n, shape in shapes.items()}
    report = matched(stored, model)
    assert report.rules == "torchvision-resnet"
    assert report.coverage == report.share_of_target == 1
    assert report.only_in_source == report.differs == ()


def matched(source, model, **options):
    from visiongarden.weights.match import match
    from visiongarden.weights.sources import open_source

    with open_source(source) as opened:
        return match(opened, model, None, **options).report


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.body."])
def test_values_preprocessing_and_class_rows(prefix):
    shapes = resnet_shapes(18, base=8, classes=5)
    source = {f"{prefix}{name}": array for name, array in arrays(shapes).items()}
    if prefix:
        source |= {f"rpn.{i}.weight": np.zeros((2, 2, 1, 1), np.float32) for i in range(30)}
    model = classifier(vg.backbones.ResNet(depth=18, width=0.125, levels=("p5",)), 5)
    image = np.full((1, 64, 64, 3), 255, np.uint8)
    model.predict(image, verbose=0)  # compiles the old preprocessing
    report = transfer(source, model)
    assert report.rules == "torchvision-resnet"
    found = numbers(model)
    for name, path in {
        "layer2.0.downsample.0.weight": "backbone/stage3/unit1/shortcut/conv/kernel",
        "layer4.1.conv2.weight": "backbone/stage5/unit2/conv2/conv/kernel",
    }.items():
        np.testing.assert_array_equal(found[path], source[prefix + name].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(
        found["backbone/stage2/unit2/conv1/norm/moving_variance"],
        source[f"{prefix}layer1.1.bn1.running_var"],
    )
    np.testing.assert_array_equal(found["head/out/kernel"], source[f"{prefix}fc.weight"].T)
    assert model.preprocessing.mean == (0.485, 0.456, 0.406)
    assert "preprocessing set to" in str(report)
    white = (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
    layer = model.get_layer("preprocessing")
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(image))[0, 0, 0], white, rtol=1e-6)
    fresh = classifier(model.parts.backbone, 5, preprocessing=model.preprocessing)
    fresh.set_weights(model.get_weights())
    expected = fresh.predict(image, verbose=0)["p5"]["classes"]
    np.testing.assert_array_equal(model.predict(image, verbose=0)["p5"]["classes"], expected)


def test_a_preprocessing_that_the_user_chose_is_not_replaced():
    model = classifier(
        vg.backbones.ResNet(depth=18, width=0.125, levels=("p5",)),
        preprocessing=vg.Preprocessing(order=(2, 1, 0), scale=1.0),
    )
    before = numbers(model)
    with pytest.raises(UserError, match="preprocesses images in another way") as error:
        transfer(arrays(resnet_shapes(18, base=8)), model)
    assert "0.485" in error.value.fix
    assert all(np.array_equal(before[path], now) for path, now in numbers(model).items())


@pytest.mark.parametrize(
    ("own", "white"),
    [
        (vg.Preprocessing(dtype="uint16"), 65535),
        (vg.Preprocessing(dtype="uint16", scale=1 / 4095), 4095),
        (vg.Preprocessing(channels=1, order=(0, 0, 0)), 255),
    ],
)
def test_images_of_other_types_are_normalized_after_scaling(own, white):
    model = classifier(
        vg.backbones.ResNet(depth=18, width=0.125, levels=("p5",)), preprocessing=own
    )
    transfer(arrays(resnet_shapes(18, base=8)), model)
    images = np.full((1, 64, 64, own.channels), white, np.float32)
    found = keras.ops.convert_to_numpy(model.get_layer("preprocessing")(images))[0, 0, 0]
    expected = (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_two_swapped_tensors_are_found():
    """The conversion is by name: the same values under two exchanged names arrive exchanged."""
    source = arrays(resnet_shapes(18, base=8))
    swapped = dict(source)
    one, two = "layer1.0.conv1.weight", "layer1.0.conv2.weight"
    swapped[one], swapped[two] = source[two], source[one]
    models = []
    for each in (source, swapped):
        model = classifier(vg.backbones.ResNet(depth=18, width=0.125, levels=("p5",)))
        transfer(each, model)
        models.append(numbers(model))
    path = "backbone/stage2/unit1/conv{}/conv/kernel"
    np.testing.assert_array_equal(models[0][path.format(1)], models[1][path.format(2)])
    assert not np.array_equal(models[0][path.format(1)], models[1][path.format(1)])


def test_another_architecture_names_the_nearest_rules():
    shapes = {name: shape for name, shape in resnet_shapes(18, base=8).items() if "1" in name}
    model = classifier(vg.backbones.ResNet(depth=18, width=0.125, levels=("p5",)))
    before = numbers(model)
    with pytest.raises(UserError, match="would be copied") as error:
        transfer(arrays(shapes), model)
    assert "nearest rules: torchvision-resnet" in str(error.value)
    assert all(np.array_equal(before[path], now) for path, now in numbers(model).items())


@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_of_another_network_name_the_backbone_that_they_need(prefix):
    shapes = {f"{prefix}{name}": shape for name, shape in resnet_shapes(18, base=8).items()}
    backbone = vg.backbones.CSPDarknet(levels=("p5",), depth=0.33, width=0.0625)
    with weightless():
        model = classifier(backbone)
    with pytest.raises(UserError, match="would be copied") as error:
        transfer(arrays(shapes), model)
    assert "nearest rules: torchvision-resnet, for the backbone ResNet, which know 100%" in str(
        error.value
    )
    assert error.value.fix == "a model with the backbone ResNet"


@pytest.mark.parametrize("classes", [5, 3])
def test_class_rows_of_another_number_are_not_reported_as_copied(classes):
    source = arrays(resnet_shapes(18, base=8, classes=5))
    model = classifier(vg.backbones.ResNet(depth=18, width=0.125, levels=("p5",)), classes)
    report = transfer(source, model)
    assert report.classes.startswith("class rows were copied by position") == (classes == 5)
    assert [each.path for each in report.differs] == (
        [] if classes == 5 else ["head/out/kernel", "head/out/bias"]
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(value):
    source = arrays(resnet_shapes(18, base=8))
    source["layer3.1.conv1.weight"][3, 2, 1, 0] = value
    model = classifier(vg.backbones.ResNet(depth=18, width=0.125, levels=("p5",)))
    before = numbers(model)
    with pytest.raises(UserError, match=r"layer3.1.conv1.weight contains NaN or infinite"):
        transfer(source, model)
    assert all(np.array_equal(before[path], now) for path, now in numbers(model).items())


RULES = """
source: a network of my own
names:
  body.{n}.c: body{n+1}/conv
  body.{n}.b: body{n+1}/norm
  out: out
values:
  out/kernel: {transpose: [1, 0], reverse: [0], scale: 2.0}
"""


def own_net(folded=False, epsilon=1e-3):
    x = inputs = keras.Input((6, 6, 3))
    unit = vg.layers.ConvNormAct(4, 3, activation="relu", epsilon=epsilon, folded=folded)
    x = rename_layer(unit, "body1")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="out")(x))


def rename_layer(layer, name):
    return type(layer).from_config(layer.get_config() | {"name": name})


def own_source(bias=True, normalized=True):
    shapes = {"body.0.c.weight": (4, 3, 3, 3), "out.weight": (2, 4), "out.bias": (2,)}
    if bias:
        shapes["body.0.c.bias"] = (4,)
    if normalized:
        shapes |= norm("body.0.b", 4)
    return arrays(shapes, seed=3)


def expected(source, x, epsilon):
    """The network in NumPy, float64: a 3×3 convolution with zero padding, norm, ReLU, mean."""
    kernel = source["body.0.c.weight"].astype(np.float64)
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    y = np.einsum("bhwcij,ocij->bhwo", windows, kernel) + source.get("body.0.c.bias", 0)
    if "body.0.b.weight" in source:
        n = {
            leaf: source[f"body.0.b.{leaf}"].astype(np.float64)
            for leaf in ("weight", "bias", "running_mean", "running_var")
        }
        y = (y - n["running_mean"]) / np.sqrt(n["running_var"] + epsilon) * n["weight"] + n["bias"]
    return np.maximum(y, 0).mean((1, 2)) @ source["out.weight"].T + source["out.bias"]


@pytest.mark.parametrize(
    ("bias", "normalized", "folded"),
    [
        (False, True, False),
        (True, True, False),  # the bias moves to the mean
        (True, False, False),  # a folded source: the normalization only adds
        (True, False, True),
        (False, True, True),  # the normalization moves to kernel and bias
    ],
)
def test_folded_normalization_computes_the_same(bias, normalized, folded):
    source = own_source(bias, normalized)
    names = {"body.{n}.c": "body{n+1}/conv", "body.{n}.b": "body{n+1}/norm"}
    rules = Rules(name="mine", names=names, epsilon=0.25)
    model = own_net(folded)
    report = transfer(source, model, rules=rules, min_coverage=1.0)
    assert report.only_in_source == ()
    x = np.random.default_rng(0).random((2, 6, 6, 3), dtype=np.float32)
    found = keras.ops.convert_to_numpy(model(x, training=False))
    np.testing.assert_allclose(found, expected(source, x, 0.25), rtol=1e-5)


@pytest.mark.parametrize("kind", ["yaml", "python", "value"])
def test_rules_of_the_user(tmp_path, kind):
    path = tmp_path / "mine.yaml"
    path.write_text(RULES)
    rules = read_rules(path)
    assert rules.name == "mine"
    assert Rules.from_dict(rules.to_dict()) == rules
    if kind == "python":
        path = tmp_path / "mine.py"
        path.write_text(
            f"import visiongarden as vg\nrules = vg.weights.Rules.from_dict({rules.to_dict()!r})\n"
        )
    model = own_net()
    source = own_source(bias=False)
    report = transfer(source, model, rules=rules if kind == "value" else path)
    assert report.rules == "mine"
    found = numbers(model)["out/kernel"]
    np.testing.assert_array_equal(found, 2 * source["out.weight"].T[::-1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: {a: b}\nunknown: 1\n", "unknown"),
        ("names: {a: b}\nvalues: {a: {transpose: [0, 0]}}\n", "transpose is"),
        ("names: {a: b}\nvalues: {a: {reshape: [-1, -1]}}\n", "reshape is"),
        ("source: nothing\n", "names"),
    ],
)
def test_invalid_rules(tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_rules(tmp_path / "mine.yaml")


def test_unknown_rules_and_files(tmp_path):
    with pytest.raises(ConfigError, match="unknown rules") as error:
        read_rules("torchvision-resnets")
    assert "torchvision-resnet" in error.value.fix
    with pytest.raises(ConfigError, match="there is no file"):
        read_rules(tmp_path / "mine.yaml")
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(ConfigError, match="does not define rules"):
        read_rules(tmp_path / "empty.py")


def test_a_change_keeps_what_it_does_not_name():
    array = np.arange(6, dtype=np.float16).reshape(2, 3)
    assert Change().apply(array) is array
    assert Change(scale=0.5).apply(array).dtype == np.float16
    np.testing.assert_array_equal(Change(reshape=(3, -1)).apply(array), array.reshape(3, 2))
    kernel = np.arange(12).reshape(1, 1, 6, 2)  # the input channels are three maps of two
    parts = Change(input_parts=(2, 0, 1)).apply(kernel)
    np.testing.assert_array_equal(parts, kernel[:, :, [4, 5, 0, 1, 2, 3]])
    with pytest.raises(ValueError, match="equal division"):
        Change(input_parts=(1, 0)).apply(np.zeros((1, 1, 3, 2)))
    with pytest.raises(ConfigError, match="input_parts is"):
        Change(input_parts=(0, 2))


def test_published_rules_state_where_their_weights_come_from():
    assert [rules.name for rules in published()] == sorted(rules.name for rules in published())
    assert all(rules.source and rules.names for rules in published())


def test_the_rules_in_the_documentation_are_valid(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "weights.md").read_text(encoding="utf-8")
    text = next(block for block in page.split("```yaml\n")[1:] if "names:" in block)
    (tmp_path / "mine.yaml").write_text(text.partition("```")[0])
    rules = read_rules(tmp_path / "mine.yaml")
    assert rules.renamed("body.1.0.c2.weight") == "backbone/stage3/unit1/conv2/conv.weight"
    assert all(f"`{each.name}`" in page for each in published())
