"""Matrices of random warps against OpenCV and against the published ranges."""

import math

import cv2
import numpy as np
import pytest

from visiongarden.samples import Boxes, ImageInfo, Instances, Sample
from visiongarden.transforms import (
    Affine,
    Mosaic,
    Perspective,
    Pipeline,
    RandomCrop,
    RandomResizedCrop,
    Warp,
)


class Context:
    size, epoch, epochs, capacity, fill = (64, 96), 0, 1, 10, (114,)

    def others(self, count, rng):
        raise NotImplementedError


class Fixed(Warp):
    rows: tuple[tuple[float, ...], ...]

    def matrix(self, sample, context, rng):
        return np.array(self.rows), context.size


def image(height, width, value=200):
    pixels = np.full((height, width, 3), value, np.uint8)
    return Sample(ImageInfo(0, None, (height, width)), pixels, Instances.empty((height, width)))


def matrices(warp, sample, count=300):
    found = [warp.matrix(sample, Context(), np.random.default_rng(i)) for i in range(count)]
    return np.array([matrix for matrix, _ in found]), {size for _, size in found}


def centers(found, height, width):
    """Return where the center of the image is on the canvas, from the center of the canvas."""
    points = found @ [width / 2, height / 2, 1]
    return points[:, :2] / points[:, 2:] - (48, 32)


@pytest.mark.parametrize("shape", [(64, 96), (100, 80), (30, 90)])
def test_affine_is_a_rotation_around_the_center(shape):
    found, sizes = matrices(Affine(scale=0.5, translate=0, degrees=30), image(*shape))
    assert sizes == {(64, 96)}
    fit = min(64 / shape[0], 96 / shape[1])
    middle = (shape[1] / 2, shape[0] / 2)
    angles, scales = [], []
    for matrix in found:
        angle = math.degrees(math.atan2(matrix[0, 1], matrix[0, 0]))
        scale = math.hypot(matrix[0, 0], matrix[0, 1])
        expected = cv2.getRotationMatrix2D(middle, angle, scale)
        expected[:, 2] += np.array([48, 32]) - middle
        np.testing.assert_allclose(matrix, np.vstack([expected, [0, 0, 1]]), atol=1e-9)
        angles.append(angle)
        scales.append(scale / fit)
    assert -30 <= min(angles) < -28
    assert 28 < max(angles) <= 30
    assert 0.5 <= min(scales) < 0.52
    assert 1.48 < max(scales) <= 1.5
    assert abs(np.mean(scales) - 1) < 0.067  # four standard deviations


def test_affine_shift_and_shear():
    found, _ = matrices(Affine(scale=0, translate=0.25), image(64, 96))
    shifts = np.abs(centers(found, 64, 96)).max(axis=0)
    assert (shifts <= (24, 16)).all()
    assert (shifts > (23, 15)).all()
    found, _ = matrices(Affine(scale=0, translate=0, shear=20), image(64, 96))
    np.testing.assert_allclose(found[:, [0, 1], [0, 1]], 1)
    slants = np.degrees(np.arctan(found[:, [0, 1], [1, 0]]))
    assert (np.abs(slants) <= 20).all()
    assert (np.abs(slants).max(axis=0) > 19).all()
    np.testing.assert_allclose(centers(found, 64, 96), 0, atol=1e-9)


def test_a_range_of_factors_is_sampled_log_uniformly():
    found, _ = matrices(Affine(scale=(0.5, 2), translate=0), image(64, 96), 1000)
    logs = np.log2(found[:, 0, 0])
    assert np.abs(logs).max() <= 1
    assert abs(logs.mean()) < 0.06  # the standard deviation of the mean is 0.018
    assert abs(logs.std() - 1 / math.sqrt(3)) < 0.03


def test_pan_shows_any_part_of_an_enlarged_image():
    plain, _ = matrices(Affine(scale=(2, 2), translate=0), image(64, 96))
    np.testing.assert_allclose(centers(plain, 64, 96), 0, atol=1e-9)
    found, _ = matrices(Affine(scale=(2, 2), translate=0, pan=True), image(64, 96))
    shifts = np.abs(centers(found, 64, 96)).max(axis=0)
    # At twice the size, half a canvas is beyond each border.
    assert (shifts <= (48, 32)).all()
    assert (shifts > (46, 30)).all()


def test_perspective_keeps_the_center_and_changes_the_depth_linearly():
    height, width = 40, 60
    found, sizes = matrices(Perspective(distortion=0.2), image(height, width), 100)
    assert sizes == {(40, 60)}
    corners = np.float32([[0, 0], [60, 0], [60, 40], [0, 40]])
    tilts = []
    for matrix in found:
        tilt = matrix[2, :2] * (30, 20) / (matrix[2] @ [30, 20, 1])
        tilts.append(np.abs(tilt))
        depth = 1 + ((corners - (30, 20)) / (30, 20)) @ tilt
        moved = np.float32((30, 20) + (corners - (30, 20)) / depth[:, None])
        expected = cv2.getPerspectiveTransform(corners, moved)
        np.testing.assert_allclose(matrix / matrix[2, 2], expected, atol=1e-4)
    assert np.max(tilts) <= 0.2
    assert (np.max(tilts, axis=0) > 0.18).all()


def test_random_crop_has_whole_pixels_and_every_place():
    found, sizes = matrices(RandomCrop(min_side=0.5), image(10, 20), 2000)
    np.testing.assert_array_equal(found[:, :2, :2], np.eye(2)[None].repeat(2000, axis=0))
    np.testing.assert_array_equal(found, np.round(found))
    assert {rows for rows, _ in sizes} == set(range(5, 11))
    assert {columns for _, columns in sizes} == set(range(10, 21))
    assert found[:, 0, 2].min() == -10
    assert found[:, 1, 2].min() == -5
    assert found[:, :2, 2].max() == 0


