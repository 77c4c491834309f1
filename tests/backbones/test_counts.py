"""Trainable weights of whole models against published counts."""

import math

import pytest

import visiongarden as vg
from visiongarden import backbones, decoders, heads
from visiongarden.backends.keras_internals import weightless


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
