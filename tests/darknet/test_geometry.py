"""Sizes, counts and errors of cfgs, official and invalid ones."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.darknet.nets import cfg_of
from tests.shared import shared

from visiongarden.backends.weightless import weightless
from visiongarden.darknet import DarknetModel, parse_cfg
from visiongarden.darknet.geometry import geometry, values_of
from visiongarden.errors import ModelFileError, UserError
from visiongarden.inspect import count

REFUSED = {
    "[crnn]": ["crnn.train", "yolov3-tiny_occlusion_track"],
    "[gru]": ["gru"],
    "[lstm]": ["lstm.train"],
    "[rnn]": ["rnn", "rnn.train"],
    "extra is not": ["go", "go.test"],
    "tree of classes": ["darknet9000", "yolo9000"],
    "xnor is not": ["darknet53_448_xnor", "tiny-yolo_xnor", "xyolo.test", "yolov3-tiny_xnor"],
}
WHY = {name: why for why, names in REFUSED.items() for name in names}


def official():
    root = shared("reference")
    known = {}
    for file in sorted(root.glob("darknet/layers/*.json")):
        rows = json.loads(file.read_text())
        known[rows["file"]] = rows
    return [(path, known.get(str(path.relative_to(root)))) for path in sorted(root.rglob("*.cfg"))]


def test_official_cfgs_have_the_published_sizes():
    compared = 0
    for path, known in official():
        try:
            steps = geometry(parse_cfg(path))
        except ModelFileError as error:
            assert WHY[path.stem] in str(error), path  # noqa: PT017
            continue
        assert path.stem not in WHY or path.stem == "go.test"
        # The table counts shared kernels again, which Darknet's file holds once.
        if known is None or path.stem == "resnet152_trident":
            continue
        compared += 1
        running = sum(a.count for s in steps for a in s.arrays if "rolling" in a.name)
        assert values_of(steps) == known["weights_floats"], path
        assert running == known["bn_running"], path
        assert values_of(steps) - running == known["params"], path
        for step, row in zip(steps, known["rows"], strict=True):
            if step.kind not in ("softmax", "cost"):  # a vector here, the map above it there
                assert step.shape == (row["h"], row["w"], row["c"]), (path, step.index)
    assert compared > 110


BUILT = ["yolov3-tiny", "yolov2-tiny-voc", "yolov4-tiny", "efficientnet_b0", "cifar", "resnet50"]
REST = [
    "Gaussian_yolov3_BDD", "alexnet", "csresnext50-panet-spp", "densenet201", "enet-coco",
    "resnet152_trident", "resnext50", "yolov3-spp", "yolov4-csp-x-swish", "yolov4-p6",
    "yolov1-tiny", "yolov4-sam-mish-csp-reorg-bfm", "yolov4-tiny_contrastive",
    "yolov7x", "yolov3_5l",
]  # fmt: skip


@pytest.mark.parametrize("name", [*BUILT, *(pytest.param(n, marks=pytest.mark.slow) for n in REST)])
def test_the_graph_has_the_same_sizes(name):
    with weightless():
        model = DarknetModel(cfg_of(name))
        for step, tensor in zip(model.steps, model.layer_outputs, strict=True):
            assert tuple(tensor.shape[1:]) in (step.shape, (math.prod(step.shape),))
        assert sum(math.prod(w.shape) for w in model.weights) == values_of(model.steps)


def test_macs_are_half_of_darknets_flops():
    rows = json.loads(
        shared("reference", "darknet", "layers", "AlexeyAB__yolov3-tiny.json").read_text()
    )
    with weightless():
        model = DarknetModel(cfg_of("yolov3-tiny"))
        found = count(model)
    assert found.trainable == rows["params"] == 8_852_366
    assert found.flops / 1e9 == pytest.approx(rows["bflops"], abs=5e-4)


HEAD = "[net]\nwidth=32\nheight=32\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[net]\n[conv]\n", ["line 1, [net]", "height"]),
        ("[net]\nwidth=0\nheight=8\n[conv]\n", ["line 2", "width=0"]),
        (HEAD + "[route]\nlayers=-1\n", ["line 5", "does not refer to an earlier layer"]),
        (HEAD + "[conv]\n[route]\nlayers=-2\n", ["line 6", "-2 is layer -1"]),
        (HEAD + "[conv]\n[route]\nlayers=7\n", ["layers 0 to 0"]),
        (HEAD + "[conv]\n[route]\n", ["line 5, [route]", "layers is missing"]),
        (HEAD + "[conv]\n[maxpool]\nstride=2\n[route]\nlayers=0,1\n", ["differ in height"]),
        (HEAD + "[conv]\nfilters=3\n[route]\nlayers=0\ngroups=2\n", ["groups", "every routed"]),
        (HEAD + "[conv]\ngroups=2\n", ["line 5", "3 input channels"]),
        (HEAD + "[conv]\nactivation=lekay\n", ["line 5", "leaky"]),
        (HEAD + "[conv]\nsize=99\n", ["the output's size"]),
        (
            HEAD + "[conv]\nfilters=17\n[yolo]\nclasses=1\nnum=3\n",
            ["= 18", "filters=18 in layer 0"],
        ),
        (HEAD + "[conv]\nfilters=17\n[region]\nclasses=1\nnum=3\n", ["= 18", "received: 17"]),
        (HEAD + "[connected]\noutput=9\n[detection]\nclasses=1\ncoords=4\n", ["= 294"]),
        (HEAD + "[conv]\n[gru]\n", ["[gru] is not supported", "recurrent"]),
        (HEAD + "[conv]\n[maxpool]\nmaxpool_depth=1\n", ["maxpool_depth is not supported"]),
        (HEAD + "[conv]\n[conv]\nfilters=2\n[sam]\nfrom=0\n", ["layer 0 does not fit"]),
        (HEAD + "[conv]\nfilters=2\n[scale_channels]\nfrom=-1\n", ["(1, 1, 2)"]),
        (HEAD + "[maxpool]\nsize=3\nstride=3\n[shortcut]\nfrom=-1\nactivation=x\n", ["line 9"]),
    ],
)
def test_errors_name_line_and_fix(text, words):
    with pytest.raises(ModelFileError) as caught:
        geometry(parse_cfg(text, file="a.cfg"))
    assert all(word in str(caught.value) for word in ["a.cfg", *words]), caught.value


KINDS = st.sampled_from(
    ["conv", "maxpool", "route", "shortcut", "upsample", "yolo", "reorg", "connected", "avgpool",
     "sam", "scale_channels", "crop", "local", "softmax", "region", "dropout", "reorg3d"]
)  # fmt: skip
OPTIONS = st.dictionaries(
    st.sampled_from(
        ["filters", "size", "stride", "pad", "padding", "groups", "layers", "from", "output",
         "dilation", "num", "classes", "mask", "group_id", "crop_width", "crop_height"]
    ),
    st.integers(-3, 40) | st.sampled_from([10**6, 2**31 - 1]),
    max_size=5,
)  # fmt: skip


@given(st.lists(st.tuples(KINDS, OPTIONS), min_size=1, max_size=8))
def test_any_cfg_has_sizes_or_is_rejected(layers):
    lines = [HEAD]
    for kind, options in layers:
        lines += [f"[{kind}]", *(f"{name}={value}" for name, value in options.items())]
    try:
        steps = geometry(parse_cfg("\n".join(lines)))
    except UserError:
        return
    assert all(min(step.shape) > 0 for step in steps)