def test_random_resized_crop_has_the_published_ranges():
    found, _ = matrices(RandomResizedCrop(area=(0.2, 0.5), ratio=(0.5, 2)), image(300, 300), 500)
    columns, rows = 96 / found[:, 0, 0], 64 / found[:, 1, 1]
    area, ratio = rows * columns / 300**2, columns / rows
    assert 0.195 < area.min() < 0.21
    assert 0.49 < area.max() < 0.51
    assert 0.49 < ratio.min() < 0.53
    assert 1.9 < ratio.max() < 2.05
    assert abs(np.log(ratio).mean()) < 0.08
    # Too wide to fit: the whole image.
    whole, _ = matrices(RandomResizedCrop(area=(1, 1), ratio=(3, 3)), image(30, 30), 5)
    np.testing.assert_allclose(whole, np.diag([96 / 30, 64 / 30, 1])[None].repeat(5, axis=0))


def test_nothing_is_shown_from_behind_the_camera():
    """The horizon of this tilt crosses the image at a third of its width."""
    matrix = np.array([[1, 0, -10], [0, 1, -5], [0.03, 0, -0.9]])
    sample = image(64, 96)
    sample.instances = Instances((64, 96), Boxes([[0, 20, 96, 40], [5, 5, 20, 20]]), [0, 1])
    pipeline = Pipeline(
        [Fixed(rows=tuple(map(tuple, matrix)))], [sample], size=(64, 96), capacity=5, epochs=1,
        seed=0, min_visibility=0,
    )  # fmt: skip
    found = pipeline(0, 0)
    rows, columns = np.indices((64, 96)) + 0.5
    x, y, w = np.moveaxis(
        np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ np.linalg.inv(matrix).T, -1, 0
    )
    x, y = x / w, y / w
    expected = (w > 0) & (x > 0) & (x < 96) & (y > 0) & (y < 64)
    assert 200 < expected.sum() < 5000
    differs = (found.image[..., 0] == 200) != expected
    near = (np.abs(x - np.clip(x, 0, 96)) < 1) & (np.abs(y - np.clip(y, 0, 64)) < 1)
    assert not (differs & ~near).any()
    assert differs.sum() < 0.1 * expected.sum()
    assert 1 not in found.instances.classes  # behind the camera


def test_a_mosaic_fills_the_canvas_around_its_center():
    """The canvas shows the center of the scene, where the four images meet."""
    samples = [image(64, 96, value) for value in (10, 60, 160, 240)]
    for seed in range(20):
        found = Pipeline([Mosaic()], samples, size=(64, 96), capacity=1, epochs=1, seed=seed)(0, 0)
        values = set(np.unique(found.image).tolist())
        assert 114 not in values
        assert values == {10, 60, 160, 240}
        assert found.image[0, 0, 0] == 10  # the image itself


@pytest.mark.parametrize("scale", [(0.3, 0.9), (1.2, 2.5)])
@pytest.mark.parametrize("degrees", [0, 30])
def test_image_and_semantic_mask_stay_aligned(scale, degrees):
    sample = image(300, 400, 0)
    rows, columns = np.indices((300, 400))
    sample.semantic = ((rows // 60 + columns // 70) % 2).astype(np.uint8)
    sample.image = sample.semantic[..., None].repeat(3, axis=2) * 200
    warp = Affine(scale=scale, degrees=degrees, translate=0.05, pan=True)
    pipeline = Pipeline([warp], [sample], size=(96, 128), capacity=1, epochs=4, seed=0, fill=(100,))
    for epoch in range(4):
        found = pipeline(0, epoch)
        value = found.image[..., 0].astype(int)
        clear = (value < 20) | (value > 180)
        inside = found.semantic != 255
        assert (clear & inside).sum() > 500
        same = (value > 100) == (found.semantic == 1)
        assert same[clear & inside].mean() > 0.995
        outside = cv2.erode((~inside).astype(np.uint8), np.ones((3, 3))) == 1
        assert (value[outside] == 100).all()


@pytest.mark.parametrize("zoom", [0.002, 1.5])
@pytest.mark.parametrize("degrees", [0, 10])
def test_images_beyond_the_limit_of_opencv(zoom, degrees):
    """OpenCV warps at most 32,766 pixels per side; the brightness grows along the long side."""
    ramp = np.linspace(0, 250, 40_000).astype(np.uint8)
    pixels = np.broadcast_to(ramp[None, :, None], (30, 40_000, 1)).copy()
    sample = Sample(ImageInfo(0, None, (30, 40_000)), pixels)
    cos, sin = zoom * math.cos(math.radians(degrees)), zoom * math.sin(math.radians(degrees))
    # Around the point (30,000, 15), with the brightness 187.5.
    matrix = np.array([[cos, -sin, 48], [sin, cos, 32], [0, 0, 1]])
    matrix = matrix @ [[1, 0, -30_000], [0, 1, -15], [0, 0, 1]]
    rows = tuple(tuple(map(float, row)) for row in matrix)
    pipeline = Pipeline([Fixed(rows=rows)], [sample], size=(64, 96), capacity=1, epochs=1, seed=0)
    found = pipeline(0, 0).image[..., 0].astype(float)
    y, x = np.indices((64, 96)) + 0.5
    source = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(matrix).T
    inside = (source[..., 0] > 0) & (source[..., 0] < 40_000)
    inside &= (source[..., 1] > 1 / zoom) & (source[..., 1] < 30 - 1 / zoom)
    if zoom > 1:
        assert inside.sum() > 2000
        expected = source[..., 0] / 40_000 * 250
        assert np.abs(found - expected)[inside].max() < 2
    else:
        assert (found != 114).sum() <= 96  # less than a pixel high
