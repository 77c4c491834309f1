"""Annotations of all kinds are drawn where they are, and nothing else changes."""

import numpy as np
import pytest

from visiongarden.drawing.annotations import color_of, draw_instances, draw_sample
from visiongarden.samples import (
    Boxes,
    ImageInfo,
    Instances,
    Keypoints,
    Masks,
    RotatedBoxes,
    Sample,
)
from visiongarden.types import ClassMap, LabelMap

SIZE = (300, 400)
GRAY = np.full((*SIZE, 3), 120, np.uint8)
NAMES = ClassMap(("cat", "dog"))


def changed(picture):
    return (picture != GRAY).any(axis=-1)


def test_box_is_drawn_along_its_border():
    drawn = draw_instances(GRAY, Instances(SIZE, Boxes([[100, 80, 200, 160]])))
    for line in (drawn[80, 100:200], drawn[160, 100:200], drawn[80:160, 100], drawn[80:160, 200]):
        assert np.abs(line.astype(int) - color_of(0)).max() < 60  # lines are smoothed
    assert not changed(drawn)[90:150, 110:190].any()
    assert (GRAY == 120).all()


def test_rotated_box_is_drawn_as_a_polygon():
    # Width 100, turned by 45°: the corners are at most 50 · √2 ≈ 70.7 pixels from the center.
    drawn = changed(draw_instances(GRAY, Instances(SIZE, RotatedBoxes([[200, 150, 100, 100, 45]]))))
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    assert (rows[0], rows[-1]) == pytest.approx((79.3, 220.7), abs=2)
    assert (columns[0], columns[-1]) == pytest.approx((129.3, 270.7), abs=2)
    assert not drawn[110, 160]  # a corner of the box around it


def test_mask_is_translucent_inside_and_nowhere_else():
    masks = Masks.from_polygons([[[50, 50, 150, 50, 50, 150]]], SIZE)
    drawn = draw_instances(GRAY, Instances(SIZE, masks=masks))
    expected = np.round(0.4 * np.array(color_of(0)) + 0.6 * 120)
    np.testing.assert_allclose(drawn[70, 70], expected, atol=1)
    assert not changed(drawn)[120:, 120:].any()


@pytest.mark.parametrize("with_masks", [True, False])
def test_crowd_regions_are_hatched_and_have_a_dashed_box(with_masks):
    boxes = [[20, 60, 180, 260], [220, 60, 380, 260]]
    masks = Masks.from_polygons([[[x, y, r, y, r, b, x, b]] for x, y, r, b in boxes], SIZE)
    crowd, given = [False, True], masks if with_masks else None
    drawn = changed(draw_instances(GRAY, Instances(SIZE, Boxes(boxes), masks=given, crowd=crowd)))
    one, group = drawn[90:240, 40:160].mean(), drawn[90:240, 240:360].mean()
    assert one == with_masks  # an object without a mask has a box alone
    assert 0.4 < group < 0.6
    top = [drawn[60, columns].mean() for columns in (slice(30, 170), slice(240, 370))]
    assert top[0] == 1
    assert 0.4 < top[1] < 0.7


def test_labeled_keypoints_and_edges_between_them_are_drawn():
    points = [[[50, 50, 2], [150, 50, 1], [0, 0, 0], [200, 200, 2]]]
    keypoints = Keypoints(points, skeleton=[(0, 1), (1, 2)])
    drawn = draw_instances(GRAY, Instances(SIZE, keypoints=keypoints))
    assert (drawn[50, 50] == color_of(0)).all()
    np.testing.assert_allclose(drawn[50, 100], color_of(1), atol=60)  # the edge
    assert (drawn[200, 200] == color_of(3)).all()
    ring = changed(drawn)[45:56, 145:156]
    assert ring.any()
    assert not ring[4:7, 6:8].any()  # hidden: not filled
    assert not changed(drawn)[:20, :20].any()  # not labeled


def test_coordinates_far_outside_do_not_wrap_around():
    far = Boxes([[1e9, 1e9, 2e9, 2e9]])
    assert not changed(draw_instances(GRAY, Instances(SIZE, far))).any()


def test_labels_of_the_image_are_listed():
    info = ImageInfo(0, None, SIZE)
    unknown = Sample(info, labels=np.array([np.nan, 0], np.float32))
    certain = Sample(info, labels=np.array([1, 0], np.float32))
    assert changed(draw_sample(GRAY, certain, NAMES))[:10, :10].any()
    assert (draw_sample(GRAY, unknown, NAMES) != draw_sample(GRAY, certain, NAMES)).any()
    values = LabelMap(("angle", "speed"), ("rad", ""))
    drawn = draw_sample(GRAY, unknown, NAMES, values)
    assert (drawn[:14, :2] == color_of(0)).all(axis=-1).any()
    assert (drawn[14:40, :2] == color_of(1)).all(axis=-1).any()


def test_masks_of_a_single_class_have_a_color_each_and_names_cover_no_other():
    size = (200, 300)
    boxes = np.array([[10, 40, 130, 140], [20, 42, 140, 150], [200, 100, 212, 112]], np.float32)
    bitmaps = np.zeros((3, *size), bool)
    for bitmap, (x1, y1, x2, y2) in zip(bitmaps, boxes.astype(int), strict=True):
        bitmap[y1:y2, x1:x2] = True
    found = Instances(
        size, Boxes(boxes), [0, 0, 0], scores=[0.9, 0.8, 0.7], masks=Masks.from_bitmaps(bitmaps)
    )
    picture = np.zeros((*size, 3), np.uint8)
    drawn = draw_instances(picture, found, ClassMap(("cell",)))
    names = draw_instances(picture, found.replace(masks=None), ClassMap(("cell",)))
    colors = [color_of(i) for i in range(3)]
    # The centers, away from outlines: 0.4 of the color of each object.
    for color, (x, y) in ((colors[0], (14, 100)), (colors[1], (136, 145)), (colors[2], (206, 106))):
        assert np.abs(drawn[y, x] - 0.4 * np.array(color)).max() < 2
    # Names: that of the best object, not of the one that it would be covered by, nor of the small.
    assert drawn[30, 11].tolist() == list(colors[0])
    assert not drawn[30, 137].any()
    assert not drawn[90:98, 205:230].any()
    assert names[90:98, 205:230].any()
