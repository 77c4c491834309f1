"""Assigners on cases that can be counted by hand."""

import numpy as np
import pytest
from keras import ops as k

from visiongarden.assigners import AnchorIoU, TaskAligned
from visiongarden.errors import UserError
from visiongarden.ops import AnchorGrid, cells_of
from visiongarden.types import Candidates

SIZE = (32, 32)
CELLS = cells_of(("p3",), SIZE)


def assign(boxes, classes, predicted=None, scores=None, **options):
    n = len(CELLS.strides)
    boxes = np.array(boxes, np.float32).reshape(1, -1, 4)
    if predicted is None:
        predicted = np.tile(boxes[:, :1], (1, n, 1))
    if scores is None:
        scores = np.full((1, n, 2), 0.5, np.float32)
    classes = np.array(classes, np.int32).reshape(1, -1)
    found = TaskAligned(**options)(
        Candidates(scores, predicted, CELLS.centers, CELLS.strides),
        {"boxes": boxes, "classes": classes},
    )
    index, quality = (k.convert_to_numpy(x)[0] for x in found)
    assert ((index >= 0) == (quality > 0)).all()
    row = np.maximum(index, 0)
    return boxes[0, row], classes[0, row], quality


@pytest.mark.backends
def test_task_aligned_takes_cells_inside():
    boxes, classes, quality = assign([[0, 0, 16, 16]], [1])
    assert np.flatnonzero(quality).tolist() == [0, 1, 4, 5]
    np.testing.assert_allclose(quality[[0, 1, 4, 5]], 1, atol=1e-5)
    assert classes[0] == 1
    assert boxes[0].tolist() == [0, 0, 16, 16]


@pytest.mark.slow_backends
@pytest.mark.parametrize("classes", [[-1], []])
def test_there_are_no_positives_without_boxes(classes):
    boxes = [[0, 0, 0, 0]] * max(len(classes), 1)
    _, _, quality = assign(boxes, classes or [-1])
    assert not quality.any()


def test_top_k_selects_the_highest_scores():
    scores = np.full((1, 16, 2), 0.1, np.float32)
    scores[0, 5, 1] = 0.9
    _, _, quality = assign([[0, 0, 32, 32]], [1], scores=scores, top_k=1)
    assert np.flatnonzero(quality).tolist() == [5]


def test_a_cell_of_two_boxes_is_assigned_to_the_larger_overlap():
    boxes = [[0, 0, 32, 32], [0, 0, 8, 8]]
    predicted = np.tile(np.array([[0, 0, 8, 8]], np.float32), (1, 16, 1))
    found, classes, quality = assign(boxes, [0, 1], predicted, top_k=16)
    assert classes[0] == 1
    assert found[0].tolist() == [0, 0, 8, 8]
    assert quality[0] == pytest.approx(1, abs=1e-5)
    assert set(classes[1:]) == {0}


def test_quality_is_scaled_to_the_best_overlap():
    """TOOD, section 3.3.1: the highest quality of a box is its highest IoU."""
    predicted = np.tile(np.array([[0, 0, 16, 8]], np.float32), (1, 16, 1))
    predicted[0, 1] = [0, 0, 4, 8]
    _, _, quality = assign([[0, 0, 16, 16]], [1], predicted)
    assert quality.max() == pytest.approx(0.5, abs=1e-5)
    assert quality[1] < quality[0]


@pytest.mark.parametrize("corner", [(1.0, 1.0), (6.5, 6.5), (7.0, 3.0)])
def test_a_box_between_all_centers_still_has_a_positive(corner):
    x, y = corner
    _, _, quality = assign([[x, y, x + 2, y + 2]], [0])
    assert quality.any()


ANCHORS = {"p3": ((8.0, 8.0), (8.0, 16.0)), "p4": ((32.0, 32.0),)}


def assigned(boxes, classes, predicted=None, **options):
    grid = AnchorGrid(ANCHORS, SIZE)
    if predicted is None:
        predicted = np.zeros((1, grid.count, 4), np.float32)
    found = AnchorIoU(**options)(
        Candidates(
            None,
            predicted,
            (grid.cells + 0.5) * grid.strides[:, None],
            grid.strides,
            grid.anchors,
        ),
        {"boxes": np.array([boxes], np.float32), "classes": np.array([classes], np.int32)},
    )
    index, weight = (k.convert_to_numpy(x)[0] for x in found)
    assert weight.tolist() == (index >= 0).tolist()
    return index


def taken(boxes, classes, **options):
    index = assigned(boxes, classes, **options)
    return [np.flatnonzero(index == number).tolist() for number in range(len(boxes))]


@pytest.mark.slow_backends
def test_anchor_iou_takes_the_cell_of_the_center():
    # Center (12, 20) -> column 1, row 2 of p3, anchor 0: ((2 * 4) + 1) * 2 = 18.
    assert taken([[8, 16, 16, 24]], [0], neighbors=False, threshold=0.6) == [[18]]
    # The shapes overlap by 1/2: a lower threshold takes the second anchor too.
    assert taken([[8, 16, 16, 24]], [0], neighbors=False, threshold=0.5) == [[18, 19]]
    # Padding takes nothing; a box of p4's size goes there: 32 predictions come before it.
    assert taken([[0, 0, 0, 0], [0, 0, 30, 30]], [-1, 1], neighbors=False) == [[], [32]]


def test_neighbors_are_the_nearer_ones_inside_the_map():
    # Center (10, 18): nearer to the left and the upper cell.
    assert taken([[6, 14, 14, 22]], [0], threshold=0.6) == [[10, 16, 18]]
    # Center (3, 3): both would be outside.
    assert taken([[0, 0, 6, 6]], [0], threshold=0.55) == [[0]]


@pytest.mark.slow_backends
def test_a_prediction_that_suits_two_boxes_learns_the_better_overlap():
    boxes = [[8, 16, 16, 24], [8, 16, 16, 23], [8, 16, 16, 24]]
    predicted = np.zeros((1, 36, 4), np.float32)
    predicted[0, 18] = [8, 16, 16, 22.5]
    options = {"neighbors": False, "threshold": 0.6}
    assert assigned(boxes, [0, 1, 0], predicted, **options)[18] == 1
    # Of equal overlaps, the first box.
    assert assigned(boxes, [0, -1, 0], predicted, **options)[18] == 0
    assert taken(boxes[:1], [0], neighbors=False, threshold=0.6) == [[18]]


def test_anchor_iou_needs_anchors():
    candidates = Candidates(None, np.zeros((1, 16, 4), np.float32), CELLS.centers, CELLS.strides)
    with pytest.raises(UserError, match="needs a head with anchors"):
        AnchorIoU()(candidates, {"boxes": np.zeros((1, 1, 4)), "classes": np.zeros((1, 1))})
