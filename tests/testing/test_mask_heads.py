"""Checks of heads with masks find planted bugs in wiring, loss and decoding."""

import keras
import pytest
from keras import ops

import visiongarden as vg
from visiongarden.losses import AnchorFreeLoss, PrototypeMaskLoss
from visiongarden.postprocess import AnchorFreeDecoding, PrototypeMaskDecoding
from visiongarden.testing import check

PACKAGE = "zoo_of_mask_heads"
RUN = ("loss", "decode", "loss_decode")
OTHERS = [name for name in vg.testing.CHECKS if name not in RUN]
FINEST = {"p3": (2, 8, 12, 8)}


def found_by_check(head=vg.heads.AnchorFreeMasks, inputs=FINEST, **config):
    fields = {"num_classes": 2, "bins": 4, "prototypes": 4}
    return check(head, inputs=inputs, backends=(), config=fields | config, skip=OTHERS)


@vg.register(package=PACKAGE)
class ShiftedByHalfACell(PrototypeMaskDecoding):
    """Prototypes between the cells."""

    def __call__(self, raw, context):
        found = super().__call__(raw, context)
        prototypes = found["prototypes"]
        return found | {"prototypes": (prototypes + ops.roll(prototypes, 1, axis=2)) / 2}


@vg.register(package=PACKAGE)
class IgnoresCoefficients(PrototypeMaskDecoding):
    """The sum of all prototypes for every object."""

    def __call__(self, raw, context):
        found = super().__call__(raw, context)
        return found | {"coefficients": ops.ones_like(found["coefficients"])}


@vg.register(package=PACKAGE)
class EnlargedPrototypes(PrototypeMaskDecoding):
    """Prototypes with cells of 2 × 2 pixels."""

    def __call__(self, raw, context):
        found = super().__call__(raw, context)
        return found | {"prototypes": ops.repeat(ops.repeat(found["prototypes"], 2, 1), 2, 2)}


@vg.register(package=PACKAGE)
class FewerCoefficients(PrototypeMaskDecoding):
    """Coefficients of all prototypes but one."""

    def __call__(self, raw, context):
        found = super().__call__(raw, context)
        return found | {"coefficients": found["coefficients"][..., 1:]}


@vg.register(package=PACKAGE)
class LossIgnoresCoefficients(PrototypeMaskLoss):
    """The sum of all prototypes for every object."""

    def __call__(self, raw, targets, context):
        ones = {
            level: maps | {"coefficients": ops.ones_like(maps["coefficients"])}
            for level, maps in raw.items()
        }
        return super().__call__(ones, targets, context)


@vg.register(package=PACKAGE)
class PrototypesOfTheFinestLevel(vg.heads.AnchorFreeMasks):
    """Prototypes with the stride of the finest level, 8 pixels."""

    def _prototypes(self, x, stride, channels, activation):
        return keras.layers.Conv2D(self.prototypes, 1, name="mask_prototypes")(x)


@pytest.mark.slow
def test_a_shift_by_half_a_cell_is_found():
    report = found_by_check(decoding=ShiftedByHalfACell(detection=AnchorFreeDecoding()))
    assert report["decode"].status == "passed"
    assert report["loss_decode"].status == "failed", report
    assert "of which the first begins at pixel 0" in report["loss_decode"].advice


@pytest.mark.slow
def test_ignored_coefficients_are_found():
    report = found_by_check(decoding=IgnoresCoefficients(detection=AnchorFreeDecoding()))
    assert report["loss_decode"].status == "failed", report
    report = found_by_check(loss=LossIgnoresCoefficients(detection=AnchorFreeLoss()))
    assert report["loss"].status == "failed", report
    assert "coefficients" in report["loss"].evidence


@pytest.mark.parametrize(
    ("decoding", "advice"),
    [
        (EnlargedPrototypes, r"return (batch, 16, 24, prototypes)"),
        (FewerCoefficients, "one of each prototype for each box"),
    ],
)
def test_arrays_of_another_size_are_found(decoding, advice):
    skip = [*OTHERS, "loss", "loss_decode"]
    config = {"num_classes": 2, "bins": 4, "prototypes": 4}
    config["decoding"] = decoding(detection=AnchorFreeDecoding())
    report = check(vg.heads.AnchorFreeMasks, inputs=FINEST, backends=(), config=config, skip=skip)
    assert report["decode"].status == "failed", report
    assert advice in report["decode"].advice


def test_prototypes_of_another_stride_are_found():
    report = found_by_check(PrototypesOfTheFinestLevel)
    assert not report.ok
    assert "16 × 24 cells" in report["loss"].evidence
    assert "8 × 12" in report["loss"].evidence + report["loss"].advice


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "fields"),
    [
        (vg.heads.AnchorFreeMasks, {}),
        (
            vg.heads.AnchorBasedMasks,
            {"bins": None, "anchors": {"p3": ((30, 28),), "p4": ((57, 52),)}},
        ),
        (vg.heads.DecoupledMasks, {"bins": None, "width": 0.0625}),
        (vg.heads.RetinaNetMasks, {"bins": None, "filters": 8, "repeats": 1}),
    ],
)
def test_shipped_heads_decode_the_masks_that_they_learn(head, fields):
    config = {"num_classes": 2, "bins": 4, "prototypes": 4} | fields
    config = {name: value for name, value in config.items() if value is not None}
    inputs = {"p3": (2, 8, 12, 8), "p4": (2, 4, 6, 8)}
    report = check(head, inputs=inputs, backends=(), config=config, skip=OTHERS)
    assert report.ok, report
    assert report["loss_decode"].evidence == "3 of 3 fitted targets decode to themselves"


TWO_STAGES = {
    "num_classes": 2, "filters": 8, "anchor_size": 4, "proposals_per_level": 40, "proposals": 30,
    "regions": 16, "box_units": 16, "box_size": 3, "mask_size": 5, "mask_convs": 1, "detections": 6,
}  # fmt: skip
LEVELS = {"p3": (2, 8, 12, 8), "p4": (2, 4, 6, 8)}


@pytest.mark.slow
def test_a_head_with_two_stages_passes_all_checks():
    report = check(vg.heads.MaskRCNN, inputs=LEVELS, backends=(), config=TWO_STAGES)
    assert report.ok, report
    assert [finding.check for finding in report.warnings] == ["open_sides"]  # anchors need a size
    for name in RUN:
        assert report[name].status == "passed"


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() == "torch", reason="compares with PyTorch")
def test_two_stages_are_equal_on_pytorch():
    """Before training, many scores are equal, and ties determine the proposals."""
    pytest.importorskip("torch")
    skip = [name for name in vg.testing.CHECKS if name not in ("runs", "backends")]
    report = check(
        vg.heads.MaskRCNN, inputs=LEVELS, backends=("torch",), config=TWO_STAGES, skip=skip
    )
    assert report["backends"].status == "passed", report


def test_a_head_with_two_stages_decodes_its_predictions():
    skip = [name for name in vg.testing.CHECKS if name not in ("runs", "decode")]
    report = check(vg.heads.MaskRCNN, inputs=LEVELS, backends=(), config=TWO_STAGES, skip=skip)
    assert report.ok, report
    assert report["decode"].evidence == "boxes (3, 6, 4), masks (3, 6, 10, 10), scores (3, 6, 2)"
