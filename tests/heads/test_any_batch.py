"""An image has the same detections alone, beside larger images, and last in an incomplete batch."""

import numpy as np
import pytest

import visiongarden as vg
from visiongarden.testing.instances import randomize

HEADS = {
    "RetinaNet": vg.heads.RetinaNetHead(num_classes=2, filters=8, repeats=1),
    "RetinaNetMasks": vg.heads.RetinaNetMasks(num_classes=2, filters=8, repeats=1, prototypes=4),
    "AnchorFreeMasks": vg.heads.AnchorFreeMasks(num_classes=2, bins=4, prototypes=4),
    "AnchorBasedMasks": vg.heads.AnchorBasedMasks(
        num_classes=2, anchors={"p3": ((16, 16), (24, 12)), "p4": ((48, 40),)}, prototypes=4
    ),
    "MaskRCNN": vg.heads.MaskRCNN(
        num_classes=2, filters=8, anchor_size=4, proposals_per_level=40, proposals=30, box_units=16,
        box_size=3, mask_size=5, mask_convs=1, detections=12,
    ),
}  # fmt: skip


def sorted_rows(found):
    boxes = np.asarray(found.boxes)
    order = np.lexsort((*boxes.round(1).T, found.classes))
    return found[order]


@pytest.mark.slow_backends
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n == "RetinaNet" else pytest.mark.slow) for n in HEADS]
)
def test_detections_do_not_depend_on_the_batch(name):
    levels = ("p3", "p4")
    model = vg.Detector(
        vg.backbones.CSPDarknet(width=0.125, depth=0.33, levels=levels),
        vg.decoders.FPN(channels=8, levels=levels),
        HEADS[name],
        image_size=(64, 96),
        class_map=("cat", "dog"),
    )
    randomize(model)
    rng = np.random.default_rng(0)
    sizes = [(40, 52), (200, 310), (64, 96), (128, 70), (40, 52)]
    given = [rng.integers(0, 256, (*size, 3)).astype(np.uint8) for size in sizes]
    given[-1] = given[0]
    first, *_, last = vg.predict(model, given, score=0.0, batch_size=4)
    (alone,) = vg.predict(model, given[0], score=0.0)
    assert len(alone) > 3
    wanted = sorted_rows(alone)
    for found in map(sorted_rows, (first, last)):
        assert np.array_equal(found.classes, wanted.classes)
        np.testing.assert_allclose(np.asarray(found.boxes), np.asarray(wanted.boxes), atol=1e-3)
        np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-5)
        if wanted.masks is not None:
            assert (found.masks.bitmaps() != wanted.masks.bitmaps()).mean() < 1e-3
