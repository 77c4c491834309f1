"""Random lists of warps: masks, keypoints and boxes equal an independent computation.

The matrices of the list are known to the test, which multiplies them in NumPy. Polygons are convex,
so that they are easily cut, and pycocotools rasterizes them.
"""

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco

from visiongarden import transforms
from visiongarden.samples import Boxes, ImageInfo, Instances, Keypoints, Masks, Sample
from visiongarden.transforms import Pipeline, Warp

LISTS = 1000
MIN_VISIBILITY = 0.1
PAIRS = [(0, 1)]


class Fixed(Warp):
    """A warp with a given matrix."""

    random = True
    rows: tuple[tuple[float, ...], ...]
    size: tuple[int, int]

    def matrix(self, sample, context, rng):
        return np.array(self.rows), self.size


def shift(x, y):
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def random_warp(rng, size, canvas):
    """Return a transform, and its matrix and size, computed here."""
    height, width = size
    kind = rng.integers(9)
    if kind == 0:
        return (
            transforms.HorizontalFlip(probability=1),
            np.array([[-1, 0, width], [0, 1, 0], [0, 0, 1.0]]),
            size,
        )
    if kind == 1:
        return (
            transforms.VerticalFlip(probability=1),
            np.array([[1, 0, 0], [0, -1, height], [0, 0, 1.0]]),
            size,
        )
    if kind == 2:
        turns = int(rng.integers(4))
        matrix = [
            np.eye(3),
            np.array([[0, -1, height], [1, 0, 0], [0, 0, 1.0]]),
            np.array([[-1, 0, width], [0, -1, height], [0, 0, 1.0]]),
            np.array([[0, 1, 0], [-1, 0, width], [0, 0, 1.0]]),
        ][turns]
        turned = size if turns % 2 == 0 else size[::-1]
        return transforms.Rotate90(turns=(turns,)), matrix, turned
    if kind == 3:
        return transforms.Resize(), np.diag([canvas[1] / width, canvas[0] / height, 1]), canvas
    if kind == 4:
        return transforms.Letterbox(), *letterbox(size, canvas)
    if kind == 5:  # a crop
        rows, columns = int(rng.integers(height // 2, height)), int(rng.integers(width // 2, width))
        x, y = int(rng.integers(width - columns + 1)), int(rng.integers(height - rows + 1))
        return fixed(shift(-x, -y), (rows, columns))
    angle, scale = rng.uniform(-np.pi, np.pi), rng.uniform(0.6, 1.6)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    turn[0, :2] *= rng.choice([-1, 1]) * rng.uniform(0.8, 1.2)
    if kind == 8:
        turn[2, :2] = rng.uniform(-0.15, 0.15, 2) / max(size)
    moved = np.array([width, height]) / 2 + rng.uniform(-0.2, 0.2, 2) * (width, height)
    return fixed(shift(*moved) @ turn @ shift(-width / 2, -height / 2), size)


def letterbox(size, canvas):
    (height, width), ratio = size, min(canvas[0] / size[0], canvas[1] / size[1])
    rows, columns = max(round(height * ratio), 1), max(round(width * ratio), 1)
    top, left = (canvas[0] - rows) // 2, (canvas[1] - columns) // 2
    return shift(left, top) @ np.diag([columns / width, rows / height, 1]), canvas


def fixed(matrix, size):
    rows = tuple(tuple(map(float, row)) for row in matrix)
    return Fixed(rows=rows, size=size), np.array(rows), size


def triangle(rng, size):
    """Return a convex polygon (k, 2) inside an image."""
    height, width = size
    points = rng.uniform(0, 1, (6, 2)) * (width * 0.45, height * 0.45)
    points += rng.uniform(0, 0.5, 2) * (width, height)
    return cv2.convexHull(points.astype(np.float32)).reshape(-1, 2)


def sample_of(rng):
    size = (int(rng.integers(24, 48)), int(rng.integers(24, 48)))
    parts = [[triangle(rng, size)], [triangle(rng, size)], [triangle(rng, size)]]
    left = parts[0][0] * np.float32([0.4, 1])  # a second part without overlap
    parts[0] = [left, left + np.float32([0.55 * size[1], 0])]
    pixels = coco.decode(coco.frPyObjects([parts[2][0].ravel().tolist()], *size))[..., 0]
    masks = Masks.concatenate(
        [Masks.from_polygons(parts[:2], size), Masks.from_bitmaps(pixels[None].astype(bool))]
    )
    points = np.concatenate(
        [rng.uniform(0, 1, (3, 4, 2)) * (size[1], size[0]), rng.integers(0, 3, (3, 4, 1))], axis=-1
    ).astype(np.float32)
    objects = Instances(
        size,
        Boxes([[*np.min(np.concatenate(p), axis=0), *np.max(np.concatenate(p), axis=0)]
               for p in parts]),
        np.arange(3),
        masks=masks,
        keypoints=Keypoints(points, pairs=PAIRS),
        area=np.ones(3),
        data={"row": np.arange(3)},
    )  # fmt: skip
    image = np.zeros((*size, 1), np.uint8)
    return Sample(ImageInfo(7, None, size), image, objects), parts, pixels, points


def apply(matrix, points):
    moved = np.c_[points, np.ones(len(points))] @ matrix.T
    return moved[:, :2] / moved[:, 2:]


def cut(polygon, size):
    """Cut a polygon at the four sides of a canvas, one after the other."""
    points = [tuple(p) for p in np.asarray(polygon, np.float64).tolist()]
    for axis, limit, sign in ((0, 0, 1), (1, 0, 1), (0, size[1], -1), (1, size[0], -1)):
        kept = []
        for p, q in zip(points, points[1:] + points[:1], strict=True):
            a, b = sign * (p[axis] - limit), sign * (q[axis] - limit)
            if a >= 0:
                kept.append(p)
            if a * b < 0:
                t = a / (a - b)
                kept.append((p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])))
        points = kept
    return np.array(points).reshape(-1, 2)


