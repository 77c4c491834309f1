"""Trainable weights of whole models against published counts."""

import math

import pytest

import visiongarden as vg
from visiongarden import backbones, decoders, heads
from visiongarden.backends.weightless import weightless


def trainable(model):
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


@pytest.mark.parametrize(
    ("depth", "count"),
    # torchvision's model table less the classifier of 1000 classes
    [
        (18, 11_689_512 - 513_000),
        (34, 21_797_672 - 513_000),
        (50, 25_557_032 - 2_049_000),
        (101, 44_549_160 - 2_049_000),
    ],
)
def test_resnet(depth, count):
    with weightless():
        assert trainable(backbones.ResNet(depth=depth).as_model()) == count


def test_yolov3():
    """yolov3.weights holds 62,001,757 numbers: 52,608 of them are means and variances."""
    with weightless():
        model = vg.Detector(
            backbones.Darknet53(), decoders.YOLOv3Decoder(), heads.AnchorBased(num_classes=80)
        )
    assert trainable(model) == 61_949_149
    assert sum(math.prod(w.shape) for w in model.weights) == 62_001_757


def test_yolov8_n():
    """3,157,200 in the published table, of which 16 are the fixed bins of the distributions."""
    with weightless():
        model = vg.Detector(
            backbones.CSPDarknet(depth=0.33, width=0.25),
            decoders.PathAggregation(depth=0.33),
            heads.AnchorFree(num_classes=80),
        )
    assert trainable(model) == 3_157_200 - 16


@pytest.mark.parametrize(
    ("width", "top", "count"),
    # timm's mobilenetv2_050, mobilenetv2_100 and mobilenetv2_140
    [(0.5, 1280, 1_968_680), (1.0, 1280, 3_504_872), (1.4, 1792, 6_108_776)],
)
def test_mobilenet_v2(width, top, count):
    backbone = backbones.MobileNetV2(width=width, top_channels=top, levels=("p5",))
    with weightless():
        model = vg.Classifier(backbone, heads.Classification(num_classes=1000))
    assert trainable(model) == count


def test_efficientnet_lite0():
    """4,652,008: timm's efficientnet_lite0 with its classifier."""
    backbone = backbones.EfficientNetLite0(top_channels=1280, levels=("p5",))
    with weightless():
        model = vg.Classifier(backbone, heads.Classification(num_classes=1000))
    assert trainable(model) == 4_652_008


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("name", ["MobileNetV2", "EfficientNetLite0"])
def test_levels(name, asymmetric):
    backbone = vars(backbones)[name](
        asymmetric=asymmetric, levels=("p1", "p2", "p3", "p4", "p5"), top_channels=1280
    )
    channels = {"MobileNetV2": (16, 24, 32, 96), "EfficientNetLite0": (16, 24, 40, 112)}[name]
    spec = backbone.spec(image_size=(64, 96))
    assert [spec[level].channels for level in backbone.levels] == [*channels, 1280]
    assert [spec[level].stride for level in backbone.levels] == [2, 4, 8, 16, 32]
