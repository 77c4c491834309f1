"""Losses of heads can be minimized, and are finite for images without objects."""

import keras
import numpy as np
import pytest
from keras import ops as k

from visiongarden import heads
from visiongarden.losses import quotients
from visiongarden.ops import AnchorGrid, cells_of, iou
from visiongarden.types import FeatureSpec, HeadContext, LevelSpec

SIZE = (64, 64)
BOXES = np.array([[[4, 6, 30, 40], [33, 30, 60, 62]], [[10, 10, 22, 24], [0, 0, 0, 0]]], np.float32)
CLASSES = np.array([[0, 2], [1, -1]], np.int32)
ANCHORS = {"p3": ((10, 13), (16, 30)), "p4": ((30, 33),)}


def decoded(head, raw, size):
    """Return boxes and scores."""
    found = head.decoding(raw, HeadContext(head, size, LEVELS))
    return found["boxes"], found["scores"]


def raw_shapes(head):
    sides = {"p3": (2, 8, 8), "p4": (2, 4, 4)}
    if isinstance(head, (heads.AnchorFree, heads.DualAssignment)):
        prefixes = ("", "many_") if isinstance(head, heads.DualAssignment) else ("",)
        widths = {"boxes": 4 * head.bins, "classes": head.num_classes}
        return {
            lv: {f"{p}{name}": (*s, width) for p in prefixes for name, width in widths.items()}
            for lv, s in sides.items()
        }
    if isinstance(head, heads.Decoupled):
        return {
            lv: {"boxes": (*s, 4), "objectness": (*s, 1), "classes": (*s, head.num_classes)}
            for lv, s in sides.items()
        }
    return {
        lv: {
            "boxes": (*s, len(head.anchors[lv]), 4),
            "objectness": (*s, len(head.anchors[lv])),
            "classes": (*s, len(head.anchors[lv]), head.num_classes),
        }
        for lv, s in sides.items()
    }


HEADS = [
    heads.AnchorFree(num_classes=3, bins=8),
    heads.AnchorBased(num_classes=3, anchors=ANCHORS),
    heads.AnchorBased(num_classes=3, anchors=ANCHORS, scale_xy=1.0),
    heads.AnchorBased(num_classes=3, anchors=ANCHORS, size_encoding="squared"),
    heads.Decoupled(num_classes=3),
    heads.DualAssignment(num_classes=3, bins=8),
]
IDS = ["free", "based", "based-v3", "based-squared", "decoupled", "dual"]


LEVELS = FeatureSpec({"p3": LevelSpec(8, 8), "p4": LevelSpec(8, 16)})


def values_of(head, raw, boxes, classes):
    targets = {"boxes": boxes, "classes": classes}
    return quotients(head.loss(raw, targets, HeadContext(head, SIZE, LEVELS)))


class Free(keras.Model):
    """Raw predictions as weights, so that the loss alone is trained."""

    def __init__(self, head, fill=0.0):
        super().__init__()
        self.of_head = head
        rng = np.random.default_rng(0)
        self.raw = {
            lv: {
                name: self.add_weight(
                    shape=shape, initializer=lambda s, dtype=None: rng.normal(fill, 0.1, s)
                )
                for name, shape in tensors.items()
            }
            for lv, tensors in raw_shapes(head).items()
        }
        self.built = True

    def call(self, x):
        return {
            lv: {n: v + 0 * k.sum(x) for n, v in tensors.items()}
            for lv, tensors in self.raw.items()
        }

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return sum(values_of(self.of_head, y_pred, y["boxes"], y["classes"]).values())


@pytest.mark.slow_backends("torch")
@pytest.mark.parametrize(
    "head",
    [
        pytest.param(head, id=name, marks=[pytest.mark.slow] * (name != "free"))
        for head, name in zip(HEADS, IDS, strict=True)
    ],
)
def test_it_learns_the_boxes(head):
    model = Free(head)
    model.compile(keras.optimizers.Adam(0.1))
    x, y = np.zeros((2, 1), np.float32), {"boxes": BOXES, "classes": CLASSES}
    model.fit(((x, y) for _ in range(150)), steps_per_epoch=150, verbose=0, shuffle=False)
    boxes, scores = map(k.convert_to_numpy, decoded(head, model(x), SIZE))
    for image in range(2):
        for box, label in zip(BOXES[image], CLASSES[image], strict=True):
            if label < 0:
                continue
            best = scores[image, :, label].argmax() if image else None
            overlaps = k.convert_to_numpy(iou(boxes[image], box))
            sure = scores[image, :, label] > 0.5
            assert overlaps[sure].max(initial=0) > 0.9
            if best is not None:
                assert overlaps[best] > 0.8


