"""Masks of polygons, run lengths and bitmaps equal pycocotools, before and after transforms."""

import json
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

import visiongarden as vg
from visiongarden.samples import Field, Instances, Masks
from visiongarden.samples import masks as polygon_functions

SIZE = (24, 32)
bitmaps = arrays(bool, array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=12))
points = st.tuples(st.floats(-40, 100, width=32), st.floats(-200, 90, width=32))
rings = st.lists(points, min_size=3, max_size=6)
objects = st.lists(st.lists(rings, min_size=1, max_size=3), max_size=3)


def encoded(mask):
    return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))


def uncompressed(mask):
    runs, last = [0], False
    for value in mask.T.ravel().tolist():
        if value != last:
            runs.append(0)
            last = value
        runs[-1] += 1
    return {"size": list(mask.shape), "counts": runs}


def rasterized(parts, size):
    polygons = [np.asarray(ring, np.float32).astype(float).ravel().tolist() for ring in parts]
    merged = coco_mask.merge(coco_mask.frPyObjects(polygons, *size))
    return coco_mask.decode(merged).astype(bool)


def in_every_format(mask):
    """The masks of one bitmap, by name of the format."""
    polygons = polygon_functions.polygons_of(mask) or ()
    return {
        "bitmaps": Masks.from_bitmaps(mask[None]),
        "rle": Masks.from_rle([encoded(mask)], mask.shape),
        "runs": Masks.from_rle([uncompressed(mask)], mask.shape),
        "polygons": Masks.from_polygons([polygons], mask.shape),
    }


