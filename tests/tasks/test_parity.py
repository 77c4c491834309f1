"""Parity of exported files: rounding passes, also of an untrained model, and errors do not."""

import numpy as np
import pytest

from visiongarden.tasks import DetectionTask, find
from visiongarden.tasks.parity import MAX_PIXELS, MAX_SCORE

IMAGES, ANCHORS, CLASSES = 2, 400, 3


def arrays(spread, seed=0):
    """Boxes that overlap, with scores that differ by `spread` alone."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 100, (IMAGES, ANCHORS, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(20, 60, corners.shape)], -1)
    scores = 0.01 + spread * rng.random((IMAGES, ANCHORS, CLASSES))
    return {"boxes": boxes.astype(np.float32), "scores": scores.astype(np.float32)}


def rounded(expected, size, seed=1):
    """The same arrays as another runtime computes them."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, array in expected.items():
        found[name] = (array + size[name] * rng.uniform(-1, 1, array.shape)).astype(np.float32)
    return found


@pytest.mark.parametrize("spread", [0.0, 1e-6, 1e-4, 1e-2, 0.9])
@pytest.mark.parametrize("needs_nms", [True, False])
def test_rounding_passes_for_every_amount_of_training(spread, needs_nms):
    expected = arrays(spread)
    actual = rounded(expected, {"boxes": 1e-4, "scores": 1e-6})
    parity = DetectionTask().difference(expected, actual, needs_nms=needs_nms)
    assert parity.agrees, parity
    assert parity.found > 0


def test_ties_of_one_ulp_pass():
    """Two boxes that overlap, whose scores have another order in the file."""
    boxes = np.array([[[0, 0, 10, 10], [0, 0, 10, 9]]], np.float32)
    scores = np.array([[[0.5], [np.nextafter(np.float32(0.5), np.float32(0))]]], np.float32)
    other = scores[:, ::-1].copy()
    expected = {"boxes": boxes, "scores": scores}
    assert DetectionTask().difference(expected, {"boxes": boxes, "scores": other}).agrees


@pytest.mark.parametrize(("side", "apart", "agrees"), [
    (300, 0.09, True), (300, 0.15, False), (1500, 0.15, True), (1500, 0.45, False),
])  # fmt: skip
def test_differences_of_large_boxes_are_relative(side, apart, agrees):
    """Anchors for other image sizes predict boxes of several times the size of an image."""
    expected = arrays(0.9)
    boxes = expected["boxes"]
    boxes[0, 0, 2:] = boxes[0, 0, :2] + side
    moved = boxes.copy()
    moved[0, 0, 2] += apart
    parity = DetectionTask().difference(expected, expected | {"boxes": moved})
    assert parity.agrees == agrees, parity
    assert parity.boxes == pytest.approx(apart / max(1, side / 400), rel=0.01)


def errors(expected):
    """Arrays of files with an error each."""
    boxes, scores = expected["boxes"], expected["scores"]
    shifted = boxes.copy()
    shifted[:, :, 0::2] += 1.0
    one = boxes.copy()
    best = scores.max(-1)[0].argmax()
    one[0, best, 0] += 2 * MAX_PIXELS
    return {
        "classes in another order": {"boxes": boxes, "scores": scores[..., [1, 0, 2]]},
        "boxes of another position": {"boxes": boxes[:, ::-1], "scores": scores},
        "shifted by a pixel": {"boxes": shifted, "scores": scores},
        "one box": {"boxes": one, "scores": scores},
        "corners exchanged": {"boxes": boxes[..., [1, 0, 3, 2]], "scores": scores},
        "other images": {"boxes": boxes, "scores": scores[::-1]},
        "logits": {"boxes": boxes, "scores": np.log(scores / (1 - scores))},
    }


@pytest.mark.parametrize("name", list(errors(arrays(0.5))))
@pytest.mark.parametrize("spread", [1e-3, 1e-2, 0.9])
def test_errors_do_not_pass(spread, name):
    """Also where all scores are within the tolerance of a score: decisions still differ."""
    expected = arrays(spread)
    actual = errors(expected)[name]
    assert not DetectionTask().difference(expected, actual).agrees


@pytest.mark.parametrize("task", ["classification", "segmentation", "multi_label"])
def test_tasks_with_scores(task):
    """A thousand classes with nearly equal scores: their order is compared, rounding is not."""
    rng = np.random.default_rng(0)
    shape = (4, 6, 5, 1000) if task == "segmentation" else (4, 1000)
    scores = (0.5 + 1e-3 * rng.normal(size=shape)).astype(np.float32)
    noise = (1e-6 * rng.uniform(-1, 1, shape)).astype(np.float32)
    chosen = find(task)
    assert chosen.difference({"scores": scores}, {"scores": scores + noise}).agrees
    swapped = 0.5 + (scores[..., ::-1] - 0.5)
    assert np.abs(swapped - scores).max() > MAX_SCORE
    close = 0.5 + (scores - 0.5) / 20
    order = 0.5 + (scores[..., ::-1] - 0.5) / 20
    assert np.abs(close - order).max() < MAX_SCORE
    parity = chosen.difference({"scores": close}, {"scores": order})
    assert parity.differing
    assert not parity.agrees


def test_a_nan_does_not_pass():
    expected = arrays(0.5)
    scores = expected["scores"].copy()
    scores[0, 0, 0] = np.nan
    assert not DetectionTask().difference(expected, expected | {"scores": scores}).agrees
