"""SimOTA against the paper's procedure written out cell by cell, and cases counted by hand."""

import math

import numpy as np
import pytest
import torch
from keras import ops as k

from visiongarden import heads
from visiongarden.assigners import SimOTA
from visiongarden.losses import quotients
from visiongarden.ops import cells_of
from visiongarden.types import Candidates, HeadContext

SIZE = (64, 64)
LEVELS = ("p3", "p4")
CELLS = cells_of(LEVELS, SIZE)
N = len(CELLS.strides)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.array(x, np.float64)))


def assign(boxes, classes, predicted, logits, objectness, **options):
    boxes, predicted = np.array(boxes, np.float32), np.array(predicted, np.float32)
    scores = (sigmoid(logits) * sigmoid(objectness)).astype(np.float32)
    classes = np.array(classes, np.int32)
    found = SimOTA(**options)(
        Candidates(scores[None], predicted[None], CELLS.centers, CELLS.strides),
        {"boxes": boxes[None], "classes": classes[None]},
    )
    index, taken = (k.convert_to_numpy(x)[0] for x in found)
    assert ((index >= 0) == (taken > 0)).all()
    row = np.maximum(index, 0)
    pairs = zip(boxes[row], predicted, strict=True)
    quality = np.array([overlap(a, b) for a, b in pairs]) * taken
    return boxes[row], classes[row], quality, taken


def overlap(a, b):
    w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return w * h / (area - w * h + 1e-7)


def by_the_paper(boxes, classes, predicted, logits, objectness):
    """Section 2.3 in plain loops: cell -> (box, IoU)."""
    wanted = {}
    for number, (box, label) in enumerate(zip(boxes, classes, strict=True)):
        if label < 0:
            continue
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        near = {}
        for cell in range(N):
            (cx, cy), stride = CELLS.centers[cell], CELLS.strides[cell]
            if abs(cx - x) < 2.5 * stride and abs(cy - y) < 2.5 * stride:
                iou = overlap(box, predicted[cell])
                p = torch.sigmoid(torch.tensor(logits[cell])) * torch.sigmoid(
                    torch.tensor(objectness[cell])
                )
                hot = torch.nn.functional.one_hot(torch.tensor(label), p.shape[0]).float()
                entropy = torch.nn.functional.binary_cross_entropy(p.sqrt(), hot, reduction="sum")
                near[cell] = (float(entropy) - 3 * math.log(iou + 1e-8), iou)
        best = sorted((iou for _, iou in near.values()), reverse=True)[:10]
        take = max(1, int(sum(best)))
        for cell in sorted(near, key=lambda c: near[c][0])[:take]:
            cost, iou = near[cell]
            if cell not in wanted or cost < wanted[cell][2]:
                wanted[cell] = (number, iou, cost)
    return wanted


@pytest.mark.parametrize("seed", range(8))
def test_matches_the_paper(seed):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 40, (4, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(4, 24, (4, 2))], axis=1)
    classes = np.array([0, 2, 1, -1])
    # Predictions near the boxes, so that several of them overlap well.
    near = boxes[rng.integers(0, 3, N)] + rng.normal(0, 3, (N, 4))
    predicted = np.concatenate(
        [np.minimum(near[:, :2], near[:, 2:]), np.maximum(near[:, :2], near[:, 2:]) + 1], axis=1
    ).astype(np.float32)
    logits = rng.normal(0, 1.5, (N, 3)).astype(np.float32)
    objectness = rng.normal(0, 1.5, (N, 1)).astype(np.float32)
    wanted = by_the_paper(boxes, classes, predicted, logits, objectness)
    found, labels, quality, taken = assign(boxes, classes, predicted, logits, objectness)
    assert np.flatnonzero(taken).tolist() == sorted(wanted)
    assert len(wanted) > 3
    for cell, (number, iou, _) in wanted.items():
        assert labels[cell] == classes[number]
        np.testing.assert_allclose(found[cell], boxes[number], rtol=1e-5)
        assert quality[cell] == pytest.approx(iou, abs=1e-5)
    assert not quality[taken == 0].any()


@pytest.mark.slow_backends
def test_as_many_cells_as_the_overlaps_add_up_to():
    """All cells predict the box itself: 10 candidates of IoU 1, so ten cells take it."""
    box = [24, 24, 40, 40]
    flat = np.zeros((N, 1))
    _, _, quality, taken = assign([box], [0], [box] * N, flat, flat - 3 * np.arange(N)[:, None] / N)
    assert taken.sum() == 10
    np.testing.assert_allclose(quality[taken > 0], 1, atol=1e-5)
    # Of equal overlap are the first ones, whose objectness is the highest.
    away = np.abs(CELLS.centers - 32).max(axis=1) < 2.5 * CELLS.strides
    assert np.flatnonzero(taken).tolist() == np.flatnonzero(away)[:10].tolist()