def area(polygon):
    return cv2.contourArea(np.float32(polygon)) if len(polygon) > 2 else 0.0


def expected_polygons(parts, steps):
    """Return the visible polygons, and the visible fraction of the object."""
    found, share, before = [np.asarray(p, np.float64) for p in parts], 1.0, steps[0][2]
    for matrix, size, start in steps:
        if size != start and before is not None:
            whole = sum(map(area, found))
            found = [cut(p, start) for p in found]
            share *= sum(map(area, found)) / whole if whole else 0
        found = [apply(matrix, p) if len(p) else p for p in found]
        before = size
    whole = sum(map(area, found))
    found = [cut(p, steps[-1][1]) for p in found]
    return found, share * (sum(map(area, found)) / whole if whole else 0)


def rasterized(polygons, size):
    rings = [p.ravel().tolist() for p in polygons if len(p) > 2]
    if not rings:
        return np.zeros(size, bool)
    return coco.decode(coco.merge(coco.frPyObjects(rings, *size))).astype(bool)


def expected_pixels(pixels, steps):
    """Return the nearest pixels; centers on the edge of a pixel, which rounding decides, are -1."""
    rows, columns = np.indices(steps[-1][1]) + 0.5
    points = np.stack([columns.ravel(), rows.ravel()], axis=1)
    valid, unsure = np.ones(len(points), bool), np.zeros(len(points), bool)
    for matrix, size, start in reversed(steps):
        points = apply(np.linalg.inv(matrix), points)
        if size != start:
            inside = (points > 0) & (points < (start[1], start[0]))
            valid &= inside.all(axis=1)
            unsure |= (np.abs(points - np.clip(points, 0, (start[1], start[0]))) < 0.6).any(axis=1)
    height, width = pixels.shape
    distance = np.abs(points - np.round(points)).min(axis=1)
    inside = valid & ((points > 0) & (points < (width, height))).all(axis=1)
    x, y = np.where(inside[:, None], np.floor(points), 0).astype(int).T
    found = np.where(inside, pixels[y.clip(0, height - 1), x.clip(0, width - 1)], 0).astype(int)
    found[distance < 0.05] = -1
    return found.reshape(steps[-1][1])


def is_cut(shape, steps):
    """Return whether a canvas in between has cut off a part of the image."""
    corners = np.array([[0, 0], [shape[1], 0], [0, shape[0]], shape[::-1]], float)
    for matrix, size, start in steps:
        inside = (corners > -1e-6) & (corners < np.array(start[::-1]) + 1e-6)
        if size != start and not inside.all():
            return True
        corners = apply(matrix, corners)
    return False


def border(mask):
    """Return the pixels within two pixels of the border of a mask."""
    kernel = np.ones((5, 5), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), kernel) != cv2.erode(mask.astype(np.uint8), kernel)