@pytest.mark.slow_backends
@pytest.mark.parametrize("head", HEADS, ids=IDS)
@pytest.mark.parametrize("fill", [0.0, 30.0, -30.0])
def test_images_without_boxes_are_finite(head, fill):
    model = Free(head, fill)
    terms = values_of(
        head, model(np.zeros((2, 1))), np.zeros((2, 3, 4), np.float32), np.full((2, 3), -1)
    )
    values = {name: float(k.convert_to_numpy(value)) for name, value in terms.items()}
    assert tuple(values) == head.loss.terms
    assert all(np.isfinite(v) and v >= 0 for v in values.values())
    assert values["box"] == 0


@pytest.mark.parametrize("head", HEADS[:2], ids=["free", "based"])
def test_the_loss_does_not_grow_with_the_batch(head):
    model = Free(head)
    raw = model(np.zeros((2, 1)))
    twice = keras.tree.map_structure(lambda v: k.concatenate([v, v]), raw)
    one = values_of(head, raw, BOXES, CLASSES)
    two = values_of(head, twice, np.concatenate([BOXES, BOXES]), np.concatenate([CLASSES, CLASSES]))
    for name in one:
        if float(one[name]) > 1:
            assert float(two[name]) == pytest.approx(float(one[name]), rel=0.5)


def test_anchor_free_decodes_distances_by_hand():
    head = heads.AnchorFree(num_classes=1, bins=8)
    raw = {"p4": {"boxes": np.zeros((1, 1, 1, 32), np.float32), "classes": np.zeros((1, 1, 1, 1))}}
    sides = raw["p4"]["boxes"].reshape(4, 8)
    sides[[0, 1, 2, 3], [0, 0, 1, 2]] = 100  # left 0, top 0, right 1, bottom 2 strides
    boxes, scores = decoded(head, raw, (16, 16))
    np.testing.assert_allclose(k.convert_to_numpy(boxes)[0, 0], [8, 8, 24, 40], atol=1e-3)
    assert float(scores[0, 0, 0]) == pytest.approx(0.5)


def test_anchor_based_decodes_as_in_the_paper():
    """YOLOv3, section 2.1, at column 1, row 0 of p4, anchor (30, 33)."""
    head = heads.AnchorBased(num_classes=1, anchors={"p4": ((30, 33),)}, scale_xy=1.0)
    raw = {
        "p4": {
            "boxes": np.zeros((1, 1, 2, 1, 4), np.float32),
            "objectness": np.zeros((1, 1, 2, 1)),
            "classes": np.zeros((1, 1, 2, 1, 1)),
        }
    }
    raw["p4"]["boxes"][0, 0, 1, 0] = [0, 0, np.log(2), 0]
    boxes, scores = decoded(head, raw, (16, 32))
    np.testing.assert_allclose(
        k.convert_to_numpy(boxes)[0, 1], [24 - 30, 8 - 16.5, 24 + 30, 8 + 16.5], rtol=1e-4
    )
    assert float(scores[0, 0, 0]) == pytest.approx(0.25)


def test_squared_sizes_range_from_zero_to_four_anchors():
    """Scaled-YOLOv4's `new_coords`: (2 s(t))**2 times the anchor."""
    head = heads.AnchorBased(num_classes=1, anchors={"p4": ((30, 33),)}, size_encoding="squared")
    raw = {
        "p4": {
            "boxes": np.array([0, 0, -100, 100], np.float32).reshape(1, 1, 1, 1, 4),
            "objectness": np.zeros((1, 1, 1, 1)),
            "classes": np.zeros((1, 1, 1, 1, 1)),
        }
    }
    boxes = k.convert_to_numpy(decoded(head, raw, (16, 16))[0])
    np.testing.assert_allclose(boxes[0, 0], [8, 8 - 66, 8, 8 + 66], atol=1e-3)


@pytest.mark.slow
def test_one_to_one_branches_learn_each_object_once():
    """What makes NMS needless: the many branches are sure of several cells, the one of one."""
    head = HEADS[-1]
    model = Free(head)
    model.compile(keras.optimizers.Adam(0.1))
    x, y = np.zeros((2, 1), np.float32), {"boxes": BOXES, "classes": CLASSES}
    model.fit(((x, y) for _ in range(300)), steps_per_epoch=300, verbose=0, shuffle=False)
    raw = model(x)
    one = k.convert_to_numpy(decoded(head, raw, SIZE)[1])
    many = {lv: {"boxes": t["many_boxes"], "classes": t["many_classes"]} for lv, t in raw.items()}
    many = k.convert_to_numpy(decoded(head, many, SIZE)[1])
    for image, objects in enumerate((2, 1)):
        assert (one[image] > 0.25).sum() == objects
        assert (many[image] > 0.25).sum() > 3 * objects


def test_the_layouts_agree():
    grid = AnchorGrid(ANCHORS, SIZE)
    assert grid.count == 8 * 8 * 2 + 4 * 4
    assert grid.anchors[[0, 1, 128]].tolist() == [[10, 13], [16, 30], [30, 33]]
    assert grid.cells[[2, 16]].tolist() == [[1, 0], [0, 1]]
    assert len(cells_of(("p3", "p4"), SIZE).strides) == 80
