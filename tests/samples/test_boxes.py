"""Boxes: transforms, clipping and visibility equal hand-computed values and OpenCV."""

import cv2
import numpy as np
import pytest

from visiongarden import UserError
from visiongarden.samples import Boxes, Field

BOX = [[10, 20, 30, 40]]
SIZE = (80, 100)


def affine(a, b, c, d, e, f):
    return np.array([[a, b, c], [d, e, f], [0, 0, 1]], float)


def rows(boxes):
    return np.asarray(boxes).tolist()


def test_boxes_are_a_field_and_an_array():
    boxes = Boxes(BOX)
    assert isinstance(boxes, Field)
    assert np.asarray(boxes).dtype == np.float32
    assert np.asarray(boxes, np.float64).dtype == np.float64
    assert rows(Boxes(boxes)) == BOX


def test_the_array_cannot_be_changed_through_the_boxes():
    given = np.array(BOX, np.float32)
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(Boxes(given))[0] = 0
    given[0] = 0  # the user's own array stays writable
    np.array(Boxes(BOX))[0] = 0  # as does a copy


@pytest.mark.parametrize("empty", [[], (), np.zeros((0, 4)), np.zeros((0, 4), np.int64)])
def test_no_boxes(empty):
    boxes = Boxes(empty)
    projective = np.array([[1, 0, 0], [0, 1, 0], [0.001, 0, 1]])
    found = [
        boxes,
        boxes[:],
        boxes[[]],
        boxes[np.zeros(0, bool)],
        Boxes.concatenate([]),
        Boxes.concatenate([boxes, boxes]),
        boxes.warp(np.eye(3), SIZE),
        boxes.warp(projective, SIZE),
        boxes.clip(SIZE),
    ]
    assert all(np.asarray(b).shape == (0, 4) for b in found)
    assert boxes.visible_fraction(SIZE).shape == (0,)
    assert boxes.to_targets(2, SIZE)["boxes"].tolist() == [[0] * 4] * 2


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([1, 2, 3, 4], "wrong shape"),
        ([[1, 2, 3]], "wrong shape"),
        (np.zeros((0, 5)), "wrong shape"),
        (5, "wrong shape"),
        ([[1, 2, 3, 4], [1, 2]], "cannot be converted"),
        ([["1", "2", "3", "4"]], "not numbers"),
        ([[1, 2, 3, np.nan]], r"not finite[\s\S]*row 0"),
        ([[1, 2, 3, 4], [1, 2, np.inf, 4]], r"not finite[\s\S]*row 1"),
        ([[1, 2, 3, 1e300]], "not finite"),
    ],
)
def test_invalid_boxes(boxes, message):
    with pytest.raises(UserError, match=message):
        Boxes(boxes)


def test_large_finite_numbers_are_valid():
    assert len(Boxes([[-3e38, -3e38, 3e38, 3e38]])) == 1  # their sum of squares overflows


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (np.eye(3), [10, 20, 30, 40]),
        (affine(1, 0, -5, 0, 1, 7), [5, 27, 25, 47]),
        (affine(2, 0, 0, 0, 0.5, 0), [20, 10, 60, 20]),
        (affine(-1, 0, 100, 0, 1, 0), [70, 20, 90, 40]),  # W - x, not W - x - 1
        (affine(1, 0, 0, 0, -1, 80), [10, 40, 30, 60]),
        (affine(0, -1, 80, 1, 0, 0), [40, 10, 60, 30]),  # a quarter turn: x' = 80 - y, y' = x
        (affine(1, 0.5, 0, 0, 1, 0), [20, 20, 50, 40]),  # x' = x + y / 2
        (2 * affine(1, 0, 5, 0, 1, 0), [15, 20, 35, 40]),  # a factor changes no projective map
        (-affine(1, 0, 5, 0, 1, 0), [15, 20, 35, 40]),
    ],
)
def test_warp(matrix, expected):
    assert rows(Boxes(BOX).warp(matrix, SIZE)) == [expected]


@pytest.mark.parametrize("seed", range(3))
def test_warp_by_perspective_equals_opencv(seed):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 50, (5, 2))
    boxes = np.hstack([low, low + rng.uniform(5, 50, (5, 2))])
    source = np.float32([[0, 0], [100, 0], [100, 100], [0, 100]])
    matrix = cv2.getPerspectiveTransform(source, source + rng.uniform(-9, 9, (4, 2)).astype("f4"))
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    moved = cv2.perspectiveTransform(corners.reshape(-1, 1, 2), matrix).reshape(5, 4, 2)
    expected = np.hstack([moved.min(axis=1), moved.max(axis=1)])
    np.testing.assert_allclose(Boxes(boxes).warp(matrix, SIZE), expected, rtol=1e-5, atol=1e-4)