@pytest.mark.slow_backends
def test_a_box_without_overlap_is_assigned_one_cell():
    far = [[60, 60, 61, 61]] * N
    zero = np.zeros((N, 1))
    zero[9] = 2  # column 1, row 1 of p3 is the surest
    _, _, quality, taken = assign([[4, 4, 12, 12]], [0], far, zero, zero)
    assert np.flatnonzero(taken).tolist() == [9]
    assert quality.max() == 0


@pytest.mark.slow_backends
def test_padding_is_assigned_no_cell():
    zero = np.zeros((N, 2))
    _, _, _, taken = assign([[0, 0, 0, 0]] * 2, [-1, -1], [[0, 0, 9, 9]] * N, zero, zero[:, :1])
    assert not taken.any()


def values_of(head, raw, boxes, classes):
    context = HeadContext(head, SIZE, None)
    return quotients(head.loss(raw, {"boxes": boxes, "classes": classes}, context))


def raw(boxes, objectness, classes):
    """The 8 × 8 and 4 × 4 maps of `LEVELS` filled with one prediction."""
    return {
        level: {
            name: np.tile(np.array(value, np.float32), (1, side, side, 1))
            for name, value in (("boxes", boxes), ("objectness", objectness), ("classes", classes))
        }
        for level, side in zip(LEVELS, (8, 4), strict=True)
    }


@pytest.mark.backends
def test_the_loss_by_hand():
    """One box of p3's cell (3, 3), 16 × 16; every cell of p3 predicts 8 × 8 around its center."""
    yolox = {"type": "DecoupledLoss", "box_loss": {"type": "IoU", "power": 2}}
    head = heads.Decoupled(num_classes=2, loss=yolox)
    maps = raw([0.5, 0.5, 0, 0], [-2.0], [1.0, -1.0])
    terms = values_of(head, maps, np.array([[[20, 20, 36, 36]]]), np.array([[0]]))
    # Cells inside the box overlap it by 64 / 256, p4's by 256 / (2 * 256 - shared).
    sides = np.concatenate([np.full(64, 8.0), np.full(16, 16.0)])
    predicted = np.concatenate(
        [CELLS.centers - sides[:, None] / 2, CELLS.centers + sides[:, None] / 2], axis=1
    )
    ious = np.array([overlap([20, 20, 36, 36], box) for box in predicted])
    near = np.abs(CELLS.centers - 28).max(axis=1) < 2.5 * CELLS.strides
    count = max(1, int(np.sort(ious[near])[::-1][:10].sum()))
    taken = np.argsort(-np.where(near, ious, -1), kind="stable")[:count]
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    logits = torch.tensor([1.0, -1.0])
    classes = sum(
        float(entropy(logits, torch.tensor([ious[c], 0.0]).float(), reduction="sum")) for c in taken
    )
    presence = torch.zeros(N)
    presence[taken.copy()] = 1
    objectness = float(entropy(torch.full((N,), -2.0), presence, reduction="sum"))
    assert float(terms["box"]) == pytest.approx(5 * (1 - ious[taken] ** 2).sum() / count, rel=1e-4)
    assert float(terms["class"]) == pytest.approx(classes / count, rel=1e-4)
    assert float(terms["objectness"]) == pytest.approx(objectness / count, rel=1e-4)


@pytest.mark.backends
def test_decoding_by_hand():
    """YOLOX, section 2.3: x = (t + column) * stride, w = e**t * stride; score = both sigmoids."""
    maps = raw([0, 0, 0, 0], [0.0], [0.0, math.log(3)])
    maps["p4"]["boxes"][0, 2, 1] = [0.25, -0.5, math.log(2), math.log(4)]
    head = heads.Decoupled(num_classes=2)
    boxes, scores = head.decoding(maps, HeadContext(head, SIZE, None)).values()
    boxes, scores = k.convert_to_numpy(boxes)[0], k.convert_to_numpy(scores)[0]
    x, y, w, h = 1.25 * 16, 1.5 * 16, 32, 64
    place = 64 + 2 * 4 + 1
    np.testing.assert_allclose(
        boxes[place], [x - w / 2, y - h / 2, x + w / 2, y + h / 2], rtol=1e-5
    )
    np.testing.assert_allclose(boxes[9], [4, 4, 12, 12], rtol=1e-5)
    np.testing.assert_allclose(scores[place], [0.25, 0.375], rtol=1e-5)


def test_wild_predictions_stay_finite():
    maps = raw([1e4, -1e4, 1e4, 1e4], [1e4], [-1e4, 1e4])
    head = heads.Decoupled(num_classes=2)
    terms = values_of(head, maps, np.array([[[4, 4, 30, 30]]]), np.array([[1]]))
    assert all(np.isfinite(float(value)) for value in terms.values())
