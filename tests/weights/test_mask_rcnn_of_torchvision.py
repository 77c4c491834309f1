"""torchvision's Mask R-CNN: raw outputs and gradients of the reference for fixed regions.

The files in `references` were written by `benchmarks/references/torchvision_detectors.py`.
"""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
from benchmarks.references.numbers import images, projections, regions
from tests.weights.test_detectors_of_torchvision import SIZE, Reference, in_order_of_torch

import visiongarden as vg
from visiongarden.backends.gradients import gradients_of
from visiongarden.cards import build

pytestmark = pytest.mark.xdist_group(
    "mask_rcnn_of_torchvision"
)  # one worker makes what the tests share

SMALL = "torchvision-maskrcnn_resnet18_fpn"
LEVELS = ("p2", "p3", "p4", "p5")


def small(**fields):
    as_published = {
        "anchor_offset": 0.0,
        "anchor_rounding": True,
        "aligned": False,
        "background_outputs": True,
    }
    return vg.Detector(
        vg.backbones.ResNet(depth=18, levels=LEVELS),
        vg.decoders.FPN(channels=32, levels=LEVELS, extra_levels=1, extra_levels_by="max_pooling"),
        vg.heads.MaskRCNN(
            num_classes=3,
            filters=32,
            box_units=48,
            proposals=20,
            proposals_per_level=20,
            detections=5,
            **as_published | fields,
        ),
        image_size=SIZE,
    )


CASES = {
    SMALL: small,
    "torchvision-maskrcnn_resnet50_fpn": lambda: build("mask-rcnn-r50-fpn", image_size=SIZE),
}


def outputs(model, given):
    """Raw outputs of anchors, and of fixed regions by the layers of the head."""
    features = model.features(given)["decoder"]
    head = model.head
    raw = {
        level: {n: x for n, x in tensors.items() if n in ("objectness", "boxes")}
        for level, tensors in head(features, training=False).items()
    }
    maps, boxes = [features[level] for level in LEVELS], regions(*SIZE)
    x = head.get_layer("box_features")(maps, boxes)
    for name in ("box_flatten", "box_fc1", "box_fc2"):
        x = head.get_layer(name)(x)
    deltas = head.get_layer("region_boxes")(head.get_layer("box_deltas")(x))
    masks = head.get_layer("mask_head")(head.get_layer("mask_features")(maps, boxes))
    raw["p2"] |= {
        "region_classes": head.get_layer("box_classes")(x),
        "region_boxes": deltas,
        "masks": masks,
    }
    return raw


def transferred(name, model, state=None, rules="torchvision-maskrcnn"):
    reference = Reference(name)
    report = vg.transfer(state or reference.state(), model, min_coverage=1.0)
    assert report.rules == rules
    assert (report.share_of_target, report.share_of_source) == (1, 1)
    return reference, {moved.source: moved.path for moved in report.renamed}


def check_outputs(reference, raw):
    assert reference.deviations.min() > 0.1
    errors = reference.errors(raw)
    assert len(errors) == 13
    assert max(errors.values()) <= 1e-4, errors


@pytest.fixture(scope="module")
def model():
    return small()


@pytest.mark.slow
@pytest.mark.slow_backends
def test_raw_outputs_of_the_reference(model):
    reference, _ = transferred(SMALL, model)
    check_outputs(reference, outputs(model, images(*SIZE)))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_raw_outputs_and_gradients_of_the_reference(name):
    model = CASES[name]()
    reference, paths = transferred(name, model)
    check_outputs(reference, outputs(model, images(*SIZE)))

    def loss(inputs):
        return sum(keras.ops.sum(x**2) for x in keras.tree.flatten(outputs(model, inputs[0])))

    variables = model.trainable_variables
    found, _ = gradients_of(loss, variables, [keras.ops.convert_to_tensor(images(*SIZE))], [])
    found = {
        v.path: in_order_of_torch(np.asarray(g)) for v, g in zip(variables, found, strict=True)
    }
    assert len(reference.norms) == len(found)
    for name, norm in reference.norms.items():
        gradient = found[paths[name]]
        if gradient.ndim == 2:  # of a fully connected layer
            gradient = gradient.T
        assert np.linalg.norm(np.float64(gradient)) == pytest.approx(norm, rel=1e-3), name
        difference = np.abs(projections(name, gradient) - reference.projections[name])
        assert difference.max() <= 1e-2 * norm, name


def before_the_refactoring(name):
    """Names of the published file of 2020, without the index of `Conv2dNormActivation`."""
    name = re.sub(r"((?:inner|layer)_blocks\.\d)\.0", r"\1", name)
    name = name.replace("rpn.head.conv.0.0", "rpn.head.conv")
    return re.sub(r"mask_head\.(\d)\.0", lambda m: f"mask_head.mask_fcn{int(m[1]) + 1}", name)


@pytest.mark.slow
def test_a_file_with_the_names_of_older_versions(model):
    state = Reference(SMALL).state()
    older = {
        before_the_refactoring(n): a for n, a in state.items() if "num_batches_tracked" not in n
    }
    assert "roi_heads.mask_head.mask_fcn4.weight" in older
    transferred(SMALL, model, older, "torchvision-maskrcnn-coco")