def test_boxes_behind_the_camera():
    # The depth is 1 - x / 100: the first box is in front, the second reaches behind, and the third
    # is behind. x' = x / (1 - x / 100) of the second begins at 50 / 0.5.
    matrix = np.array([[1, 0, 0], [0, 1, 0], [-0.01, 0, 1]])
    boxes = Boxes([[0, 10, 50, 20], [50, 10, 150, 20], [150, 10, 160, 20]])
    found = boxes.warp(matrix, (100, 300))
    assert rows(found)[0] == [0, 10, 100, 40]
    np.testing.assert_allclose(rows(found)[1][:2], [100, 20], rtol=1e-6)
    assert min(rows(found)[1][2:]) > 1e4
    fractions = found.visible_fraction((100, 300))
    assert fractions[0] == 1
    assert fractions[1] > 0
    assert fractions[2] == 0


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(2), "invalid shape"),
        (np.eye(3)[:2], r"invalid shape[\s\S]*vstack"),
        (np.full((3, 3), np.nan), "cannot be inverted"),
        (np.diag([1, np.inf, 1]), "cannot be inverted"),
        (np.diag([1.0, 0, 1]), "cannot be inverted"),
        ("abc", "invalid shape"),
        (affine(1e200, 0, 0, 0, 1, 0), "not finite"),
    ],
)
def test_invalid_matrices(matrix, message):
    with pytest.raises(UserError, match=message):
        Boxes(BOX).warp(matrix, SIZE)


@pytest.mark.parametrize(
    ("box", "fraction", "clipped"),
    [
        ([10, 20, 30, 40], 1, [10, 20, 30, 40]),
        ([0, 0, 100, 80], 1, [0, 0, 100, 80]),
        ([-10, 0, 10, 10], 0.5, [0, 0, 10, 10]),
        ([90, 70, 110, 90], 0.25, [90, 70, 100, 80]),
        ([-100, -80, 200, 160], 1 / 9, [0, 0, 100, 80]),
        ([-20, 0, 0, 10], 0, [0, 0, 0, 10]),
        ([120, 0, 130, 10], 0, [100, 0, 100, 10]),
        ([-10, 5, 10, 5], 0.5, [0, 5, 10, 5]),  # no height: half of its length is visible
        ([5, 5, 5, 5], 1, [5, 5, 5, 5]),
        ([-5, 5, -5, 5], 0, [0, 5, 0, 5]),
    ],
)
def test_visibility_and_clipping(box, fraction, clipped):
    boxes = Boxes([box])
    assert boxes.visible_fraction(SIZE).tolist() == [fraction]
    assert rows(boxes.clip(SIZE)) == [clipped]


def test_select_and_concatenate():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    boxes = Boxes(array)
    for index in (slice(1, 3), slice(None, None, -1), np.array([2, 0]), [2, 0], [-1],
                  np.array([True, False, True]), [True, False, False]):  # fmt: skip
        assert rows(boxes[index]) == array[index].tolist()
    assert rows(Boxes.concatenate([boxes[:1], boxes[1:]])) == array.tolist()


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (0, r"not valid[\s\S]*\[0:1\]"),
        (-1, r"\[-1:\]"),
        (np.array([True]), "wrong length"),
        ([3], "out of range"),
        ([-4], "out of range"),
        ([0.5], "not valid"),
        ("a", "not valid"),
        ((slice(None), 0), "cannot be converted|not valid"),
    ],
)
def test_invalid_indices(index, message):
    with pytest.raises(UserError, match=message):
        Boxes(np.zeros((3, 4)))[index]


def test_targets():
    targets = Boxes(BOX).to_targets(2, SIZE)
    assert targets["boxes"].dtype == np.float32
    assert targets["boxes"].tolist() == [*BOX, [0, 0, 0, 0]]
    with pytest.raises(UserError, match="capacity=1"):
        Boxes(BOX * 2).to_targets(1, SIZE)


def test_iteration_yields_rows():
    boxes = Boxes([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert [box.tolist() for box in boxes] == [[1, 2, 3, 4], [5, 6, 7, 8]]
    with pytest.raises(UserError, match="index of the objects") as error:
        boxes[1]
    assert error.value.fix == "[1:2]"
    assert list(Boxes([])) == []
