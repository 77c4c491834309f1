"""Models of every precision, size, backend and origin export, or raise an early error."""

import json

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.errors import UserError
from visiongarden.exporters import export
from visiongarden.testing.instances import randomize

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@vg.register(package="test_export_models")
class GroupedBottleneck(vg.layers.Composite):
    """ResNeXt's and RegNet's block: 1×1, grouped 3×3, squeeze-and-excitation, 1×1, addition."""

    def __init__(self, filters, groups, strides=1, **kwargs):
        super().__init__(**kwargs)
        self.reduce = vg.layers.ConvNormAct(filters, 1)
        self.grouped = keras.layers.Conv2D(
            filters, 3, strides=strides, padding="same", groups=groups
        )
        self.squeeze = keras.layers.GlobalAveragePooling2D(keepdims=True)
        self.excite = keras.layers.Conv2D(filters, 1, activation="sigmoid")
        self.expand = vg.layers.ConvNormAct(filters, 1, activation=None)
        self.shortcut = vg.layers.ConvNormAct(filters, 1, strides=strides, activation=None)
        self.sum = vg.layers.Sum()

    def call(self, x):
        y = self.grouped(self.reduce(x))
        return self.sum([self.expand(y * self.excite(self.squeeze(y))), self.shortcut(x)])


@vg.register(package="test_export_models")
class RegNet(vg.Backbone):
    """Stages of grouped bottlenecks, each of half the size."""

    def wire(self, images):
        x, maps = vg.layers.ConvNormAct(8, 3, strides=2, name="stem")(images), {}
        for number, groups in enumerate((1, 2, 4, 8), start=2):
            x = GroupedBottleneck(8 * groups, groups, strides=2, name=f"stage{number}")(x)
            maps[f"p{number}"] = x
        return {level: maps[level] for level in self.levels}


@pytest.mark.slow
@pytest.mark.backends
def test_grouped_convolutions(tmp_path):
    model = vg.Detector(
        backbone=RegNet(),
        decoder=vg.decoders.FPN(channels=16),
        head=vg.heads.AnchorFree(num_classes=2, bins=4, box_groups=4),
        image_size=(64, 96),
    )
    randomize(model)
    assert export(model, tmp_path / "m.onnx").parity.agrees
    kinds = {
        attribute.i
        for node in onnx.load(str(tmp_path / "m.onnx")).graph.node
        for attribute in node.attribute
        if node.op_type == "Conv" and attribute.name == "group"
    }
    assert kinds == {1, 2, 4, 8}


@vg.register(package="test_export_models")
class SizeInTheGraph(vg.Backbone):
    """Uses the size of the image as a number, in the graph or in the shape of a weight."""

    levels: tuple[str, ...] = ("p1",)
    as_weight: bool = False

    def wire(self, images):
        x = keras.layers.Conv2D(4, 2, 2, name="patches")(images)
        height, width = x.shape[1:3]
        if self.as_weight:
            flat = keras.layers.Flatten()(x)
            x = keras.layers.Reshape(x.shape[1:])(
                keras.layers.Dense(flat.shape[-1], name="dense")(flat)
            )
        return {"p1": keras.layers.Rescaling(1 / (height * width), name="p1")(x)}


def classifier(dtype=None, backbone=None, size=16):
    model = vg.Classifier(
        backbone=backbone or SizeInTheGraph(),
        head=vg.heads.Classification(num_classes=3),
        image_size=size,
        dtype=dtype,
    )
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "variance" not in weight.path:
            weight.assign(weight + 0.1 * rng.normal(size=weight.shape))
    return model


def softmax_of(model, images):
    (raw,) = keras.tree.flatten(model(images, training=False))
    return keras.ops.convert_to_numpy(keras.ops.softmax(raw))


def scores_of(path, images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["scores"], {"images": images})[0]


