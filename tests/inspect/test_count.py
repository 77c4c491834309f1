"""Parameters and MACs equal published values."""

from __future__ import annotations

import keras
import pytest

import visiongarden as vg
from visiongarden.backends.weightless import weightless
from visiongarden.errors import UserError
from visiongarden.inspect import Count, count, deployed
from visiongarden.types import FeatureSpec, LevelSpec

PUBLISHED = {
    # torchvision's table: 25,557,032 parameters and 4.09 G, of which the classifier 2,049,000 and
    # 2,048,000.
    "ResNet-50": (vg.backbones.ResNet(depth=50), 224, 25_557_032 - 2_049_000, 4_087_136_256),
    # torchvision: 11,689,512 and 1.81 G, of which the classifier 513,000 and 512,000.
    "ResNet-18": (vg.backbones.ResNet(depth=18), 224, 11_689_512 - 513_000, 1_813_561_344),
    # YOLOv3, table 2: 18.57 billion operations, two per MAC, of which the classifier 1,024,000.
    "Darknet-53": (
        vg.backbones.Darknet53(),
        256,
        41_609_928 - 1_025_000,
        9_285_009_408 - 1_024_000,
    ),
}


def counted(source: object, size: int) -> Count:
    return count(source, size)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PUBLISHED)
def test_backbones_have_the_published_size(name: str) -> None:
    part, size, trainable, macs = PUBLISHED[name]
    result = counted(part, size)
    assert result.trainable == trainable
    assert result.macs == pytest.approx(macs, rel=2e-4)


def test_yolov3_has_the_published_size() -> None:
    with weightless():
        model = vg.Detector(
            vg.backbones.Darknet53(),
            vg.decoders.YOLOv3Decoder(),
            vg.heads.AnchorBased(num_classes=80),
        )
    result = count(model, 416)
    assert (result.trainable, result.total) == (61_949_149, 61_949_149 + 52_608)
    assert round(result.flops / 1e9, 3) == 65.864


INPUT = (8, 8, 4)
LAYERS = {
    "conv": (keras.layers.Conv2D(6, 3, padding="same"), 64 * 9 * 4 * 6),
    "stride": (keras.layers.Conv2D(6, 3, strides=2, padding="same"), 16 * 9 * 4 * 6),
    "groups": (keras.layers.Conv2D(6, 3, groups=2, padding="same"), 64 * 9 * 2 * 6),
    "depthwise": (keras.layers.DepthwiseConv2D(3, padding="same"), 64 * 9 * 4),
    "separable": (keras.layers.SeparableConv2D(6, 3, padding="same"), 64 * (9 * 4 + 4 * 6)),
    "transposed": (keras.layers.Conv2DTranspose(6, 2, strides=2), 64 * 4 * 4 * 6),
    "dense": (keras.layers.Dense(5), 64 * 4 * 5),
    "einsum": (keras.layers.EinsumDense("bhwc,cd->bhwd", (None, 8, 5)), 64 * 4 * 5),
    "pool": (keras.layers.MaxPooling2D(2), 0),
}


@pytest.mark.parametrize("name", LAYERS)
def test_macs_of_one_layer(name: str) -> None:
    layer, macs = LAYERS[name]
    images = keras.Input(INPUT)
    assert count(keras.Model(images, layer(images))).macs == macs


def test_a_shared_layer_computes_twice_and_has_its_weights_once() -> None:
    images, shared = keras.Input(INPUT), keras.layers.Conv2D(4, 1)
    result = count(keras.Model(images, shared(shared(images))))
    assert result == Count(trainable=20, total=20, macs=2 * 64 * 16, outputs=2 * 64 * 4)


class Wrapper(keras.layers.Layer):
    """A plain layer, whose shape Keras finds by tracing it with the backend."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = keras.layers.Conv2D(4, 1)

    def build(self, input_shape: tuple[int, ...]) -> None:
        self.inner.build(input_shape)

    def call(self, x: object) -> object:
        return self.inner(x)


def test_layers_inside_a_plain_layer_are_found_once() -> None:
    images = keras.Input(INPUT)
    assert count(keras.Model(images, Wrapper()(images))).macs == 64 * 16


def test_the_state_of_dropout_is_not_a_parameter() -> None:
    images = keras.Input(INPUT)
    result = count(keras.Model(images, keras.layers.Dropout(0.5)(images)))
    assert result == Count(0, 0, 0)


def test_a_decoder_is_counted_for_the_given_inputs() -> None:
    inputs = FeatureSpec({"p3": LevelSpec(8, 8), "p4": LevelSpec(16, 16)})
    result = count(vg.decoders.FPN(channels=4, levels=("p3", "p4")), 64, inputs)
    assert result.macs == 64 * (8 * 4 + 9 * 16) + 16 * (16 * 4 + 9 * 16)


def test_counting_does_not_change_the_model() -> None:
    images = keras.Input(INPUT)
    model = keras.Model(images, keras.layers.Conv2D(4, 1)(images))
    before = [set(vars(layer)) for layer in model.layers]
    count(model)
    assert [set(vars(layer)) for layer in model.layers] == before


def test_an_invalid_image_size_is_an_error() -> None:
    model = vg.Detector(
        vg.backbones.CSPDarknet(width=0.1),
        vg.decoders.FPN(channels=8),
        vg.heads.AnchorFree(num_classes=1, bins=4),
    )
    with pytest.raises(UserError, match="multiples of the largest stride, 32"):
        count(model, 100)


def test_a_normalization_without_scale_folds_into_one_bias() -> None:
    x = inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, use_bias=False)(x)
    outputs = keras.layers.BatchNormalization(scale=False)(x)
    assert deployed(keras.Model(inputs, outputs)).total == 3 * 3 * 3 * 4 + 4