def expected_points(points, steps):
    found = points.astype(np.float64)
    labeled = found[..., 2] > 0
    for matrix, size, start in steps:
        if size != start:
            xy = found[..., :2]
            labeled &= ((xy >= 0) & (xy <= (start[1], start[0]))).all(axis=-1)
        found[..., :2] = apply(matrix, found[..., :2].reshape(-1, 2)).reshape(3, 4, 2)
        if np.linalg.det(matrix) < 0:
            order = [1, 0, 2, 3]
            found, labeled = found[:, order], labeled[:, order]
    return found, labeled


@pytest.mark.parametrize(
    "seeds", [range(200), pytest.param(range(200, LISTS), marks=pytest.mark.slow)], ids=len
)
def test_random_lists(seeds):
    compared = np.zeros(3, int)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        sample, parts, pixels, points = sample_of(rng)
        size, canvas = sample.image.shape[:2], (40, 36)
        chosen, steps = [], []
        for _ in range(int(rng.integers(1, 5))):
            transform, matrix, target = random_warp(rng, size, canvas)
            chosen.append(transform)
            steps.append((matrix, target, size))
            size = target
        if size != canvas:
            steps.append((*letterbox(size, canvas), size))
            size = canvas
        pipeline = Pipeline(chosen, [sample], size=canvas, capacity=3, epochs=1, seed=seed)
        found = pipeline(0, 0)
        check_lengths(found, size)
        matrix = np.eye(3)
        for step in steps:
            matrix = step[0] @ matrix
        np.testing.assert_allclose(
            found.info.placement / found.info.placement[2, 2], matrix / matrix[2, 2], atol=1e-6
        )
        kept = found.instances.data["row"].tolist()
        bitmaps, boxes = found.instances.masks.bitmaps(), np.asarray(found.instances.boxes)
        for row in range(3):
            polygons, share = expected_polygons(parts[row], steps)
            if row not in kept:
                sides = box_sides(polygons)
                assert share < MIN_VISIBILITY + 0.02 or sides < 2.1 or row == 2, (seed, row, share)
                continue
            mask = bitmaps[kept.index(row)]
            if row < 2:
                assert share > MIN_VISIBILITY - 0.01, (seed, row, share)
                expected = rasterized(polygons, size)
                # Coordinates are float32 here and there, and rounded to a fifth of a pixel.
                assert (mask != expected).sum() <= 3 + 0.01 * mask.sum(), (seed, row)
                check_box(boxes[kept.index(row)], polygons)
            else:
                expected = expected_pixels(pixels, steps)
                wrong = (expected >= 0) & (mask != expected)
                if is_cut(pixels.shape, steps):  # resampled again, with an error at the border
                    wrong &= ~border(expected == 1)
                assert wrong.sum() <= 2, (seed, wrong.sum())
            compared[row] += 1
        check_points(found.instances.keypoints, kept, points, steps, size)
    assert (compared > len(seeds) * 0.6).all()


def check_lengths(sample, size):
    objects = sample.instances
    assert sample.image.shape[:2] == size == objects.size
    for field in (objects.boxes, objects.classes, objects.masks, objects.keypoints):
        assert len(field) == len(objects)
    boxes = np.asarray(objects.boxes)
    assert (boxes >= 0).all()
    assert (boxes <= [size[1], size[0], size[1], size[0]]).all()
    np.testing.assert_array_equal(objects.data["row"], objects.classes)


def box_sides(polygons):
    points = np.concatenate([p for p in polygons if len(p)] or [np.zeros((1, 2))])
    return float((points.max(axis=0) - points.min(axis=0)).min())


def check_box(box, polygons):
    points = np.concatenate(polygons)
    around = [*points.min(axis=0), *points.max(axis=0)]
    np.testing.assert_allclose(box, around, atol=3e-3)


def check_points(keypoints, kept, points, steps, size):
    expected, labeled = expected_points(points, steps)
    values = keypoints.values
    for row, index in enumerate(kept):
        xy = expected[index, :, :2]
        inside = ((xy >= 0) & (xy <= (size[1], size[0]))).all(axis=-1)
        visible = values[row, :, 2] > 0
        np.testing.assert_array_equal(visible, labeled[index] & inside)
        np.testing.assert_allclose(values[row, visible, :2], xy[visible], atol=2e-3)
        np.testing.assert_array_equal(values[row, ~visible], 0)
        np.testing.assert_array_equal(keypoints.to_targets(3, size)["keypoints"][row], values[row])
