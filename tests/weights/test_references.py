"""Checkpoints of torchvision, timm and Keras: the outputs of the reference implementations.

The files in `references` contain names, shapes and outputs that
`benchmarks/references/torch_models.py` wrote in a separate environment; both sides compute the
weights from names and shapes.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from benchmarks.references.numbers import images, sample, weights

import visiongarden as vg
from visiongarden.backends.weightless import weightless
from visiongarden.weights import read_rules

FOLDER = Path(__file__).parent / "references"
SIZE = (64, 96)
TOP = {"top_channels": 1280, "levels": ("p5",)}
backbones = vg.backbones

CASES = {
    "torchvision-resnet18": (backbones.ResNet(depth=18, levels=("p5",)), "torchvision-resnet"),
    "torchvision-resnet50": (backbones.ResNet(depth=50, levels=("p5",)), "torchvision-resnet"),
    "torchvision-mobilenet_v2": (backbones.MobileNetV2(**TOP), "torchvision-mobilenetv2"),
    "timm-resnet34": (backbones.ResNet(depth=34, levels=("p5",)), "torchvision-resnet"),
    "timm-mobilenetv2_100": (backbones.MobileNetV2(**TOP), "timm-mobilenetv2"),
    "timm-mobilenetv2_140": (
        backbones.MobileNetV2(**TOP | {"top_channels": 1792}, width=1.4),
        "timm-mobilenetv2",
    ),
    "timm-efficientnet_lite0": (
        backbones.EfficientNetLite0(**TOP, asymmetric=False),
        "timm-efficientnet-lite0",
    ),
    "timm-tf_efficientnet_lite0": (
        backbones.EfficientNetLite0(**TOP),
        "timm-tf-efficientnet-lite0",
    ),
}
FAST = ["torchvision-mobilenet_v2"]


def classifier(backbone, classes=1000):
    return vg.Classifier(backbone, vg.heads.Classification(num_classes=classes), image_size=SIZE)


def logits(model):
    return keras.ops.convert_to_numpy(model(images(*SIZE), training=False)["p5"]["classes"])


def stored(name):
    with np.load(FOLDER / f"{name}.npz") as found:
        shapes = [tuple(int(side) for side in text.split(",") if side) for text in found["shapes"]]
        named = dict(zip(map(str, found["names"]), shapes, strict=True))
        return named, found["logits"], float(found["deviation"][0])


def state_of(shapes):
    """The numbers of a checkpoint; its counters of batches are not weights."""
    counters = {name: np.int64(0) for name in shapes if name.endswith("num_batches_tracked")}
    return weights({n: s for n, s in shapes.items() if n not in counters}) | counters


def difference(state, backbone, expected):
    model = classifier(backbone)
    report = vg.transfer(state, model, min_coverage=1.0)
    return report, np.abs(sample(logits(model)) - expected).max()


# On JAX, these take too long, because a single call compiles every operation.
SLOW = (pytest.mark.slow, pytest.mark.slow_backends("torch"))


@pytest.mark.parametrize("name", [n if n in FAST else pytest.param(n, marks=SLOW) for n in CASES])
@pytest.mark.slow_backends
def test_outputs_of_the_reference(name):
    backbone, rules = CASES[name]
    shapes, expected, deviation = stored(name)
    assert deviation > 0.1
    state = state_of(shapes)
    report, found = difference(state, backbone, expected)
    assert (report.rules, report.share_of_target, report.share_of_source) == (rules, 1, 1)
    assert found <= 1e-4 * deviation
    by_shape = {}
    for weight, shape in shapes.items():
        if len(shape) == 4:
            by_shape.setdefault(shape, []).append(weight)
    one, two = max(by_shape.values(), key=len)[:2]
    state[one], state[two] = state[two], state[one]
    _, swapped = difference(state, backbone, expected)
    assert swapped > 1e-4 * deviation


def test_padding_that_shapes_do_not_show():
    """Weights of TensorFlow need another padding than those that timm trained."""
    shapes, *_ = stored("torchvision-mobilenet_v2")
    model = classifier(backbones.MobileNetV2(**TOP, asymmetric=True))
    with pytest.raises(vg.UserError, match="computes something else") as error:
        vg.transfer(state_of(shapes), model)
    assert error.value.fix == "MobileNetV2(levels=('p5',), top_channels=1280)"


def stored_of_keras_hub(depth):
    with np.load(FOLDER / f"keras-hub-resnet{depth}.npz") as found:
        shapes = [tuple(int(side) for side in text.split(",")) for text in found["shapes"]]
        named = dict(zip(map(str, found["names"]), shapes, strict=True))
        return named, found["features"], float(found["deviation"])


def test_names_of_keras_hub():
    named, *_ = stored_of_keras_hub(50)
    with weightless():
        model = backbones.ResNet(depth=50, levels=("p5",)).as_model(image_size=SIZE)
    rules = read_rules("keras-hub-resnet")
    paths = {rules.renamed(name): shape[::-1] for name, shape in named.items()}
    assert paths == {weight.path: tuple(weight.shape) for weight in model.weights}


@pytest.mark.slow
@pytest.mark.slow_backends
@pytest.mark.parametrize("depth", [18, 50])
def test_features_of_keras_hub(depth):
    """Written by `benchmarks/references/keras_hub_models.py`."""
    named, expected, deviation = stored_of_keras_hub(depth)
    assert deviation > 0.1
    state = {name: array.T for name, array in weights(named).items()}
    model = classifier(backbones.ResNet(depth=depth, levels=("p5",)), classes=2)
    two = "stack3_block1_1_conv/kernel", "stack3_block2_1_conv/kernel"
    if depth == 18:
        two = "stack3_block1_1_conv/kernel", "stack3_block1_2_conv/kernel"
    for exchanged in (False, True):
        if exchanged:
            state |= {two[0]: state[two[1]], two[1]: state[two[0]]}
        report = vg.transfer(state, model, min_coverage=1.0)
        assert (report.rules, report.coverage) == ("keras-hub-resnet", 1)
        features = model.features(images(*SIZE))["backbone"]["p5"]
        found = np.abs(sample(keras.ops.convert_to_numpy(features)) - expected).max()
        assert (found <= 1e-4 * deviation) != exchanged


def keras_network(name):
    build = {"MobileNetV2": keras.applications.MobileNetV2, "ResNet50": keras.applications.ResNet50}
    network = build[name](weights=None, input_shape=(*SIZE, 3), classes=7)
    network.get_layer("predictions").activation = keras.activations.linear
    for weight in network.weights:
        shape = tuple(weight.shape)
        value = weights({weight.path: shape[::-1]})[weight.path]
        weight.assign(value.transpose() if len(shape) > 1 else value)
    return network


@pytest.mark.parametrize(
    "kind",
    [
        "weights",
        pytest.param("file", marks=pytest.mark.slow),
        pytest.param("model", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    ("name", "backbone", "rules"),
    [
        (
            "MobileNetV2",
            backbones.MobileNetV2(**TOP, asymmetric=True),
            "keras-mobilenetv2",
        ),
        pytest.param(
            "ResNet50",
            backbones.ResNet(depth=50, stride_in=1, levels=("p5",)),
            "keras-resnet",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_networks_of_keras(tmp_path, name, backbone, rules, kind):
    source = network = keras_network(name)
    if kind != "model":
        source = tmp_path / ("m.keras" if kind == "file" else "m.weights.h5")
        (network.save if kind == "file" else network.save_weights)(source)
    model = classifier(backbone, classes=7)
    report = vg.transfer(source, model, min_coverage=1.0)
    assert (report.rules, report.share_of_target) == (rules, 1)
    module = {"MobileNetV2": "mobilenet_v2", "ResNet50": "resnet50"}[name]
    prepare = vars(keras.applications)[module].preprocess_input
    prepared = prepare(images(*SIZE).astype(np.float32))
    expected = keras.ops.convert_to_numpy(network(prepared, training=False))
    assert expected.std() > 0.1
    assert np.abs(logits(model) - expected).max() <= 1e-4 * expected.std()


def stored_of_yolox():
    """Written by `benchmarks/references/yolox_models.py`."""
    with np.load(FOLDER / "yolox-darknet53.npz") as found:
        shapes = [tuple(int(side) for side in text.split(",") if side) for text in found["shapes"]]
        deviation = dict(zip(map(str, found["outputs"]), found["deviation"], strict=True))
        outputs = {name: (found[name], deviation[name]) for name in deviation}
        return dict(zip(map(str, found["names"]), shapes, strict=True)), outputs


def test_names_of_yolox_darknet53():
    named, _ = stored_of_yolox()
    counted = [n for n in named if "running_" not in n and not n.endswith("num_batches_tracked")]
    parameters = sum(int(np.prod(named[name])) for name in counted)
    assert parameters == vg.cards.load("yolox-darknet53").params == 63_724_767
    rules = read_rules("yolox-darknet53")
    with weightless():
        model = vg.cards.build("yolox-darknet53")
    layers = {weight.path.rpartition("/")[0] for weight in model.weights}
    renamed = {rules.renamed(name).replace(".", "/").rpartition("/")[0] for name in named}
    assert renamed == layers


@pytest.mark.slow
@pytest.mark.slow_backends("torch")
def test_outputs_of_yolox_darknet53():
    named, outputs = stored_of_yolox()
    state = state_of(named)
    model = vg.cards.build("yolox-darknet53", image_size=SIZE)
    for exchanged in (False, True):
        if exchanged:
            one, two = (f"backbone.backbone.dark3.{i}.layer2.conv.weight" for i in (1, 2))
            state[one], state[two] = state[two], state[one]
        report = vg.transfer({"model": state}, model, min_coverage=1.0)
        assert (report.rules, report.share_of_target) == ("yolox-darknet53", 1)
        assert model.preprocessing.order == (2, 1, 0)
        raw = model(images(*SIZE), training=False)
        levels = model.features(images(*SIZE))["decoder"]
        found = {f"{level} features": x for level, x in levels.items()}
        found |= {f"{level} {name}": x for level in raw for name, x in raw[level].items()}
        assert found.keys() == outputs.keys()
        differs = [
            name
            for name, (expected, deviation) in outputs.items()
            if np.abs(sample(keras.ops.convert_to_numpy(found[name]), 256) - expected).max()
            > 1e-4 * deviation
        ]
        assert sorted(differs) == (sorted(outputs) if exchanged else [])


@pytest.mark.parametrize(
    ("part", "fields", "message"),
    [
        ("decoder", {"pool_sizes": (5, 9, 13)}, "the decoder computes something else"),
        ("head", {"activation": "silu"}, "the head computes something else"),
    ],
)
def test_fields_of_yolox_darknet53_that_shapes_do_not_show(part, fields, message):
    named, _ = stored_of_yolox()
    parts = vg.cards.load("yolox-darknet53").model
    chosen = {name: vars(parts)[name] for name in ("backbone", "decoder", "head")}
    chosen[part] = chosen[part].replace(**fields)
    with weightless():
        model = vg.Detector(**chosen, image_size=SIZE)
    state = {name: np.broadcast_to(np.float32(1), shape) for name, shape in named.items()}
    with pytest.raises(vg.UserError, match=message):
        vg.transfer(state, model)