@pytest.mark.parametrize(
    "policy", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)]
)
def test_mixed_precision_is_exported_in_float32(tmp_path, policy):
    """The file's scores are those of the same weights in float32, not the rounded ones."""
    model = classifier(policy)
    assert export(model, tmp_path / "m.onnx").parity.agrees
    exact = classifier("float32")
    for weight, other in zip(model.weights, exact.weights, strict=True):
        other.assign(weight.value)
    images = np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
    scores = scores_of(tmp_path / "m.onnx", images)
    np.testing.assert_allclose(scores, softmax_of(exact, images), atol=1e-5)
    types = {t.data_type for t in onnx.load(str(tmp_path / "m.onnx")).graph.initializer}
    assert not types & {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    assert model.dtype_policy.name == policy


@vg.register(package="test_export_models")
class AlwaysBfloat16(vg.Backbone):
    """A layer with a separate precision."""

    levels: tuple[str, ...] = ("p1",)

    def wire(self, images):
        return {"p1": keras.layers.Conv2D(4, 2, 2, dtype="bfloat16", name="half")(images)}


def test_a_bfloat16_layer_is_an_error_before_the_conversion(tmp_path, monkeypatch):
    monkeypatch.setattr("visiongarden.exporters.onnx.convert", lambda *_: pytest.fail("too late"))
    with pytest.raises(UserError, match="half computes in bfloat16"):
        export(classifier(backbone=AlwaysBfloat16()), tmp_path / "m.onnx")


def test_another_size_is_built_again(tmp_path):
    model = classifier()
    assert export(model, tmp_path / "m.onnx", image_size=32).parity.agrees
    resized = model.resized((32, 32))
    resized.set_weights(model.get_weights())
    images = np.random.default_rng(1).integers(0, 256, (1, 32, 32, 3)).astype(np.uint8)
    scores = scores_of(tmp_path / "m.onnx", images)
    np.testing.assert_allclose(scores, softmax_of(resized, images), atol=1e-5)
    metadata = {p.key: p.value for p in onnx.load(str(tmp_path / "m.onnx")).metadata_props}
    assert json.loads(metadata["image_size"]) == [32, 32]


@pytest.mark.parametrize(
    ("backbone", "size", "message"),
    [
        (SizeInTheGraph(as_weight=True), 32, "different weights for images of 32 × 32"),
        (vg.backbones.ResNet(depth=18, levels=("p5",)), 48, "32, 64|64, 64|multiple"),
    ],
)
def test_an_invalid_size_is_an_error_before_the_conversion(
    tmp_path, monkeypatch, backbone, size, message
):
    monkeypatch.setattr("visiongarden.exporters.onnx.convert", lambda *_: pytest.fail("too late"))
    with pytest.raises(UserError, match=message):
        export(
            classifier(backbone=backbone, size=16 if backbone else 64),
            tmp_path / "m.onnx",
            image_size=size,
        )


DETECTOR = """
[net]
width=64
height=32
channels=3
[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky
[convolutional]
batch_normalize=1
filters=8
groups=4
size=3
stride=2
pad=1
activation=mish
[convolutional]
filters=14
size=1
stride=1
pad=1
activation=linear
[yolo]
mask=0,1
anchors=4,6, 10,12
classes=2
num=2
"""
CLASSIFIER = DETECTOR[: DETECTOR.index("[yolo]")] + "[avgpool]\n[softmax]\ngroups=1\n"


@pytest.mark.parametrize(
    ("cfg", "size", "task"),
    [
        (DETECTOR, None, "detection"),
        (DETECTOR, (64, 96), "detection"),
        (CLASSIFIER, None, "classification"),
    ],
    ids=["detector", "detector at another size", "classifier"],
)
def test_networks_of_darknet(tmp_path, cfg, size, task):
    model = vg.import_darknet(cfg)
    found = export(model, tmp_path / "m.onnx", image_size=size).parity
    assert found.agrees
    assert found.found > 0
    metadata = {p.key: p.value for p in onnx.load(str(tmp_path / "m.onnx")).metadata_props}
    assert json.loads(metadata["task"]) == task
    assert json.loads(metadata["image_size"]) == list(size or (32, 64))
    assert json.loads(metadata["needs_nms"]) == (task == "detection")


def test_a_darknet_network_that_ends_in_a_map_is_an_error_before_the_conversion(tmp_path):
    model = vg.import_darknet(DETECTOR[: DETECTOR.index("[yolo]")])
    with pytest.raises(UserError, match="ends in a feature map"):
        export(model, tmp_path / "m.onnx")
