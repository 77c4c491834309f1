"""Augmentations: a bright rectangle and its box move together."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from visiongarden.data import Augmentation
from visiongarden.data.augment import affine, flip, hsv, mosaic
from visiongarden.types import Example


def example(box, size=(60, 80), label=1):
    image = np.zeros((*size, 3), np.uint8)
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2] = 255
    return Example(np.array([box], np.float32), np.array([label], np.int32), image)


def bright(image):
    """Box of what is bright; None where nothing is."""
    rows, columns = np.nonzero((image[..., 0] > 127) & (image[..., 1] > 127))
    if not len(rows):
        return None
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@st.composite
def box(draw):
    x, y = draw(st.integers(0, 60)), draw(st.integers(0, 40))
    return (x, y, x + draw(st.integers(8, 80 - x)), y + draw(st.integers(8, 60 - y)))


@given(box())
def test_flip(box):
    once = flip(example(box))
    assert once.boxes[0].tolist() == bright(once.image)
    twice = flip(once)
    np.testing.assert_array_equal(twice.boxes[0], box)


@settings(max_examples=80)
@given(box(), st.floats(0.5, 1.5), st.floats(-30, 30), st.floats(-20, 20), st.floats(-20, 20))
def test_affine(box, scale, degrees, dx, dy):
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([turn, [dx, dy]])
    moved = affine(example(box), matrix, (64, 96), least_visible=0.0)
    seen = bright(moved.image)
    assume(len(moved.boxes) and seen)
    found = moved.boxes[0]
    # The box stands around the moved corners; a turned rectangle cut at the border shows less.
    assert (found[:2] <= np.array(seen[:2]) + 1.5).all()
    assert (found[2:] >= np.array(seen[2:]) - 1.5).all()
    if abs(degrees) < 1e-6:
        np.testing.assert_allclose(found, seen, atol=1.5)


def test_affine_lets_go_of_what_is_out_of_view():
    matrix = np.array([[1.0, 0, -75], [0, 1, 0]])
    one = example((0, 0, 80, 60))
    assert len(affine(one, matrix, (60, 80), least_visible=0.1).boxes) == 0
    assert affine(one, matrix, (60, 80), least_visible=0.05).boxes.tolist() == [[0, 0, 5, 60]]


@settings(max_examples=40)
@given(st.lists(box(), min_size=4, max_size=4), st.integers(0, 10**6))
def test_mosaic(boxes, seed):
    parts = [example(b, label=i) for i, b in enumerate(boxes)]
    random = np.random.default_rng(seed)
    joined = mosaic(parts, (96, 96), random, scale=0.5, translate=0.1, least_visible=0.1)
    assert joined.image.shape == (96, 96, 3)
    assert set(joined.classes) <= {0, 1, 2, 3}
    for found in joined.boxes:
        x1, y1, x2, y2 = found.round().astype(int)
        inside = joined.image[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2]
        assert (inside > 127).all()
    shown = joined.image.copy()
    for found in joined.boxes:
        x1, y1, x2, y2 = found
        shown[int(y1) - (y1 >= 1) : int(y2) + 2, int(x1) - (x1 >= 1) : int(x2) + 2] = 0
    # What no box covers any more is at most a sliver of less than a tenth.
    assert (shown[..., 0] > 200).mean() < 0.06


@pytest.mark.parametrize("most", [(0.0, 0.0, 0.0), (0.5, 0.9, 0.9)])
def test_hsv_stays_an_image(most):
    image = np.random.default_rng(0).integers(0, 255, (9, 7, 3)).astype(np.uint8)
    changed = hsv(image, most, np.random.default_rng(0))
    assert (changed.dtype, changed.shape) == (np.uint8, image.shape)
    assert np.array_equal(changed, image) == (most == (0, 0, 0))


def test_grey_keeps_its_hue():
    grey = np.full((4, 4, 3), 100, np.uint8)
    changed = hsv(grey, (0.5, 1.0, 0.0), np.random.default_rng(1))
    np.testing.assert_array_equal(changed, grey)


def test_examples_are_not_changed_in_place():
    one = example((10, 10, 40, 40))
    before = replace(one, boxes=one.boxes.copy(), image=one.image.copy())
    flip(one), affine(one, np.eye(3)[:2], (60, 80), 0.1)
    mosaic([one] * 4, (64, 64), np.random.default_rng(0), 0.5, 0.1, 0.1)
    np.testing.assert_array_equal(one.boxes, before.boxes)
    np.testing.assert_array_equal(one.image, before.image)


def test_defaults_are_the_published_ones():
    values = Augmentation()
    assert (values.flip, values.hsv, values.translate) == (0.5, (0.015, 0.7, 0.4), 0.1)
    assert (values.scale, values.mosaic, values.mosaic_off_epochs) == (0.5, 1.0, 10)
