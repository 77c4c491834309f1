"""Keypoints: points move with the image, pairs swap, and visibility is decided once."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import visiongarden as vg
from visiongarden.samples import Boxes, Field, Instances, Keypoints

SIZE = (40, 60)
MIRROR = np.array([[-1, 0, SIZE[1]], [0, 1, 0], [0, 0, 1.0]])
PAIRS = [(0, 1), (3, 2)]

numbers = st.floats(-1.5, 1.5)
offsets = st.floats(-30, 30)
tilts = st.floats(-2e-3, 2e-3)


@st.composite
def matrices(draw, perspective=True):
    a, b, c, d = (draw(numbers) for _ in range(4))
    matrix = np.array([[a, b, draw(offsets)], [c, d, draw(offsets)], [0, 0, 1]])
    if perspective:
        matrix[2, :2] = draw(tilts), draw(tilts)
    matrix[0, 0] += np.copysign(2, a)
    matrix[1, 1] += np.copysign(2, d)  # dominates, so that the matrix can be inverted
    return matrix if abs(np.linalg.det(matrix)) > 0.2 else np.diag([1, -1, 1.0])


@st.composite
def points(draw, count=5):
    n = draw(st.integers(0, 3))
    values = draw(arrays(np.float32, (n, count, 3), elements=st.floats(0, 60, width=32)))
    values[..., 2] = draw(arrays(np.int8, (n, count), elements=st.integers(0, 2)))
    values[values[..., 2] == 0] = 0
    return values


def moved(values, matrix, pairs=()):
    """One point after another, in float64."""
    found = np.zeros(values.shape)
    for row, person in enumerate(values.astype(float)):
        for k, (x, y, visibility) in enumerate(person):
            u, v, w = matrix @ (x, y, 1)
            if visibility and w > 0:
                found[row, k] = u / w, v / w, visibility
        if np.linalg.det(matrix) < 0:
            for left, right in pairs:
                found[row, [left, right]] = found[row, [right, left]]
    return found


@settings(max_examples=100)
@given(points(), matrices())
def test_warped_points_are_computed_one_by_one(values, matrix):
    found = Keypoints(values, pairs=PAIRS).warp(matrix, SIZE)
    np.testing.assert_allclose(found.values, moved(values, matrix, PAIRS), rtol=1e-4, atol=1e-3)


@settings(max_examples=100)
@given(points(), matrices(), matrices(perspective=False))
def test_two_warps_are_their_product(values, first, second):
    keypoints = Keypoints(values, pairs=PAIRS)
    after = keypoints.warp(first, SIZE).warp(second, SIZE)
    product = keypoints.warp(second @ first, SIZE)
    np.testing.assert_allclose(after.values, product.values, rtol=1e-4, atol=2e-2)


@given(points())
def test_two_mirrors_are_the_identity(values):
    keypoints = Keypoints(values, pairs=PAIRS)
    once = keypoints.warp(MIRROR, SIZE)
    expected = values[:, [1, 0, 3, 2, 4]]
    labeled = expected[..., 2] > 0
    expected[..., 0] = np.where(labeled, 60 - expected[..., 0], 0)
    np.testing.assert_allclose(once.values, expected, atol=1e-5)
    np.testing.assert_allclose(once.warp(MIRROR, SIZE).values, values, atol=1e-5)


def test_a_mirror_maps_x_to_width_minus_x():
    found = Keypoints([[[7, 3, 2], [0, 0, 0]]], pairs=()).warp(MIRROR, SIZE)
    assert found.values.tolist() == [[[53, 3, 2], [0, 0, 0]]]


def test_a_turn_by_180_degrees_swaps_nothing():
    turn = np.diag([-1, -1, 1.0])
    turn[:2, 2] = SIZE[::-1]
    found = Keypoints([[[7, 3, 2], [9, 4, 1]]], pairs=[(0, 1)]).warp(turn, SIZE)
    assert found.values.tolist() == [[[53, 37, 2], [51, 36, 1]]]


def test_the_scale_of_a_matrix_changes_nothing():
    keypoints = Keypoints([[[7, 3, 2], [9, 4, 1]]], pairs=[(0, 1)])
    for factor in (-2, 1e-9):
        found = keypoints.warp(factor * MIRROR, SIZE)
        assert found.values.tolist() == [[[51, 4, 1], [53, 3, 2]]]


def test_without_pairs_a_mirror_is_off():
    values = [[[7, 3, 2], [9, 4, 1]]]
    assert not Keypoints(values).can_mirror
    assert Keypoints(values, pairs=[(0, 1)]).can_mirror
    assert Keypoints(values, pairs=()).can_mirror  # known to have no left and right
    assert Keypoints(values).warp(MIRROR, SIZE).values.tolist() == [[[53, 3, 2], [51, 4, 1]]]


def test_visibility_is_decided_after_all_geometry():
    away = np.array([[1, 0, 100], [0, 1, 0], [0, 0, 1.0]])
    keypoints = Keypoints([[[7, 3, 2], [9, 4, 1], [0, 0, 0], [55, 4, 2]]])
    outside = keypoints.warp(away, SIZE)
    assert outside.values.tolist() == [[[107, 3, 2], [109, 4, 1], [0, 0, 0], [155, 4, 2]]]
    assert outside.visible_fraction(SIZE).tolist() == [0]
    np.testing.assert_array_equal(outside.warp(np.linalg.inv(away), SIZE).values, keypoints.values)
    partly = keypoints.warp(away @ np.diag([0.5, 1, 1]) - [[0, 0, 70], [0, 0, 0], [0, 0, 0]], SIZE)
    assert partly.values[0, :, 0].tolist() == [33.5, 34.5, 0, 57.5]
    assert keypoints.visible_fraction((40, 9)).tolist() == [2 / 3]
    assert keypoints.resolved((40, 8)).values.tolist() == [[[7, 3, 2], *[[0, 0, 0]] * 3]]


def test_the_border_is_inside():
    corners = Keypoints([[[0, 0, 2], [60, 40, 2], [60.5, 40, 2], [5, -0.5, 2]]])
    assert corners.resolved(SIZE).values[..., 2].tolist() == [[2, 2, 0, 0]]


def test_points_behind_the_camera_are_not_labeled():
    # The horizon is at x = 50.
    matrix = np.array([[1, 0, 0], [0, 1, 0], [-0.02, 0, 1]])
    found = Keypoints([[[25, 10, 2], [50, 10, 2], [55, 10, 1]]]).warp(matrix, SIZE)
    assert found.values.tolist() == [[[50, 20, 2], [0, 0, 0], [0, 0, 0]]]
    # They count as outside, also for objects of which nothing else is left.
    assert found.visible_fraction(SIZE).tolist() == [1 / 3]
    behind = Keypoints([[[55, 10, 1]], [[25, 10, 1]]]).warp(matrix, SIZE)
    assert behind[::-1].warp(MIRROR, SIZE).visible_fraction(SIZE).tolist() == [1, 0]
    objects = Instances(SIZE, classes=[7, 8], keypoints=Keypoints([[[55, 10, 1]], [[25, 10, 1]]]))
    assert objects.warp(matrix, SIZE).classes.tolist() == [8]


def test_keypoints_follow_the_objects():
    values = [[[7, 3, 2], [9, 4, 1]], [[50, 3, 2], [52, 4, 1]]]
    keypoints = Keypoints(values, pairs=[(0, 1)])
    assert isinstance(keypoints, Field)
    boxes = Boxes([[5, 0, 10, 5], [48, 0, 58, 5]])
    objects = Instances(SIZE, boxes, [3, 4], keypoints=keypoints)
    left = np.array([[-1, 0, 20], [0, 1, 0], [0, 0, 1.0]])  # mirrored, and cut at x = 20
    found = objects.warp(left, (40, 20))
    assert found.classes.tolist() == [3]
    assert found.keypoints.values.tolist() == [[[11, 4, 1], [13, 3, 2]]]
    with pytest.raises(ValueError, match="read-only"):
        found.keypoints.values[0] = 0


def test_targets():
    keypoints = Keypoints([[[7, 3, 2], [99, 4, 1]], [[0, 0, 0], [1, 2, 1]]])
    found = keypoints.to_targets(3, SIZE)
    assert list(found) == ["keypoints"]
    assert found["keypoints"].dtype == np.float32
    expected = [[[7, 3, 2], [0, 0, 0]], [[0, 0, 0], [1, 2, 1]], [[0, 0, 0]] * 2]
    assert found["keypoints"].tolist() == expected
    with pytest.raises(vg.UserError, match="capacity"):
        keypoints.to_targets(1, SIZE)


def test_objects_are_selected_and_joined():
    values = np.arange(24, dtype=np.float32).reshape(4, 2, 3) % 3
    keypoints = Keypoints(values, ("a", "b"), [(0, 1)], [(0, 1)])
    rows = [(slice(1, 3), [1, 2]), (np.array([3, 0, 0]), [3, 0, 0]), (values[:, 0, 0] > 9, [])]
    rows += [(np.array([True, False, True, False]), [0, 2]), ([], [])]
    for index, expected in rows:
        part = keypoints[index]
        np.testing.assert_array_equal(part.values, values[np.array(expected, int)])
        assert (part.names, part.pairs, part.skeleton) == (("a", "b"), ((0, 1),), ((0, 1),))
    both = Keypoints.concatenate([keypoints[:1], keypoints[:0], keypoints[1:]])
    np.testing.assert_array_equal(both.values, values)
    again = pickle.loads(pickle.dumps(both))  # noqa: S301
    assert again.names == ("a", "b")
    np.testing.assert_array_equal(again.values, values)
    for parts in (
        [],
        [keypoints, Keypoints(values)],
        [Keypoints(values[:, :1]), Keypoints(values)],
    ):
        with pytest.raises(vg.UserError, match=r"to join|be joined"):
            Keypoints.concatenate(parts)


def test_no_objects():
    for empty in (Keypoints(np.zeros((0, 2, 3))), Keypoints([], ("a", "b"))):
        assert len(empty.warp(MIRROR, SIZE)) == 0
        assert empty.visible_fraction(SIZE).shape == (0,)
        assert empty.to_targets(2, SIZE)["keypoints"].shape == (2, 2, 3)
    assert Keypoints(np.zeros((1, 2, 3))).visible_fraction(SIZE).tolist() == [1]


ONE = [[[7, 3, 2], [9, 4, 1]]]


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([[7, 3, 2, 9, 4, 1]], {}, "shape"),
        ([[[7, 3], [9, 4]]], {}, "shape"),
        ([[[7, 3, 2]], [[7, 3, 2], [9, 4, 1]]], {}, "shape"),
        (np.zeros((2, 0, 3)), {}, "shape"),
        ([[["a", 3, 2]]], {}, "shape"),
        ([[[7, 3, 3]]], {}, r"visibility(.|\n)*\[7.0, 3.0, 3.0\] at point 0 of object 0"),
        ([[[7, 3, 0.9]]], {}, "visibility"),
        ([[[7, 3, np.nan]]], {}, "visibility"),
        ([[[7, np.nan, 2]]], {}, "not finite"),
        ([[[1e39, 7, 2]]], {}, "not finite"),
        (ONE, {"names": ("a",)}, "names"),
        (ONE, {"names": ("a", "a")}, "duplicate"),
        (ONE, {"pairs": [(1, 2)]}, "pairs"),
        (ONE, {"pairs": [(-1, 0)]}, "pairs"),
        (ONE, {"pairs": [(0, 0)]}, "pairs"),
        (ONE, {"pairs": [(0, 1), (1, 0)]}, "two pairs"),
        (ONE, {"pairs": [(0, 0.5)]}, "pairs"),
        (ONE, {"pairs": [(0, np.inf)]}, "pairs"),
        (ONE, {"pairs": [0, 1]}, "pairs"),
        (ONE, {"skeleton": [(0, 1, 1)]}, "skeleton"),
        (ONE, {"skeleton": [(1, 2)]}, "skeleton"),
    ],
)
def test_invalid_keypoints(values, options, message):
    with pytest.raises(vg.UserError, match=message) as error:
        Keypoints(values, **options)
    assert error.value.rule
    assert error.value.received
    assert error.value.fix


@pytest.mark.parametrize(
    "matrix",
    [np.eye(2), np.eye(3)[:2], np.zeros((3, 3)), np.full((3, 3), np.nan), "x", [[1], [2, 3]]],
)
def test_an_invalid_matrix(matrix):
    with pytest.raises(vg.UserError, match="matrix"):
        Keypoints(ONE).warp(matrix, SIZE)


@pytest.mark.parametrize("size", [40, (40, 60, 3), (-1, 4), (4.5, 6), ("a", "b"), (np.inf, 2)])
def test_an_invalid_size(size):
    with pytest.raises(vg.UserError, match=r"image\.shape"):
        Keypoints(ONE).visible_fraction(size)
