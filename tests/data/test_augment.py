"""Augmentations: a bright rectangle, its box and its polygon move together."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from visiongarden.samples import masks
from visiongarden.transforms import (
    Augmentation,
    Tile,
    Vary,
    compose,
    copy_paste,
    cutout,
    flip,
    hsv,
    mixup,
    mosaic,
    single,
)
from visiongarden.types import Example

STILL = Augmentation(
    flip=0, hsv=(0, 0, 0), translate=0, scale=0, mosaic=0, mosaic_off_epochs=0, min_visibility=0
)
EVERYTHING = Augmentation(
    flip_vertical=0.5, degrees=30, shear=10, perspective=0.2, crop=0.5, mosaic=0.5, mosaic9=0.5,
    mixup=0.5, copy_paste=0.5, cutout=0.5,
)  # fmt: skip


def ring(box):
    x1, y1, x2, y2 = box
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float32)


def example(box, size=(60, 80), label=1, with_mask=False):
    image = np.zeros((*size, 3), np.uint8)
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2] = 255
    return Example(
        np.array([box], np.float32),
        np.array([label], np.int32),
        image,
        polygons=((ring(box),),) if with_mask else None,
    )


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


def assert_same(a, b):
    np.testing.assert_array_equal(a.image, b.image)
    np.testing.assert_array_equal(a.boxes, b.boxes)
    np.testing.assert_array_equal(a.classes, b.classes)
    for one, other in zip(a.polygons or (), b.polygons or (), strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_array_equal(np.concatenate(one), np.concatenate(other))


@given(box(), st.booleans())
def test_flip(box, vertical):
    once = flip(example(box, with_mask=True), vertical)
    assert once.boxes[0].tolist() == bright(once.image) == masks.box_of(once.polygons[0])
    assert_same(flip(once, vertical), example(box, with_mask=True))


@given(box())
def test_disabled_augmentation_changes_nothing(box):
    one = example(box, with_mask=True)
    assert_same(single(one, (60, 80), STILL, np.random.default_rng(0)), one)
    assert_same(Vary([one], STILL, 9)(0, (60, 80), np.random.default_rng(0)), one)


@settings(max_examples=120)
@given(box(), st.floats(0.5, 1.5), st.floats(-40, 40), st.floats(-20, 20), st.floats(-0.002, 0.002))
def test_box_and_polygon_follow_the_pixels(box, scale, degrees, shift, depth):
    angle = np.deg2rad(degrees)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[cos, sin, shift], [-sin, cos, shift], [depth, depth, 1]])
    with_mask, plain = (example(box, with_mask=o) for o in (True, False))
    tile = Tile(with_mask, (0, 0, 80, 60), matrix)
    moved = compose([tile], (64, 96), min_visibility=0.0)
    around = compose([replace(tile, example=plain)], (64, 96), min_visibility=0.0)
    seen = bright(moved.image)
    assume(len(moved.boxes) and seen)
    found = moved.boxes[0]
    # The box around a transformed polygon is as tight as it can be.
    np.testing.assert_allclose(found, seen, atol=2.5)
    np.testing.assert_allclose(masks.box_of(moved.polygons[0]), found, atol=1e-3)
    assert (around.boxes[0][:2] <= found[:2] + 1e-3).all()
    assert (around.boxes[0][2:] >= found[2:] - 1e-3).all()
    filled = masks.fill(moved.polygons[0], (64, 96))
    shown = moved.image[..., 0] > 127
    assert (filled ^ shown).sum() <= 2.5 * (found[2:] - found[:2]).sum() + 8


@given(box(), st.integers(0, 10**6))
def test_the_boxes_of_a_crop_match_its_pixels(box, seed):
    options = replace_(STILL, crop=1.0, min_crop=0.3)
    cropped = single(example(box), (64, 64), options, np.random.default_rng(seed))
    seen = bright(cropped.image)
    if seen and len(cropped.boxes):
        np.testing.assert_allclose(cropped.boxes[0], seen, atol=3)


def replace_(values, **fields):
    return values.model_copy(update=fields)


def test_labels_outside_the_view_are_removed():
    matrix = np.array([[1.0, 0, -75], [0, 1, 0], [0, 0, 1]])
    tile = Tile(example((0, 0, 80, 60)), (0, 0, 80, 60), matrix)
    assert len(compose([tile], (60, 80), min_visibility=0.1).boxes) == 0
    assert compose([tile], (60, 80), min_visibility=0.05).boxes.tolist() == [[0, 0, 5, 60]]


@settings(max_examples=60)
@given(st.sampled_from([4, 9]), st.data(), st.integers(0, 10**6))
def test_mosaic(count, data, seed):
    boxes = [data.draw(box()) for _ in range(count)]
    parts = [example(b, label=i) for i, b in enumerate(boxes)]
    joined = mosaic(parts, (96, 96), Augmentation(), np.random.default_rng(seed))
    assert joined.image.shape == (96, 96, 3)
    assert set(joined.classes) <= set(range(count))
    for found in joined.boxes:
        x1, y1, x2, y2 = found.round().astype(int)
        inside = joined.image[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2]
        assert (inside > 127).all()
    shown = joined.image.copy()
    for found in joined.boxes:
        x1, y1, x2, y2 = found
        shown[int(y1) - (y1 >= 1) : int(y2) + 2, int(x1) - (x1 >= 1) : int(x2) + 2] = 0
    # What no box covers any more is at most slivers of less than a tenth.
    assert (shown[..., 0] > 200).mean() < 0.06 * count / 4


def test_a_mosaic_has_its_parts_where_they_belong():
    parts = [example((0, 0, 80, 60), label=i) for i in range(4)]
    joined = mosaic(parts, (96, 96), replace_(STILL, min_visibility=0.0), np.random.default_rng(5))
    middles = (joined.boxes[:, :2] + joined.boxes[:, 2:]) / 2
    by_class = dict(zip(joined.classes.tolist(), middles.tolist(), strict=True))
    assert by_class[0][0] < by_class[1][0]
    assert by_class[0][1] < by_class[2][1]
    assert by_class[2][0] < by_class[3][0]


@settings(max_examples=60)
@given(st.lists(box(), min_size=1, max_size=6), st.integers(0, 10**6), st.integers(1, 12))
def test_all_augmentations_together_keep_their_guarantees(boxes, seed, capacity):
    images = [example(b, label=i, with_mask=i % 2 == 0) for i, b in enumerate(boxes)]
    capacity = max(capacity, 4)
    vary = Vary(images, EVERYTHING, capacity)
    once, again = (vary(0, (64, 96), np.random.default_rng(seed)) for _ in range(2))
    assert_same(once, again)
    assert once.image.shape == (64, 96, 3)
    assert once.image.dtype == np.uint8
    assert len(once.boxes) == len(once.classes) <= capacity
    assert (once.boxes >= 0).all()
    assert (once.boxes <= [96, 64, 96, 64]).all()
    assert (once.boxes[:, 2:] - once.boxes[:, :2] >= 1).all()
    for found, polygons in zip(once.boxes, once.polygons or (), strict=False):
        if polygons is not None:
            np.testing.assert_allclose(masks.box_of(polygons), found, atol=1.01)


def test_mixup_has_both_labels_and_a_share_of_both_images():
    one, other = example((0, 0, 40, 60), label=0), example((40, 0, 80, 60), label=1)
    mixed = mixup(one, other, np.random.default_rng(0))
    assert mixed.classes.tolist() == [0, 1]
    left, right = mixed.image[5, 5, 0] / 255, mixed.image[5, 75, 0] / 255
    assert left + right == pytest.approx(1, abs=0.01)
    assert 0.3 < left < 0.7


def test_copy_paste_puts_on_top_and_cuts_below():
    below = example((10, 10, 50, 50), with_mask=True)
    donor = example((30, 0, 80, 60), with_mask=True)
    donor = replace(donor, image=donor.image // 2)
    seeds = (np.random.default_rng(s) for s in range(20))
    found = next(e for s in seeds if len((e := copy_paste(below, donor, 0.1, 9, s)).boxes) == 2)
    np.testing.assert_allclose(found.boxes, [[10, 10, 30, 50], [30, 0, 80, 60]], atol=1)
    assert found.image[30, 60, 0] == 127
    assert found.image[30, 20, 0] == 255
    hidden = next(
        e
        for s in map(np.random.default_rng, range(20))
        if (e := copy_paste(below, donor, 0.7, 9, s)).image[30, 60, 0] == 127
    )
    assert len(hidden.boxes) == 1
    plain = replace(donor, polygons=None)
    assert copy_paste(below, plain, 0.1, 9, np.random.default_rng(0)) is below
    assert copy_paste(below, donor, 0.1, 0, np.random.default_rng(0)) is below


@given(box(), st.integers(0, 10**6))
def test_cutout_hides_a_square(box, seed):
    one = example(box)
    found = cutout(one, 0.5, 0.5, np.random.default_rng(seed))
    hidden = (found.image == 114).all(axis=-1)
    assert 0 < hidden.sum() <= 30 * 30
    x1, y1, x2, y2 = box
    share = hidden[y1:y2, x1:x2].mean()
    assert len(found.boxes) == (share <= 0.5)
    assert set(np.unique(one.image)) <= {0, 255}


@pytest.mark.parametrize("max_shift", [(0.0, 0.0, 0.0), (0.5, 0.9, 0.9)])
def test_hsv_stays_an_image(max_shift):
    image = np.random.default_rng(0).integers(0, 255, (9, 7, 3)).astype(np.uint8)
    changed = hsv(image, max_shift, np.random.default_rng(0))
    assert (changed.dtype, changed.shape) == (np.uint8, image.shape)
    assert np.array_equal(changed, image) == (max_shift == (0, 0, 0))


def test_gray_keeps_its_hue():
    gray = np.full((4, 4, 3), 100, np.uint8)
    changed = hsv(gray, (0.5, 1.0, 0.0), np.random.default_rng(1))
    np.testing.assert_array_equal(changed, gray)


def test_examples_are_not_changed_in_place():
    one = example((10, 10, 40, 40), with_mask=True)
    before = replace(one, boxes=one.boxes.copy(), image=one.image.copy())
    random = np.random.default_rng(0)
    for _ in range(20):
        Vary([one] * 3, EVERYTHING, 20)(0, (64, 64), random)
    np.testing.assert_array_equal(one.boxes, before.boxes)
    np.testing.assert_array_equal(one.image, before.image)
    np.testing.assert_array_equal(one.polygons[0][0], ring((10, 10, 40, 40)))


def test_defaults_are_the_published_ones():
    values = Augmentation()
    assert (values.flip, values.hsv, values.translate) == (0.5, (0.015, 0.7, 0.4), 0.1)
    assert (values.scale, values.mosaic, values.mosaic_off_epochs) == (0.5, 1.0, 10)
    extra = (values.mixup, values.copy_paste, values.cutout, values.mosaic9, values.crop)
    assert extra == (0, 0, 0, 0, 0)
