"""torchvision's detectors: raw outputs and gradients of the reference, per level and per weight.

The files in `references` were written by `benchmarks/references/torchvision_detectors.py`.
"""

from __future__ import annotations

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from benchmarks.references.numbers import images, projections, sample, weights
from tests.shared import inference

import visiongarden as vg
from visiongarden.backends.gradients import gradients_of
from visiongarden.backends.weightless import weightless
from visiongarden.cards import build

FOLDER = Path(__file__).parent / "references"
SIZE = (128, 192)
AT_CORNERS = {"anchor_offset": 0.0, "anchor_rounding": True}
SMALL = "torchvision-retinanet_resnet18_fpn"


def retinanet(depth, classes, channels=256, source="output", **fields):
    return vg.Detector(
        vg.backbones.ResNet(depth=depth),
        vg.decoders.FPN(channels=channels, extra_levels=2, extra_levels_from=source),
        vg.heads.RetinaNetHead(
            num_classes=classes, filters=channels, **AT_CORNERS | {"norm": "none"} | fields
        ),
        image_size=SIZE,
    )


def small(**fields):
    return retinanet(18, 5, 32, **fields)


CASES = {
    SMALL: small,
    "torchvision-retinanet_resnet50_fpn": lambda: build("retinanet-r50-fpn", image_size=SIZE),
    "torchvision-retinanet_resnet50_fpn_v2": lambda: retinanet(
        50, 91, source="input", norm="group"
    ),
}


class Reference:
    """Shapes, samples of outputs, and directions of gradients of one model."""

    def __init__(self, name):
        with np.load(FOLDER / f"{name}.npz") as found:
            shapes = [tuple(int(s) for s in text.split(",") if s) for text in found["shapes"]]
            self.shapes = dict(zip(map(str, found["names"]), shapes, strict=True))
            self.outputs = [str(each) for each in found["outputs"]]
            self.samples, self.deviations = found["samples"], found["deviations"]
            self.norms = dict(zip(map(str, found["parameters"]), found["norms"], strict=True))
            self.projections = dict(
                zip(map(str, found["parameters"]), found["projections"], strict=True)
            )

    def state(self):
        counters = {n: np.int64(0) for n in self.shapes if n.endswith("num_batches_tracked")}
        return weights({n: s for n, s in self.shapes.items() if n not in counters}) | counters

    def errors(self, raw):
        """Largest difference of each output, in standard deviations of the reference."""
        found, start = {}, 0
        for output, deviation in zip(self.outputs, self.deviations, strict=True):
            level, name = output.split("/")
            array = keras.ops.convert_to_numpy(raw[level][name])
            mine = sample(array.reshape(len(array), -1, array.shape[-1]), 64)
            theirs = self.samples[start : start + len(mine)]
            found[output] = np.abs(mine - theirs).max() / deviation
            start += len(mine)
        assert start == len(self.samples)
        return found


def in_order_of_torch(array):
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array


def gradients(model):
    """Gradients of the sum of squares of all raw outputs by path of the weight."""

    def loss(inputs):
        raw = keras.tree.flatten(model(inputs[0], training=False))
        return sum(keras.ops.sum(each**2) for each in raw)

    variables = model.trainable_variables
    found, _ = gradients_of(loss, variables, [keras.ops.convert_to_tensor(images(*SIZE))], [])
    return {v.path: in_order_of_torch(np.asarray(g)) for v, g in zip(variables, found, strict=True)}


@pytest.fixture(scope="module")
def model():
    return small()


def transferred(name, model):
    """Transfer the reference's weights; return it with the path of each of its weights."""
    reference = Reference(name)
    report = vg.transfer(reference.state(), model, min_coverage=1.0)
    assert report.rules == "torchvision-retinanet"
    assert (report.share_of_target, report.share_of_source) == (1, 1)
    return reference, {moved.source: moved.path for moved in report.renamed}


def check_outputs(reference, model):
    assert reference.deviations.min() > 0.1
    errors = reference.errors(inference(model, images(*SIZE)))
    assert len(errors) == 10
    assert max(errors.values()) <= 1e-4, errors


@pytest.mark.slow_backends
def test_raw_outputs_of_the_reference(model):
    reference, _ = transferred(SMALL, model)
    check_outputs(reference, model)


# On JAX, the large ones take too long, because a single call compiles every operation.
@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.slow_backends(*[] if n == SMALL else ["torch"]))
        for n in CASES
    ],
)
def test_raw_outputs_and_gradients_of_the_reference(name):
    model = CASES[name]()
    reference, paths = transferred(name, model)
    check_outputs(reference, model)
    found = gradients(model)
    assert len(reference.norms) == len(found)
    for name, norm in reference.norms.items():
        gradient = found[paths[name]]
        assert np.linalg.norm(np.float64(gradient)) == pytest.approx(norm, rel=1e-3), name
        # Exchanged axes differ by about the norm; rounding at the zeros of ReLUs by up to 3e-3.
        difference = np.abs(projections(name, gradient) - reference.projections[name])
        assert difference.max() <= 1e-2 * norm, name


def before_the_refactoring(name):
    """Names of the published file of 2020, without the index of `Conv2dNormActivation`."""
    name = re.sub(r"((?:inner|layer)_blocks\.\d)\.0", r"\1", name)
    return re.sub(r"(_head\.conv)\.(\d)\.0", lambda m: f"{m[1]}.{2 * int(m[2])}", name)


def test_a_file_with_the_names_of_older_versions(model):
    """RetinaNet_ResNet50_FPN_Weights.COCO_V1: frozen normalization without an epsilon."""
    reference, _ = transferred(SMALL, model)
    state, before = reference.state(), model.get_weights()
    older = {
        before_the_refactoring(n): a for n, a in state.items() if "num_batches_tracked" not in n
    }
    assert "head.regression_head.conv.6.weight" in older
    # The same rules by name for a file that a current version saved.
    for source, rules in ((older, "auto"), (state, "torchvision-retinanet-coco")):
        report = vg.transfer(source, model, rules=rules, min_coverage=1.0)
        assert (report.rules, report.share_of_target) == ("torchvision-retinanet-coco", 1)
        for weight, theirs in zip(model.weights, before, strict=True):
            shift = 1e-5 if weight.path.endswith("moving_variance") else 0.0
            difference = theirs - keras.ops.convert_to_numpy(weight.value)
            np.testing.assert_allclose(difference, shift, atol=1e-7)


def test_anchors_at_other_places_are_refused():
    with weightless():
        model = small(anchor_offset=0.5)
    with pytest.raises(vg.UserError, match="the head computes something else") as error:
        vg.transfer(Reference(SMALL).state(), model)
    fixed = "RetinaNetHead(num_classes=5, anchor_offset=0.0, anchor_rounding=True, filters=32)"
    assert error.value.fix.startswith(fixed)


def test_a_backbone_alone_does_not_depend_on_anchors(model):
    report = vg.transfer(Reference(SMALL).state(), model, only=["backbone", "decoder"])
    assert report.coverage == 1
