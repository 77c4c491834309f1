"""Masks and polygons: pixels, holes and areas equal pycocotools."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from visiongarden.samples import Boxes, ImageInfo, Instances, Masks, Sample, masks
from visiongarden.samples.mask_shapes import PolygonMask
from visiongarden.transforms import CopyPaste, Pipeline

bool_masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


def decoded(rings, size):
    polygons = [np.asarray(ring, float).ravel().tolist() for ring in rings]
    parts = coco_mask.merge(coco_mask.frPyObjects(polygons, *size))
    return coco_mask.decode(parts).astype(bool)


def polygon(*points):
    return np.array(points, np.float32).reshape(-1, 2)


@settings(max_examples=200)
@given(bool_masks)
def test_polygons_follow_pixel_edges(mask):
    found = masks.polygons_of(mask)
    assert (found is None) == (not mask.any())
    if found is None:
        return
    assert all(len(ring) >= 4 for ring in found)
    assert masks.area_of(found) == mask.sum()
    np.testing.assert_array_equal(decoded(found, mask.shape), mask)
    np.testing.assert_array_equal(masks.fill(found, mask.shape), mask)
    one = masks.joined(found)
    np.testing.assert_array_equal(decoded([one], mask.shape), mask)
    rows, columns = np.nonzero(mask)
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert masks.box_of(found) == box


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 2), (1, 1)])
def test_a_line_of_pixels_has_four_corners(shape):
    mask = np.zeros((50, 50), bool)
    mask[3 : 3 + shape[0], 5 : 5 + shape[1]] = True
    (ring,) = masks.polygons_of(mask)
    assert len(ring) == 4
    assert masks.area_of((ring,)) == shape[0] * shape[1]


coordinates = st.one_of(st.integers(-8, 40), st.floats(-300, 600, width=32))
rings = st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=7)


@settings(max_examples=200)
@given(st.lists(rings, min_size=1, max_size=3), st.integers(1, 30), st.integers(1, 30))
def test_filled_polygons_are_those_of_pycocotools(parts, height, width):
    polygons = tuple(np.array(ring, np.float32) for ring in parts)
    size = (height, width)
    np.testing.assert_array_equal(masks.fill(polygons, size), decoded(polygons, size))


@pytest.mark.parametrize("turned", [False, True])
def test_parts_are_joined_in_any_winding_order(turned):
    one = polygon(8, 8, 40, 8, 40, 40, 8, 40)
    other = polygon(24, 24, 60, 24, 60, 56, 24, 56)
    polygons = (one, other[::-1] if turned else other)
    assert masks.fill(polygons, (64, 96)).sum() == 32 * 32 + 36 * 32 - 16 * 16
    assert masks.parts_overlap(polygons)
    assert not masks.parts_overlap((one, other + 32))


def test_a_polygon_far_outside_takes_no_memory():
    far = polygon(-1e9, -1e9, 1e9, -1e9, 1e9, 1e9, -1e9, 1e9)
    assert masks.fill((far,), (20, 30)).all()
    assert not masks.fill((far + 4e9,), (20, 30)).any()


def test_a_pasted_object_keeps_its_hole():
    mask = np.zeros((20, 24), bool)
    mask[4:14, 6:16] = True
    mask[7:10, 9:13] = False
    size = mask.shape
    objects = Instances(size, Boxes([[6, 4, 16, 14]]), [0], masks=Masks.from_bitmaps(mask[None]))
    pixels = [np.zeros((*size, 3), np.uint8), np.full((*size, 3), 200, np.uint8)]
    samples = [
        Sample(ImageInfo(0, None, size), pixels[0], Instances.empty(size)),
        Sample(ImageInfo(1, None, size), pixels[1], objects),
    ]
    paste = CopyPaste(probability=1)
    options = {"size": size, "capacity": 9, "epochs": 100}
    pipelines = (Pipeline([paste], samples, seed=seed, **options) for seed in range(30))
    found = next(one for one in (run(0, 0) for run in pipelines) if len(one.instances))
    # The donor may be mirrored.
    shown = [expected for expected in (mask, mask[:, ::-1]) if expected[:, 7:9].any()]
    pasted = found.image[..., 0] == 200
    assert any(np.array_equal(pasted, expected) for expected in shown)
    np.testing.assert_array_equal(found.instances.masks.bitmaps()[0], pasted)


def test_another_thread_may_resolve_a_transform_in_between():
    # Threads share the samples of a cache; NumPy lets another thread run during a product.
    double = np.diag([2.0, 2.0, 1.0])
    mask = PolygonMask((polygon(0, 0, 4, 0, 4, 4, 0, 4),), matrix=double)

    class Meanwhile(np.ndarray):
        def __matmul__(self, other):
            assert mask.rings[0].max() == 8  # computed by the other thread
            return np.asarray(self) @ np.asarray(other)

    assert mask.warp(double.view(Meanwhile)).rings[0].max() == 16
