"""Operations of Keras and of all blocks are exported, or raise an error immediately."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from tests.testing.test_valid import LAYERS, OPTIONS

import visiongarden as vg
from visiongarden.exporters import UnsupportedOperationError, export
from visiongarden.exporters.convert import convert_graph
from visiongarden.testing.instances import randomize
from visiongarden.testing.subject import Subject

onnxruntime = pytest.importorskip("onnxruntime")

SHAPE = (16, 24, 8)
OF_REGIONS = {"FlattenRegions", "RegionMasks", "RoIAlign"}
"""Layers that take no feature maps; tests/heads/test_mask_rcnn.py exports them."""
BLOCKS = [cls for cls in LAYERS if cls.__name__ not in OF_REGIONS]
CHUNKS = 6
"""Models that share all blocks among them."""


class Function(layers.Layer):
    """A function as a layer."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def call(self, x):
        return self.function(x)


def attention(x):
    return layers.MultiHeadAttention(2, 4)(*[layers.Reshape((-1, 8))(x)] * 2)


OPERATIONS = {
    "grouped": layers.Conv2D(12, 3, groups=4, padding="same"),
    "grouped stride": vg.layers.Convolution(8, 3, strides=2, groups=8),
    "grouped dilated": layers.Conv2D(8, 3, groups=2, dilation_rate=2),
    "grouped 1d": lambda x: layers.Conv1D(8, 3, groups=2)(layers.Reshape((-1, 8))(x)),
    "dilated": vg.layers.Convolution(8, 3, dilation=2),
    "depthwise": layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2),
    "depthwise dilated": layers.DepthwiseConv2D(3, dilation_rate=2, padding="same"),
    "separable": layers.SeparableConv2D(6, 3),
    "transposed": layers.Conv2DTranspose(6, 3, strides=2, padding="same"),
    "maximum": layers.MaxPooling2D(3, 2, padding="same"),
    "average": layers.AveragePooling2D(3, 2, padding="same"),
    "adaptive": layers.AdaptiveAveragePooling2D(3),
    "global": layers.GlobalMaxPooling2D(),
    "nearest": layers.UpSampling2D(2),
    "bilinear": layers.Resizing(11, 23),
    "group norm": layers.GroupNormalization(4),
    "layer norm": layers.LayerNormalization(),
    "RMS norm": layers.RMSNormalization(),
    "attention": attention,
    "einsum": layers.EinsumDense("bhwc,cd->bhwd", output_shape=(None, None, 5)),
    "gelu": layers.Activation("gelu"),
    "mish": layers.Activation("mish"),
    "celu": layers.Activation("celu"),
    "prelu": layers.PReLU(shared_axes=[1, 2]),
    "expm1": Function(ops.expm1),
    "log1p": Function(lambda x: ops.log1p(ops.abs(x))),
    "logaddexp": Function(lambda x: ops.logaddexp(x, 2 * x)),
    "top_k": Function(lambda x: ops.cast(ops.top_k(-x, 1)[1], "float32")),
    "cumsum": Function(lambda x: ops.cumsum(x, axis=1)),
    "roll": Function(lambda x: ops.roll(x, (2, 1), axis=(1, 2))),
    "reflect": Function(lambda x: ops.pad(x, [(0, 0), (2, 2), (1, 1), (0, 0)], "reflect")),
}


def outputs_of_the_file(model, path, images):
    convert_graph(model, path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": images}), strict=True))


def compare(model, path, images):
    outputs = outputs_of_the_file(model, path, images)
    expected = model(images, training=False)
    assert set(outputs) == set(expected)
    for name, array in expected.items():
        scale = max(1.0, np.abs(array).max())
        np.testing.assert_allclose(outputs[name] / scale, array / scale, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_operations_of_keras(tmp_path):
    images = keras.Input(SHAPE, name="images")
    names = {name: name.replace(" ", "_") for name in OPERATIONS}
    model = keras.Model(images, {names[n]: layer(images) for n, layer in OPERATIONS.items()})
    randomize(model)
    compare(
        model, tmp_path / "m.onnx", np.random.default_rng(0).normal(size=(2, *SHAPE)).astype("f")
    )


def fed(cls, images):
    """A new layer of a class, and its output for inputs computed from images."""
    subject = Subject(cls, **OPTIONS.get(cls.__name__, {}))

    def like(array):
        x = layers.AveragePooling2D((32 // array.shape[1], 48 // array.shape[2]))(images)
        return layers.Conv2D(array.shape[-1], 1)(x)

    arguments = keras.tree.map_structure(like, subject.arguments)
    return keras.tree.flatten(subject.fresh()(*arguments))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(CHUNKS))
def test_operations_of_every_block(tmp_path, first):
    images = keras.Input((32, 48, 3), name="images")
    outputs = {}
    for cls in BLOCKS[first::CHUNKS]:
        for number, output in enumerate(fed(cls, images)):
            outputs[f"{cls.__name__}_{number}"] = output
    model = keras.Model(images, outputs)
    randomize(model)
    compare(model, tmp_path / "m.onnx", np.random.default_rng(0).random((2, 32, 48, 3)).astype("f"))


@vg.register(package="test_export")
class EveryBlock(vg.Backbone):
    """All blocks side by side, each pooled to its channels."""

    levels: tuple[str, ...] = ("p4",)
    first: int = 0

    def wire(self, images):
        features = [
            keras.ops.tanh(keras.ops.mean(output, axis=(1, 2), keepdims=True))
            for cls in BLOCKS[self.first :: CHUNKS]
            for output in fed(cls, images)
            if len(output.shape) == 4
        ]
        return {"p4": layers.UpSampling2D((2, 3))(layers.Concatenate()(features))}


@pytest.mark.slow
@pytest.mark.backends
@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="test_operations_of_every_block shows it"
)
@pytest.mark.parametrize("first", range(CHUNKS))
def test_every_block_on_every_backend(tmp_path, first):
    model = vg.Classifier(
        backbone=EveryBlock(first=first),
        head=vg.heads.Classification(num_classes=9),
        image_size=(32, 48),
    )
    randomize(model)
    assert export(model, tmp_path / "m.onnx").parity.agrees


UNSUPPORTED = {
    "argmax": (lambda x: ops.cast(ops.argmax(x, -1), "float32"), "top_k"),
    "argmin": (lambda x: ops.cast(ops.argmin(x, -1), "float32"), "top_k"),
    "fft2": (lambda x: ops.fft2((x, x))[0], "cosine and sine"),
    "rfft": (lambda x: ops.rfft(x, 8)[0], "cosine and sine"),
    "bicubic": (lambda x: ops.image.resize(x, (20, 20), interpolation="bicubic"), "bilinear"),
    "inverse": (lambda x: ops.inv(x[:, :8, :8, 0] + 9 * ops.eye(8)), "before or after"),
    "random": (lambda x: x + keras.random.normal(ops.shape(x), seed=1), "if training"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported_operations_are_errors_before_the_conversion(tmp_path, monkeypatch, name):
    function, alternative = UNSUPPORTED[name]
    monkeypatch.setattr("tf2onnx.convert._convert_common", lambda *_, **__: pytest.fail("too late"))
    images = keras.Input(SHAPE, name="images")
    model = keras.Model(images, Function(function, name="my_layer")(images))
    with pytest.raises(UnsupportedOperationError, match="my_layer") as error:
        convert_graph(model, tmp_path / "m.onnx")
    assert alternative in error.value.fix
