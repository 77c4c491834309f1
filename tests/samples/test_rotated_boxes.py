"""Rotated boxes: transforms, clipping and visibility equal OpenCV and Shapely."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visiongarden import UserError
from visiongarden.samples import Field, RotatedBoxes

SIZE = (80, 100)
MIRROR = np.array([[-1, 0, 100], [0, 1, 0], [0, 0, 1]], float)


def rows(boxes):
    return np.asarray(boxes).tolist()


def opencv_corners(box):
    x, y, width, height, angle = map(float, box)
    return cv2.boxPoints(((x, y), (width, height), angle))


def same_points(found, expected, atol):
    """Compare sets of four corners."""
    distances = np.linalg.norm(np.asarray(found)[:, None] - np.asarray(expected)[None], axis=2)
    np.testing.assert_allclose(distances.min(axis=0), 0, atol=atol)
    np.testing.assert_allclose(distances.min(axis=1), 0, atol=atol)


coordinates = st.floats(-500, 500, width=32)
lengths = st.floats(1, 300, width=32)
boxes_of_any_angle = st.tuples(
    coordinates, coordinates, lengths, lengths, st.floats(-400, 400, width=32)
)
similarities = st.builds(
    lambda degrees, scale, x, y, mirrored: (
        np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])
        @ np.array(
            [
                [np.cos(degrees), -np.sin(degrees), 0],
                [np.sin(degrees), np.cos(degrees), 0],
                [0, 0, 1],
            ]
        )
        @ np.diag([-scale if mirrored else scale, scale, 1])
    ),
    st.floats(-7, 7),
    st.floats(0.25, 4),
    st.floats(-300, 300),
    st.floats(-300, 300),
    st.booleans(),
)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([5, 6, 20, 10, 30], [5, 6, 20, 10, 30]),
        ([5, 6, 10, 20, 30], [5, 6, 20, 10, -60]),  # the longer edge is the width
        ([5, 6, 10, 20, 0], [5, 6, 20, 10, -90]),
        ([5, 6, 10, 20, -45], [5, 6, 20, 10, 45]),
        ([5, 6, 20, 10, 90], [5, 6, 20, 10, -90]),  # 90 is excluded
        ([5, 6, 20, 10, 200], [5, 6, 20, 10, 20]),
        ([5, 6, 20, 10, -450], [5, 6, 20, 10, -90]),
        ([5, 6, 10, 10, 45], [5, 6, 10, 10, -45]),  # a quarter turn does not change a square
        ([5, 6, 10, 10, -90], [5, 6, 10, 10, 0]),
        ([5, 6, 0, 0, 0], [5, 6, 0, 0, 0]),
    ],
)
def test_one_form_for_each_box(box, expected):
    assert rows(RotatedBoxes([box])) == [expected]


@given(boxes_of_any_angle)
def test_corners_equal_opencv(box):
    found = RotatedBoxes([box])
    _, _, width, height, angle = rows(found)[0]
    limit = 45 if width == height else 90
    assert width >= height
    assert -limit <= angle < limit
    same_points(found.corners()[0], opencv_corners(box), atol=2e-3)


def test_the_corners_begin_at_the_edge_of_the_width():
    assert RotatedBoxes([[3, 2, 4, 2, 0]]).corners().tolist() == [[[1, 1], [5, 1], [5, 3], [1, 3]]]
    upright = RotatedBoxes(
        [[3, 2, 4, 2, -90]]
    ).corners()  # up on the screen, first edge at the left
    assert upright.tolist() == [[[2, 4], [2, 0], [4, 0], [4, 4]]]


def all_orders(corners):
    for start in range(4):
        turned = np.roll(corners, start, axis=0)
        yield turned
        yield turned[::-1]


@given(boxes_of_any_angle)
def test_first_corner_and_direction_do_not_matter(box):
    corners = opencv_corners(box)
    found = RotatedBoxes.from_corners(np.stack(list(all_orders(corners))))
    np.testing.assert_array_equal(found, np.asarray(found)[:1].repeat(8, axis=0))
    same_points(found.corners()[0], corners, atol=2e-3)


@given(st.lists(st.tuples(coordinates, coordinates), min_size=4, max_size=4))
def test_the_order_of_any_four_points_does_not_matter(points):
    found = RotatedBoxes.from_corners(np.stack(list(all_orders(np.array(points)))))
    np.testing.assert_array_equal(found, np.asarray(found)[:1].repeat(8, axis=0))
    # OpenCV finds the rectangle of minimum area, in float32.
    _, (width, height), _ = cv2.minAreaRect(np.float32(points))
    area = np.asarray(found, np.float64)[0, 2:4].prod()
    assert area <= width * height * 1.001 + 0.2
    inside = RotatedBoxes(np.asarray(found) + np.float32([0, 0, 0.01, 0.01, 0])).corners()[0]
    hull = cv2.convexHull(inside)
    assert all(cv2.pointPolygonTest(hull, p, True) >= -0.01 for p in np.float32(points).tolist())


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        ([[1, 1], [5, 1], [5, 3], [1, 3]], [3, 2, 4, 2, 0]),
        ([[1, 1], [3, 1], [3, 5], [1, 5]], [2, 3, 4, 2, -90]),
        ([[0, 0], [3, 3], [2, 4], [-1, 1]], [1, 2, 18**0.5, 2**0.5, 45]),
        ([[0, 3], [3, 0], [4, 1], [1, 4]], [2, 2, 18**0.5, 2**0.5, -45]),
        ([[0, 0], [2, 0], [2, 2], [0, 2]], [1, 1, 2, 2, 0]),
        ([[1, 0], [2, 1], [1, 2], [0, 1]], [1, 1, 2**0.5, 2**0.5, -45]),
        ([[1, 1], [5, 3], [5, 1], [1, 3]], [3, 2, 4, 2, 0]),  # crossing edges
        ([[0, 0], [10, 0], [10, 4], [0, 4.5]], [5, 2.25, 10, 4.5, 0]),  # no rectangle
        ([[7, 8]] * 4, [7, 8, 0, 0, 0]),
        ([[0, 5], [4, 5], [4, 5], [0, 5]], [2, 5, 4, 0, 0]),
    ],
)
def test_from_corners(corners, expected):
    found = RotatedBoxes.from_corners([corners])
    np.testing.assert_allclose(found, [expected], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (np.eye(3), [40, 30, 20, 10, 25]),
        (MIRROR, [60, 30, 20, 10, -25]),  # W - x
        (np.diag([1.0, -1, 1]), [40, -30, 20, 10, -25]),
        (np.diag([-1.0, -1, 1]), [-40, -30, 20, 10, 25]),
        (np.diag([2.0, 2, 1]), [80, 60, 40, 20, 25]),
        (np.array([[0, -1, 80], [1, 0, 0], [0, 0, 1]]), [50, 40, 20, 10, -65]),  # a quarter turn
        (np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]]), [30, 40, 20, 10, 65]),  # transposed
        (np.array([[1, 0, 7], [0, 1, -9], [0, 0, 1]]), [47, 21, 20, 10, 25]),
    ],
)
def test_similarities_are_exact(matrix, expected):
    assert rows(RotatedBoxes([[40, 30, 20, 10, 25]]).warp(matrix, SIZE)) == [expected]


@given(boxes_of_any_angle, similarities)
def test_similarities_move_the_corners(box, matrix):
    expected = cv2.perspectiveTransform(opencv_corners(box)[None].astype(float), matrix)[0]
    same_points(RotatedBoxes([box]).warp(matrix, SIZE).corners()[0], expected, atol=2e-2)


@given(boxes_of_any_angle, similarities, similarities)
def test_two_warps_are_the_warp_by_their_product(box, first, second):
    boxes = RotatedBoxes([box])
    twice = boxes.warp(first, SIZE).warp(second, SIZE)
    same_points(twice.corners()[0], boxes.warp(second @ first, SIZE).corners()[0], atol=2e-2)


@pytest.mark.parametrize(
    ("matrix", "box", "expected"),
    [  # from shapely.minimum_rotated_rectangle 2.2
        (
            [[1, 0.5, 3], [0, 1, -2], [0, 0, 1]],
            [40, 30, 20, 10, 25],
            [58, 28, 27.3883, 8.3692, 20.7137],
        ),
        (
            [[1, 0.1, 5], [0.05, 1.2, 0], [0.002, 0.001, 1]],
            [40, 30, 20, 10, -70],
            [43.2233, 34.0909, 21.9227, 8.507, -76.7118],
        ),
        (
            [[-1.5, 0, 90], [0, 0.7, 4], [0, 0, 1]],
            [40, 30, 30, 8, -33],
            [30, 25, 44.3278, 6.3902, 16.8598],
        ),
        ([[2, 0, 0], [0, 1, 0], [0, 0, 1]], [10, 10, 4, 3, -90], [20, 10, 6, 4, 0]),
    ],
)
def test_other_warps_give_the_rectangle_of_minimum_area(matrix, box, expected):
    found = RotatedBoxes([box]).warp(np.array(matrix), SIZE)
    np.testing.assert_allclose(found, [expected], rtol=1e-4, atol=1e-4)


def test_boxes_behind_the_camera():
    matrix = np.array([[1, 0, 0], [0, 1, 0], [-0.01, 0, 1]])  # the depth is 1 - x / 100
    boxes = RotatedBoxes([[25, 15, 50, 10, 0], [100, 15, 100, 10, 0], [155, 15, 10, 10, 0]])
    fractions = boxes.warp(matrix, (100, 300)).visible_fraction((100, 300))
    assert fractions[0] > 0.9
    assert 0 < fractions[1] < 0.1
    assert fractions[2] == 0


@pytest.mark.parametrize(
    ("box", "fraction", "clipped"),
    [  # from the intersection in Shapely 2.2, and its bounds in the axes of the box
        ([50, 40, 30, 10, 0], 1, [50, 40, 30, 10, 0]),
        ([0, 40, 30, 10, 20], 0.5, [6.1926, 42.2539, 16.8199, 10, 20]),
        ([95, 5, 40, 20, -35], 0.550236, [89.6606, 8.7387, 26.9636, 20, -35]),
        ([50, 40, 200, 120, 30], 0.333333, [50, 40, 126.6025, 119.282, 30]),
        # The other edge of a square becomes the longer one: the same axes, 44° - 90°.
        ([100, 80, 30, 30, 44], 0.25, [94.7837, 74.605, 29.4853, 15, -46]),
        ([50, 78, 60, 12, -89], 0.533338, [50.2434, 64.0546, 32.105, 12, -89]),
        ([101, 81, 200, 6, -45], 0.002096, [99.4393, 79.4393, 3.1716, 1.5858, -45]),
        ([-4, -3, 40, 8, -60], 0, [0, 0, 0, 0, 30]),
        ([120, 40, 30, 10, 10], 0, [100, 40, 0, 0, 10]),
        ([0, 40, 30, 0, 0], 0.5, [7.5, 40, 15, 0, 0]),  # a line
        ([10, 40, 0, 0, 0], 1, [10, 40, 0, 0, 0]),
        ([-1, 40, 0, 0, 0], 0, [0, 40, 0, 0, 0]),
    ],
)
def test_visibility_and_clipping(box, fraction, clipped):
    boxes = RotatedBoxes([box])
    np.testing.assert_allclose(boxes.visible_fraction(SIZE), [fraction], atol=1e-6)
    np.testing.assert_allclose(boxes.clip(SIZE), [clipped], rtol=1e-5, atol=1e-4)


@given(boxes_of_any_angle)
def test_visibility_equals_opencv(box):
    canvas = np.float32([[0, 0], [100, 0], [100, 80], [0, 80]])
    seen, _ = cv2.intersectConvexConvex(opencv_corners(box), canvas)
    np.testing.assert_allclose(
        RotatedBoxes([box]).visible_fraction(SIZE), [seen / (box[2] * box[3])], atol=5e-3
    )


def test_boxes_inside_are_kept_to_the_last_bit():
    boxes = RotatedBoxes([[30, 30, 20.1, 10.3, 33.3], [0, 0, 20, 10, 20]])
    clipped = boxes.clip(SIZE)
    assert rows(clipped)[0] == rows(boxes)[0]
    assert rows(clipped)[1][4] == 20


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[1, 2, 3, 4]], "wrong shape"),
        ([1, 2, 3, 4, 5], "wrong shape"),
        ([[1, 2, 3, 4, np.nan]], "not finite"),
        ([[1, 2, -3, 4, 0]], "negative size"),
    ],
)
def test_invalid_boxes(boxes, message):
    with pytest.raises(UserError, match=message):
        RotatedBoxes(boxes)


@pytest.mark.parametrize(
    ("corners", "message"),
    [
        ([[1, 2, 3, 4, 5, 6, 7, 8]], "wrong shape"),
        ([[[1, 2]] * 3], "wrong shape"),
        ([[1, 2]] * 4, "wrong shape"),
        ([[[1, np.inf]] * 4], "not finite"),
    ],
)
def test_invalid_corners(corners, message):
    with pytest.raises(UserError, match=message):
        RotatedBoxes.from_corners(corners)


def test_no_boxes():
    boxes = RotatedBoxes([])
    shear = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    projective = np.array([[1, 0, 0], [0, 1, 0], [0.001, 0, 1]])
    found = [boxes, boxes[:], boxes[[]], boxes.clip(SIZE), RotatedBoxes.from_corners([]),
             RotatedBoxes.concatenate([]), RotatedBoxes.concatenate([boxes]),
             *(boxes.warp(m, SIZE) for m in (np.eye(3), shear, projective))]  # fmt: skip
    assert all(np.asarray(b).shape == (0, 5) for b in found)
    assert boxes.corners().shape == (0, 4, 2)
    assert boxes.visible_fraction(SIZE).shape == (0,)


def test_field():
    boxes = RotatedBoxes([[1, 2, 9, 4, 5], [6, 7, 9, 8, 10]])
    assert isinstance(boxes, Field)
    assert rows(boxes[[1]]) == [[6, 7, 9, 8, 10]]
    assert rows(RotatedBoxes.concatenate([boxes[1:], boxes[:1]])) == rows(boxes[::-1])
    targets = boxes.to_targets(3, SIZE)["boxes"]
    assert targets.dtype == np.float32
    assert targets.tolist() == [*rows(boxes), [0] * 5]
    with pytest.raises(UserError, match="capacity=2"):
        boxes.to_targets(1, SIZE)