def move(x, y):
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def nearest(mask, matrix, size):
    """Sample a mask at the centers of the output's pixels; also return whether rounding decides."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    x, y, depth = np.linalg.inv(matrix) @ [columns.ravel(), rows.ravel(), np.ones(rows.size)]
    in_front = depth > 1e-9
    x, y = x / np.where(in_front, depth, 1), y / np.where(in_front, depth, 1)
    inside = in_front & (x >= 0) & (x < mask.shape[1]) & (y >= 0) & (y < mask.shape[0])
    found = np.zeros(rows.size, bool)
    found[inside] = mask[y[inside].astype(int), x[inside].astype(int)]
    unsure = (np.abs(x - np.rint(x)) < 1e-4) | (np.abs(y - np.rint(y)) < 1e-4)
    return found.reshape(size), (unsure | (np.abs(depth) < 1e-4)).reshape(size)


@settings(max_examples=30)
@given(bitmaps)
def test_pixels_area_and_run_lengths_are_the_same_in_every_format(array):
    for mask in array:
        for name, masks in in_every_format(mask).items():
            np.testing.assert_array_equal(masks.bitmaps()[0], mask, name)
            assert masks.area().tolist() == [mask.sum()], name
            assert masks.area()[0] == coco_mask.area(encoded(mask))
            np.testing.assert_array_equal(coco_mask.decode(masks.rle()[0]), mask, name)
            assert masks.rle()[0]["counts"] == encoded(mask)["counts"].decode(), name
            json.dumps(masks.rle())
            together, areas = masks.rle_and_area()
            assert (together, areas.tolist()) == (masks.rle(), [mask.sum()]), name
            traced = masks.polygons()[0]
            assert polygon_functions.area_of(traced) == mask.sum(), name
            if mask.any():
                np.testing.assert_array_equal(rasterized(traced, mask.shape), mask)
            x, y, width, height = coco_mask.toBbox(encoded(mask))
            assert masks.boxes().tolist() == [[x, y, x + width, y + height]], name


@settings(max_examples=60)
@given(objects)
def test_polygons_are_rasterized_as_by_pycocotools(parts):
    masks = Masks.from_polygons(parts, SIZE)
    expected = np.array([rasterized(one, SIZE) for one in parts]).reshape(-1, *SIZE)
    np.testing.assert_array_equal(masks.bitmaps(), expected)
    assert masks.area().tolist() == expected.sum(axis=(1, 2)).tolist()
    flat = [[np.ravel(ring).tolist() for ring in one] for one in parts]
    np.testing.assert_array_equal(Masks.from_coco(flat, SIZE).bitmaps(), expected)


@settings(max_examples=20)
@given(bitmaps)
def test_mirrors_turns_shifts_and_scales_are_exact(array):
    height, width = array.shape[1:]
    mirror = np.array([[-1, 0, width], [0, 1, 0], [0, 0, 1]])
    turn = np.array([[0, 1, 0], [-1, 0, width], [0, 0, 1]])
    cases = [
        (mirror, (height, width), np.flip(array, 2)),
        (np.array([[1, 0, 0], [0, -1, height], [0, 0, 1]]), (height, width), np.flip(array, 1)),
        (turn, (width, height), np.rot90(array, axes=(1, 2))),
        (np.diag([2, 2, 1]), (2 * height, 2 * width), array.repeat(2, 1).repeat(2, 2)),
        (np.diag([3, 1, 1]), (height, 3 * width), array.repeat(3, 2)),
        (move(3, 2), (height + 5, width + 4), np.pad(array, ((0, 0), (2, 3), (3, 1)))),
        (move(-1, -1), (height, width), np.pad(array, ((0, 0), (0, 1), (0, 1)))[:, 1:, 1:]),
    ]
    for mask, *expected in zip(array, *(result for _, _, result in cases), strict=True):
        for name, masks in in_every_format(mask).items():
            for (matrix, size, _), result in zip(cases, expected, strict=True):
                np.testing.assert_array_equal(masks.warp(matrix, size).bitmaps()[0], result, name)


numbers = st.floats(-1, 1)


@st.composite
def matrices(draw, tilt=0.01):
    a, b, c, d = (draw(numbers) for _ in range(4))
    matrix = np.array([[a, b, draw(numbers) * 20], [c, d, draw(numbers) * 20], [0, 0, 1]])
    matrix[0, 0] += np.copysign(1.5, a)
    matrix[1, 1] += np.copysign(1.5, d)
    matrix[2, :2] = draw(numbers) * tilt, draw(numbers) * tilt
    return matrix if abs(np.linalg.det(matrix)) > 0.05 else np.diag([1, -1, 1.0])


@settings(max_examples=100)
@given(st.integers(0, 10**6), matrices(tilt=0.03))
def test_pixels_are_sampled_at_their_centers(seed, matrix):
    mask = np.random.default_rng(seed).random((20, 30)) < 0.5
    mask[:, :5] = False
    expected, unsure = nearest(mask, matrix, SIZE)
    masks = Masks.concatenate([in_every_format(mask)[name] for name in ("bitmaps", "rle")])
    for found in masks.warp(matrix, SIZE).bitmaps():
        np.testing.assert_array_equal(found | unsure, expected | unsure)


@settings(max_examples=60)
@given(st.integers(0, 10**6), matrices(), matrices())
def test_pixels_are_resampled_once(seed, first, second):
    mask = np.random.default_rng(seed).random((1, 20, 30)) < 0.5
    masks = Masks.from_bitmaps(mask)
    both = masks.warp(first, (9, 9)).warp(second, SIZE).bitmaps()
    expected, unsure = nearest(mask[0], second @ first, SIZE)
    np.testing.assert_array_equal(both[0] | unsure, expected | unsure)


@settings(max_examples=100)
@given(objects, matrices(tilt=0.004), matrices(tilt=0.0))
def test_polygons_move_as_points(parts, first, second):
    masks = Masks.from_polygons(parts, SIZE)
    found = masks.warp(first, SIZE).warp(second, SIZE).polygons()
    for one, polygons in zip(parts, found, strict=True):
        for ring, points in zip(one, polygons, strict=True):
            homogeneous = np.c_[np.array(ring), np.ones(len(ring))] @ (second @ first).T
            assert points.dtype == np.float32
            np.testing.assert_allclose(
                points, homogeneous[:, :2] / homogeneous[:, 2:], rtol=1e-4, atol=1e-2
            )


def test_what_is_behind_the_camera_is_cut_off():
    # The horizon is at x = 50; points to the right of it would appear mirrored at the far left.
    matrix = np.array([[1, 0, 0], [0, 1, 0], [-0.02, 0, 1]])
    size = (40, 100)
    mask = np.zeros((40, 100), bool)
    mask[10:20, 30:80] = True
    behind = np.zeros((40, 100), bool)
    behind[5:30, 60:90] = True
    expected, unsure = nearest(mask, matrix, size)
    assert expected.any()
    for name, masks in in_every_format(mask).items():
        found = masks.warp(matrix, size).bitmaps()[0]
        wrong = (found != expected) & ~unsure
        # The slanted edges of polygons are rasterized by another rule than pixel centers.
        assert wrong.sum() <= (20 if name == "polygons" else 0), name
        assert masks.warp(matrix, size).visible_fraction(size)[0] < 0.5
    for name, masks in in_every_format(behind).items():
        assert not masks.warp(matrix, size).bitmaps().any(), name
        assert masks.warp(matrix, size).visible_fraction(size).tolist() == [0], name
        assert masks.warp(matrix, size).boxes().tolist() == [[0] * 4], name


def test_a_multi_part_mask_is_one_object():
    parts = [[2, 3, 7, 3, 7, 8, 2, 8], [20, 3, 30, 3, 30, 8, 20, 8]]
    masks = Masks.from_polygons([parts, parts[:1]], SIZE)
    assert len(masks) == 2
    assert masks.area().tolist() == [25 + 50, 25]
    assert masks.boxes().tolist() == [[2, 3, 30, 8], [2, 3, 7, 8]]
    assert [len(one) for one in masks.polygons()] == [2, 1]
    assert masks.warp(move(-10, 0), SIZE).visible_fraction(SIZE).tolist() == [
        pytest.approx(50 / 75),
        0,
    ]


def test_the_visible_fraction_respects_holes():
    mask = np.zeros((24, 32), bool)
    mask[2:22, 4:24] = True
    mask[6:18, 6:16] = False  # 400 − 120 = 280 pixels
    shifted = np.zeros_like(mask)
    shifted[:, :22] = mask[:, 10:]
    for name, masks in in_every_format(mask).items():
        found = masks.warp(move(-10, 0), SIZE)
        assert found.visible_fraction(SIZE)[0] == pytest.approx(shifted.sum() / 280), name
        assert found.area().tolist() == [shifted.sum()]
        assert masks.visible_fraction(SIZE).tolist() == [1], name
        assert masks.visible_fraction((12, 32))[0] == pytest.approx(mask[:12].sum() / 280), name
        large = masks.warp(np.diag([3.5, 2, 1]) @ move(-10, 0), SIZE)
        # Half of the rows 0 to 12, and the columns 10 to 10 + 32 / 3.5.
        x = 10 + 32 / 3.5
        expected = (4 * (x - 10) + 6 * (x - 16)) / 280
        assert large.visible_fraction(SIZE)[0] == pytest.approx(expected, abs=1e-6), name


@settings(max_examples=60)
@given(bitmaps, st.integers(-12, 12), st.integers(-12, 12))
def test_the_visible_fraction_is_that_of_the_pixels(array, x, y):
    size = array.shape[1:]
    for mask in array[:2]:
        padded = np.pad(mask, 12)[12 - y :, 12 - x :][: size[0], : size[1]]
        expected = padded.sum() / mask.sum() if mask.any() else 1
        for name, masks in in_every_format(mask).items():
            found = masks.warp(move(x, y), size)
            assert found.visible_fraction(size)[0] == pytest.approx(expected, abs=1e-6), name


@pytest.mark.parametrize("turned", [False, True])
def test_joined_holes_and_parts_have_any_winding_order(turned):
    outer = [(4, 2), (24, 2), (24, 22), (4, 22)]
    inner = [(6, 6), (16, 6), (16, 18), (6, 18)]
    part = [(26, 2), (30, 2), (30, 22), (26, 22)]
    if turned:
        inner, part = inner[:1] + inner[:0:-1], part[:1] + part[:0:-1]
    ring = [*outer, outer[0], *inner, inner[0], outer[0], *part, part[0], outer[0]]
    masks = Masks.from_polygons([[np.array(ring)]], SIZE)
    bitmap = rasterized([ring], SIZE)
    assert bitmap.sum() == 400 - 120 + 80
    for x in (-10, -20, -25, 4):
        found = masks.warp(move(x, 0), SIZE)
        expected = bitmap[:, max(-x, 0) : 32 - max(x, 0)].sum() / 360
        assert found.visible_fraction(SIZE)[0] == pytest.approx(expected)


def test_a_polygon_that_crosses_itself():
    # Triangles of area 133 and 33 with opposite winding orders: the shoelace formula yields 100.
    ring = [(0, 0), (20, 15), (20, 5), (0, 20)]
    bow = Masks.from_polygons([[np.array(ring)]], SIZE)
    filled = rasterized(np.multiply([ring], 16), (24 * 16, 32 * 16))
    assert filled.sum() / 256 == pytest.approx(400 / 3 + 100 / 3, rel=0.01)
    found = bow.warp(move(-10, 0), SIZE)
    expected = filled[:, 160:].sum() / filled.sum()
    assert found.visible_fraction(SIZE)[0] == pytest.approx(expected, abs=0.005)


def test_masks_of_very_many_parts():
    mask = np.random.default_rng(0).random((200, 300)) < 0.3
    masks = Masks.from_bitmaps(mask[None])
    found = masks.warp(move(-99, -50), (200, 300)).visible_fraction((200, 300))
    assert found[0] == pytest.approx(mask[50:, 99:].sum() / mask.sum())
    dots = np.argwhere(mask)[::40][:, None, ::-1] + np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    many = Masks.from_polygons([dots], (200, 300)).warp(move(-99, -50), (200, 300))
    kept = (dots[:, 0] >= (99, 50)).all(axis=1).mean()
    assert many.visible_fraction((200, 300))[0] == pytest.approx(kept)
    assert many.area().tolist() == [kept * len(dots)]


def test_overlapping_boxes_of_parts_are_clipped_exactly():
    corner = [(0, 0), (20, 0), (20, 3), (3, 3), (3, 20), (0, 20)]
    parts = [np.array(corner), np.array([(5, 5), (19, 5), (19, 19), (5, 19)])]
    masks = Masks.from_polygons([parts], SIZE).warp(move(-10.3, 0), SIZE)
    expected = (9.7 * 3 + 8.7 * 14) / (111 + 196)
    assert masks.visible_fraction(SIZE)[0] == pytest.approx(expected, abs=1e-6)


def test_overlapping_parts_count_once():
    square = np.array([[0, 0], [10, 0], [10, 10], [0, 10]])
    masks = Masks.from_polygons([[square + 4, square + 4, square + np.array([14, 4])]], SIZE)
    # 200 pixels, of which the right 100 remain; by the sum of areas it would be a third.
    found = masks.warp(move(-14, 0), SIZE)
    assert found.visible_fraction(SIZE)[0] == pytest.approx(0.5, abs=0.01)


def test_earlier_cuts_are_remembered():
    mask = np.zeros(SIZE, bool)
    mask[4:14, 0:20] = True
    for name, masks in in_every_format(mask).items():
        cut = masks.warp(move(-10, 0), SIZE).clip()
        assert cut.visible_fraction(SIZE)[0] == pytest.approx(0.5), name
        back = cut.warp(move(10, 0), SIZE)
        assert back.area().tolist() == [100], name  # what is cut off does not come back
        assert back.boxes().tolist() == [[10, 4, 20, 14]], name
        half = back.warp(move(-15, 0), SIZE)
        assert half.visible_fraction(SIZE)[0] == pytest.approx(0.25), name
        lazy = masks.warp(move(-10, 0), SIZE).warp(move(10, 0), SIZE)
        assert lazy.visible_fraction(SIZE).tolist() == [1]
        np.testing.assert_array_equal(lazy.bitmaps()[0], mask)


def test_a_cut_leaves_no_lines_along_the_border():
    # A part outside the upper left corner would extend the box of the rest to the corner.
    ring = [(-5, 20), (10, 20), (10, 15), (-2, 15), (-2, -3), (8, -3), (8, -5), (-5, -5)]
    masks = Masks.from_polygons([[np.array(ring)]], SIZE)
    assert masks.boxes().tolist() == [[0, 15, 10, 20]]
    assert masks.clip().area().tolist() == masks.area().tolist() == [50]
    assert len(masks.clip().polygons()[0][0]) == 4


def test_one_pixel():
    mask = np.zeros(SIZE, bool)
    mask[23, 31] = True
    for name, masks in in_every_format(mask).items():
        assert masks.area().tolist() == [1], name
        assert masks.boxes().tolist() == [[31, 23, 32, 24]], name
        assert masks.warp(move(1, 0), SIZE).visible_fraction(SIZE).tolist() == [0], name
        large = masks.warp(np.diag([4, 4, 1]), (96, 128))
        assert large.boxes().tolist() == [[124, 92, 128, 96]], name
        assert large.area().tolist() == [16]


def test_masks_completely_outside():
    mask = np.ones((1, 6, 6), bool)
    for masks in in_every_format(mask[0]).values():
        for x, y in ((100, 0), (-100, 0), (0, 100), (0, -100), (1e8, 1e8)):
            found = masks.warp(move(x, y), SIZE)
            assert not found.bitmaps().any()
            assert found.area().tolist() == found.visible_fraction(SIZE).tolist() == [0]
            assert found.boxes().tolist() == [[0] * 4]
            assert found.clip().polygons() == [()]
            assert coco_mask.area(found.rle()[0]) == 0
            assert not found.to_targets(1, SIZE)["masks"].any()


def test_no_objects_and_objects_without_masks():
    for empty in (
        Masks.empty(SIZE),
        Masks.from_polygons([], SIZE),
        Masks.from_rle([], SIZE),
        Masks.from_bitmaps(np.zeros((0, *SIZE), bool)),
    ):
        moved = empty.warp(move(1, 1), (8, 10))
        assert len(moved) == 0
        assert moved.bitmaps().shape == (0, 8, 10)
        assert moved.boxes().shape == (0, 4)
        assert moved.area().shape == moved.visible_fraction((8, 10)).shape == (0,)
        assert moved.rle() == moved.polygons() == []
        assert moved.to_targets(2, (8, 10))["masks"].shape == (2, 2, 3)
    without = Masks.from_coco([None, []], SIZE).warp(move(90, 0), SIZE)
    assert without.visible_fraction(SIZE).tolist() == [1, 1]
    assert without.area().tolist() == [0, 0]
    assert not without.bitmaps().any()


def test_formats_are_mixed_selected_and_joined():
    array = np.random.default_rng(0).random((4, *SIZE)) < 0.3
    parts = [
        in_every_format(mask)[name]
        for mask, name in zip(array, ("bitmaps", "rle", "runs", "polygons"), strict=True)
    ]
    masks = Masks.concatenate([*parts, Masks.empty(SIZE)])
    np.testing.assert_array_equal(masks.bitmaps(), array)
    for index, rows in (
        (slice(1, 3), [1, 2]),
        (np.array([3, 0, 0]), [3, 0, 0]),
        (np.array([True, False, False, True]), [0, 3]),
        (np.zeros(4, bool), []),
        ([], []),
    ):
        np.testing.assert_array_equal(masks[index].bitmaps(), array[rows])
    again = pickle.loads(pickle.dumps(masks.warp(move(2, 1), SIZE)))  # noqa: S301
    np.testing.assert_array_equal(again.bitmaps(), masks.warp(move(2, 1), SIZE).bitmaps())
    array[:] = False
    assert masks.area().all()  # the bitmaps are copied
    for wrong in ([], [masks, Masks.empty((5, 5))]):
        with pytest.raises(vg.UserError, match=r"to join|be joined"):
            Masks.concatenate(wrong)


@settings(max_examples=60)
@given(bitmaps)
def test_targets_are_cells_covered_by_half(array):
    count, height, width = array.shape
    expected = np.zeros((count + 1, -(-height // 4), -(-width // 4)), np.uint8)
    for row, column in np.ndindex(expected.shape[1:]):
        cells = array[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        expected[:count, row, column] = cells.mean(axis=(1, 2)) >= 0.5
    for name in ("bitmaps", "rle", "polygons"):
        masks = Masks.concatenate([in_every_format(mask)[name] for mask in array])
        found = masks.to_targets(count + 1, (height, width))
        assert list(found) == ["masks"]
        assert found["masks"].dtype == np.uint8
        np.testing.assert_array_equal(found["masks"], expected)


def test_masks_decide_what_is_visible():
    array = np.zeros((2, *SIZE), bool)
    array[0, 2:6, 0:8] = array[1, 2:6, 10:20] = True
    masks = Masks.concatenate(
        [in_every_format(array[0])["polygons"], Masks.from_bitmaps(array[1:])]
    )
    assert isinstance(masks, Field)
    objects = Instances(SIZE, classes=[3, 4], masks=masks)
    assert objects.warp(move(-9, 0), SIZE).classes.tolist() == [4]
    assert objects.warp(move(-7, 0), SIZE, min_visibility=0.2).classes.tolist() == [4]
    found = objects.warp(move(-7, 0), SIZE)
    assert found.masks.area().tolist() == [4, 40]


def test_targets_that_do_not_fit():
    masks = Masks.from_bitmaps(np.ones((2, 8, 8), bool))
    with pytest.raises(vg.UserError, match="capacity=2"):
        masks.to_targets(1, (8, 8))
    with pytest.raises(vg.UserError, match="size of the targets"):
        masks.to_targets(2, (8, 12))


VALID = encoded(np.eye(4, 6, dtype=bool))["counts"].decode()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": [4, 6], "counts": [10, 10]}, "do not fill"),
        ({"size": [4, 6], "counts": [30, -6]}, "negative"),
        ({"size": [4, 6], "counts": [10, 14.0]}, "integers"),
        ({"size": [4, 6], "counts": [True] * 24}, "integers"),
        ({"size": [4, 6], "counts": None}, "not iterable"),
        ({"size": [4, 6], "counts": 24}, "not iterable"),
        ({"size": [4, 6], "counts": "é" + VALID}, "invalid character"),
        ({"size": [4, 6], "counts": VALID + "\x00"}, "invalid character"),
        ({"size": [4, 6], "counts": VALID[:-1]}, "do not fill"),
        ({"size": [4, 6], "counts": VALID + "P"}, "end within"),
        ({"size": [4, 6], "counts": "o" * 100}, "end within"),
        ({"size": [4, 6], "counts": "o" * 100 + "0"}, "too large"),
        ({"size": [4, 6], "counts": ""}, "do not fill"),
        ({"size": [4, 6], "counts": [2**63, 24 - 2**63]}, "negative"),
        ({"size": [4, 6], "counts": [2**64 + 24]}, "do not fill"),
        ({"size": [4, 6], "counts": b"\xff\xff"}, "invalid character"),
        ({"size": [6, 4], "counts": VALID}, "have size"),
        ({"size": 6, "counts": VALID}, "not iterable"),
        ({"size": [4, 6]}, "keys size and counts"),
        ([0, 24], "keys size and counts"),
        (None, "keys size and counts"),
    ],
)
def test_malformed_run_lengths(given, message):
    fine = {"size": [4, 6], "counts": VALID}
    with pytest.raises(vg.UserError, match=f"object 1 is not valid.*{message}") as error:
        Masks.from_rle([fine, given], (4, 6))
    assert error.value.rule
    assert error.value.fix


def test_huge_masks_take_no_memory():
    side = 10**6
    tracemalloc.start()
    with pytest.raises(vg.UserError, match="at most"):
        Masks.from_rle([{"size": [side, side], "counts": [0, side * side]}], (side, side))
    square = [[0, 0, side, 0, side, side, 0, side]]
    huge = Masks.from_polygons([square], (side, side))
    small = Masks.from_bitmaps(np.ones((1, 2, 2), bool)).warp(
        np.diag([side, side, 1]), (side, side)
    )
    for masks in (huge, small):
        for method in (masks.bitmaps, masks.area, masks.rle):
            with pytest.raises(vg.UserError, match="too large"):
                method()
        assert masks.visible_fraction((side // 2, side)).tolist() == [
            pytest.approx(0.125 if masks is small else 0.5)
        ]
    many = Masks.from_polygons([[]] * 5000, (1000, 1000))
    with pytest.raises(vg.UserError, match="too much memory"):
        many.bitmaps()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 2**20
    # A small object on a huge canvas is rasterized by itself.
    corner = Masks.from_polygons([[[5, 5, 9, 5, 9, 8, 5, 8]]], (side, side)).warp(
        move(9e5, 9e5), (side, side)
    )
    assert corner.area().tolist() == [12]


def test_masks_wider_than_opencv_can_warp():
    mask = np.random.default_rng(0).random((1, 3, 40_000)) < 0.5
    mirror = np.array([[-1, 0, 40_000], [0, 1, 0], [0, 0, 1]])
    found = Masks.from_bitmaps(mask).warp(mirror, (3, 40_000)).bitmaps()
    np.testing.assert_array_equal(found, mask[:, :, ::-1])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[1, 2, 3, 4]], "fewer than three"),
        ([[1, 2, 3, 4, 5]], "flat list"),
        ([[1, 2, 3, 4, 5, np.nan]], "finite"),
        ([[1, 2, 3, 4, 5, 1e300]], "finite"),
        ([["a", 2, 3, 4, 5, 6]], "could not convert"),
        ([1, 2, 3, 4, 5, 6], "flat list"),
        (np.zeros((2, 3, 3)), "flat list"),
        (5, "not iterable"),
    ],
)
def test_malformed_polygons(given, message):
    with pytest.raises(vg.UserError, match=f"object 0 is not valid.*{message}"):
        Masks.from_polygons([given], SIZE)


def test_malformed_bitmaps_and_matrices():
    for wrong, message in (
        (np.zeros((4, 6), bool), "shape"),
        (np.full((1, 4, 6), 255, np.uint8), "binary"),
        (np.zeros((1, 4, 6)), "binary"),
        (np.full((1, 4, 6), -1), "binary"),
    ):
        with pytest.raises(vg.UserError, match=message):
            Masks.from_bitmaps(wrong)
    masks = Masks.from_bitmaps(np.ones((1, 4, 6), np.uint8))
    assert masks.area().tolist() == [24]
    for matrix in (np.eye(3)[:2], np.diag([1, 0, 1]), np.full((3, 3), np.inf)):
        with pytest.raises(vg.UserError, match="matrix"):
            masks.warp(matrix, SIZE)
    with pytest.raises(vg.UserError, match="size of the canvas"):
        masks.warp(np.eye(3), (4, -6))


@pytest.mark.parametrize(
    "one",
    [
        [4, 6, 20, 6, 12, 26],
        [[4, 6], [20, 6], [12, 26]],
        [(4, 6), (20, 6), (12, 26)],
        np.array([4.0, 6, 20, 6, 12, 26]),
    ],
)
def test_one_polygon_in_place_of_a_list_of_polygons(one):
    polygons = [one]
    with pytest.raises(vg.UserError, match="it is one polygon, and not a list") as caught:
        Masks.from_polygons(polygons, (30, 40))
    fixed = eval(caught.value.fix, {"polygons": polygons})  # noqa: S307  text of our own
    assert Masks.from_polygons(fixed, (30, 40)).area().tolist() == [160]


@settings(max_examples=100)
@given(bitmaps)
def test_masks_encoded_together_have_the_run_lengths_of_pycocotools(array):
    found = Masks.from_bitmaps(array)
    expected = [encoded(mask)["counts"].decode() for mask in array]
    assert [one["counts"] for one in found.rle()] == expected
    assert [one["counts"] for one in found.to_coco()] == expected
    assert np.array_equal(found.bitmaps(), array)


@pytest.mark.parametrize("size", [(1200, 1100), (7, 90000)])
def test_long_runs_and_large_groups_are_encoded_as_by_pycocotools(size):
    canvases = np.zeros((4, *size), np.uint8)
    canvases[0] = 1  # one run, of the whole mask
    canvases[1, :, 2:-2] = 1  # a run that continues at the top of each column
    canvases[2, -1, -1] = 1  # a run that ends the mask
    canvases[3, 1:3, 5:70:3] = 1
    found = [one["counts"] for one in Masks.from_bitmaps(canvases).rle()]
    assert found == [encoded(mask)["counts"].decode() for mask in canvases]
