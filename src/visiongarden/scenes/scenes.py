"""Generate reproducible datasets of synthetic scenes with exact ground truth."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from visiongarden.errors import UserError
from visiongarden.scenes.scene_annotations import (
    keypoint_keys,
    keypoint_values,
    keypoints_of,
    masks_of,
    rotation,
    segmentation_of,
    visibilities,
)
from visiongarden.scenes.scene_classes import PLAIN, SHAPES, SceneClass, scene_classes
from visiongarden.storage import atomic_folder
from visiongarden.types import ImageSize

CLASSES = SHAPES
_FINER = 2  # scenes are rendered at twice their size and averaged, which smooths edges
_MIN_VISIBILITY = 0.6
_DONE = "scenes.json"
_ATTEMPTS = 100
"""Attempts to place each object if `objects` is specified."""


def make_scenes(
    directory: str | Path,
    count: int = 400,
    image_size: ImageSize = (192, 192),
    seed: int = 0,
    val_share: float = 0.2,
    classes: int | None = None,
    objects: tuple[int, int] | None = None,
    masks: bool = False,
    keypoints: bool = False,
) -> Path:
    """Generate a COCO dataset of synthetic scenes: `train.json`, `val.json` and `images/*.png`.

    A scene shows tilted, overlapping shapes on a textured background among lines and smears that
    are not objects. A shape is 0.13 to 0.6 of the image's shorter side wide, and at least three
    fifths of it are visible.

    Args:
        directory: output folder. If it contains the same scenes already, nothing is written.
        count: number of images.
        image_size: (height, width) in pixels.
        seed: seed of the scenes; equal arguments generate equal images.
        val_share: fraction of the images in the split "val".
        classes: number of classes, up to 120. None is five shapes of any color; with more than
            five, a class is a shape of one hue and fill.
        objects: smallest and largest number of objects in an image. With None, one image in twelve
            has no object, and the others have up to seven.
        masks: whether objects have masks: the pixels of which each covers most.
        keypoints: whether objects have three keypoints: `top`, `left_side` and `right_side`, the
            last two of which a mirror swaps. Those that another shape covers are marked as hidden.

    Returns:
        The directory.

    Raises:
        UserError: the directory contains other files, or `classes` is out of range.

    Example:
        >>> folder = make_scenes("scenes", 4, (64, 64), masks=True, keypoints=True)
        >>> sorted(vg.read(folder, reader="COCO").fields)
        ['boxes', 'keypoints', 'masks']
    """
    arguments = {"count": count, "size": list(image_size), "seed": seed, "val_share": val_share}
    # Only arguments that were specified: folders written before they existed remain valid.
    arguments |= {} if classes is None else {"classes": classes}
    arguments |= {} if objects is None else {"objects": list(objects)}
    arguments |= {"instance_masks": True} if masks else {}
    arguments |= {"keypoints": True} if keypoints else {}
    write = partial(
        _write, kinds=scene_classes(classes), objects=objects, masks=masks, keypoints=keypoints
    )
    return _generate(Path(directory), arguments, write, count, image_size, seed, val_share)


def make_mask_scenes(
    directory: str | Path,
    count: int = 400,
    image_size: ImageSize = (128, 128),
    seed: int = 0,
    val_share: float = 0.2,
) -> Path:
    """Generate a segmentation dataset of synthetic scenes: `images/`, `masks/`, `classes.yaml`.

    The scenes are those of `make_scenes`. A pixel of a mask has the class of the shape that covers
    most of it, 0 for the background.

    Args:
        directory: output folder. If it contains the same scenes already, nothing is written.
        count: number of images.
        image_size: (height, width) in pixels.
        seed: seed of the scenes; equal arguments generate equal images.
        val_share: fraction of the images in the split "val".

    Returns:
        The directory.

    Raises:
        UserError: the directory contains other files.
    """
    arguments = {"count": count, "size": list(image_size), "seed": seed, "val_share": val_share}
    arguments["masks"] = True
    return _generate(Path(directory), arguments, _write_masks, count, image_size, seed, val_share)


def _generate(
    directory: Path,
    arguments: dict[str, object],
    write: Callable[[Path, int, ImageSize, int, int], None],
    count: int,
    image_size: ImageSize,
    seed: int,
    val_share: float,
) -> Path:
    if _contains(directory, arguments):
        return directory
    if directory.exists() and any(directory.iterdir()):
        raise UserError(
            f"{directory} is not empty",
            rule="a directory that is new, empty, or has the same scenes",
        )
    with atomic_folder(directory) as draft:
        write(draft, count, image_size, seed, round(count * (1 - val_share)))
        (draft / _DONE).write_text(json.dumps(arguments), encoding="utf-8")
    return directory


def _contains(directory: Path, arguments: dict[str, object]) -> bool:
    try:
        return bool(json.loads((directory / _DONE).read_text(encoding="utf-8")) == arguments)
    except (OSError, ValueError):
        return False


def _write(
    folder: Path,
    count: int,
    size: ImageSize,
    seed: int,
    train: int,
    kinds: tuple[SceneClass, ...],
    objects: tuple[int, int] | None,
    masks: bool,
    keypoints: bool,
) -> None:
    (folder / "images").mkdir()
    keys = keypoint_keys() if keypoints else {}
    categories = [{"id": i + 1, "name": kind.name} | keys for i, kind in enumerate(kinds)]
    splits = {
        name: {"images": [], "annotations": [], "categories": categories}
        for name in ("train", "val")
    }
    for number in range(count):
        found = _render(size, np.random.default_rng((seed, number)), kinds, objects)
        name = f"{number:05}.png"
        cv2.imwrite(str(folder / "images" / name), found.image[..., ::-1])
        split = splits["train" if number < train else "val"]
        row = {"id": number, "file_name": name, "height": size[0], "width": size[1]}
        split["images"].append(row)
        further = _further(found, masks, keypoints)
        for index, keys in zip(range(len(found.kinds)), further, strict=True):
            x1, y1, x2, y2 = _box_of(found.owner == index + 1)
            split["annotations"].append(
                {
                    "id": len(split["annotations"]) + 1,
                    "image_id": number,
                    "category_id": found.kinds[index] + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                }
                | keys
            )
    for name, split in splits.items():
        (folder / f"{name}.json").write_text(json.dumps(split), encoding="utf-8")


def _further(found: _Scene, masks: bool, keypoints: bool) -> list[dict[str, Any]]:
    """Return the keys of masks and keypoints of each object of a scene."""
    keys: list[dict[str, Any]] = [{} for _ in found.kinds]
    if masks:
        for own, mask in zip(keys, masks_of(found.owner, len(keys), _FINER), strict=True):
            own |= segmentation_of(mask)
    if keypoints:
        for number, (own, placed) in enumerate(zip(keys, found.shapes, strict=True), start=1):
            seen = visibilities(found.owner, number, placed.points, placed.center)
            own |= keypoint_values(placed.points / _FINER, seen)
    return keys


def _write_masks(folder: Path, count: int, size: ImageSize, seed: int, train: int) -> None:
    for number in range(count):
        image, mask = mask_scene(size, np.random.default_rng((seed, number)))
        for kind, pixels in (("images", image[..., ::-1]), ("masks", mask)):
            target = folder / kind / ("train" if number < train else "val")
            target.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(target / f"{number:05}.png"), pixels)
    names = ", ".join(("background", *CLASSES))
    (folder / "classes.yaml").write_text(f"classes: [{names}]\n", encoding="utf-8")


def scene(
    size: ImageSize,
    random: np.random.Generator,
    kinds: tuple[SceneClass, ...] = PLAIN,
    objects: tuple[int, int] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Generate one scene with boxes around the visible part of each object.

    Args:
        size: (height, width) in pixels.
        random: random number generator.
        kinds: classes to sample objects from.
        objects: smallest and largest number of objects, or None, as in `make_scenes`.

    Returns:
        uint8 RGB image, float32 boxes (n, 4) xyxy in pixels, and int32 classes (n,).
    """
    found = _render(size, random, kinds, objects)
    boxes = [_box_of(found.owner == i + 1) for i in range(len(found.kinds))]
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return found.image, array, np.array(found.kinds, np.int32)


def mask_scene(size: ImageSize, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Generate one scene with a segmentation mask; equal random numbers give the image of `scene`.

    Returns:
        uint8 RGB image, and uint8 mask (height, width) with 0 for the background and `1 + class`.
    """
    found = _render(size, random)
    classes = np.array([0, *(kind + 1 for kind in found.kinds)], np.uint8)[found.owner]
    cells = classes.reshape(size[0], _FINER, size[1], _FINER)
    cover = [(cells == index).sum(axis=(1, 3)) for index in range(len(CLASSES) + 1)]
    return found.image, np.argmax(cover, axis=0).astype(np.uint8)


class _Placed(NamedTuple):
    """A shape on the enlarged canvas.

    Attributes:
        mask: bool (height, width), where the shape is.
        center: (x, y) in pixels.
        points: its keypoints (k, 2) in pixels.
    """

    mask: np.ndarray
    center: np.ndarray
    points: np.ndarray


class _Scene(NamedTuple):
    """A rendered scene.

    Attributes:
        image: uint8 RGB.
        owner: int32 number of the visible shape at each pixel of the enlarged canvas, from 1; 0
            for none.
        kinds: index of the class of each shape.
        shapes: each shape as it was placed.
    """

    image: np.ndarray
    owner: np.ndarray
    kinds: list[int]
    shapes: list[_Placed]


def _render(
    size: ImageSize,
    random: np.random.Generator,
    classes: tuple[SceneClass, ...] = PLAIN,
    objects: tuple[int, int] | None = None,
) -> _Scene:
    """Render a scene."""
    canvas = _background(size, random)
    height, width = canvas.shape[:2]
    owner = np.zeros((height, width), np.int32)
    areas: dict[int, int] = {}
    kinds: list[int] = []
    shapes: list[_Placed] = []
    # With `objects`, enough attempts are made that the number of objects is nearly always reached.
    # The default stays at three for each object: more would change the scenes of a seed.
    if objects is None:
        count = 0 if random.random() < 1 / 12 else int(random.integers(2, 8))
        attempts = count * 3
    else:
        count = int(random.integers(objects[0], objects[1] + 1))
        attempts = count * _ATTEMPTS
    for _ in range(attempts):
        if len(kinds) == count:
            break
        kind = int(random.integers(len(classes)))
        # Log-uniform, so that small shapes are as frequent as large ones.
        side = min(height, width) * math.exp(random.uniform(math.log(0.13), math.log(0.6)))
        placed = _shape(classes[kind].shape, side, (height, width), random)
        mask = placed.mask
        after = np.where(mask, len(kinds) + 1, owner)
        seen = np.bincount(after.ravel(), minlength=len(kinds) + 2)
        # A shape that would hide too much of an earlier one is not placed.
        if all(seen[i] >= _MIN_VISIBILITY * areas[i] for i in areas):
            owner = after
            kinds.append(kind)
            shapes.append(placed)
            areas[len(kinds)] = int(mask.sum())
            _paint(canvas, mask, random, classes[kind], side)
    _clutter(canvas, random, int(random.integers(0, 3)))
    image = cv2.resize(canvas, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    # Sensor noise and exposure, equal in all channels.
    noise = random.normal(0, random.uniform(1, 7), (*size, 1)).astype(np.float32)
    image = np.clip(image * random.uniform(0.75, 1.2) + noise, 0, 255).astype(np.uint8)
    return _Scene(image, owner, kinds, shapes)


def _box_of(mask: np.ndarray) -> list[float]:
    """Return the xyxy box around the visible part of a shape, in pixels of the final image."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    corners = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    return [float(v) / _FINER for v in corners]


def _background(size: ImageSize, random: np.random.Generator) -> np.ndarray:
    """Render a background: a smooth gradient of two colors, grain and clutter."""
    height, width = size[0] * _FINER, size[1] * _FINER
    coarse = random.uniform(0, 1, (int(random.integers(2, 6)), int(random.integers(2, 6)), 1))
    blend = cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    blend = np.clip(blend, 0, 1)[..., None]
    first, second = random.uniform(40, 215, (2, 3)).astype(np.float32)
    grain = random.normal(0, 9, (height // 6, width // 6, 1)).astype(np.float32)
    grain = cv2.resize(grain, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    canvas = np.clip(first * blend + second * (1 - blend) + grain, 0, 255).astype(np.uint8)
    _clutter(canvas, random, int(random.integers(2, 7)))
    return canvas


def _clutter(canvas: np.ndarray, random: np.random.Generator, count: int) -> None:
    """Draw curves and smears that are not objects, in place."""
    height, width = canvas.shape[:2]
    for _ in range(count):
        color = random.uniform(30, 225, 3).tolist()
        points = (random.uniform(0, 1, (4, 2)) * (width, height)).astype(np.int32)
        thickness = int(random.integers(1, 2 * _FINER))
        if random.random() < 0.7:
            cv2.polylines(canvas, [_curve(points)], False, color, thickness, cv2.LINE_AA)
        else:
            for point in _curve(points)[:: int(random.integers(3, 7))]:
                cv2.circle(canvas, point.tolist(), thickness, color, -1, cv2.LINE_AA)


def _curve(points: np.ndarray) -> np.ndarray:
    """Return points on the cubic Bézier curve of four control points."""
    t = np.linspace(0, 1, 24)[:, None]
    a, b, c, d = points.astype(np.float64)
    curve = a * (1 - t) ** 3 + 3 * b * t * (1 - t) ** 2 + 3 * c * t**2 * (1 - t) + d * t**3
    return np.asarray(curve, np.int32)


def _shape(name: str, side: float, canvas: tuple[int, int], random: np.random.Generator) -> _Placed:
    """Place one shape at a random position inside the canvas."""
    height, width = canvas
    radius = side / 2
    center = random.uniform(radius + 1, np.array([width, height]) - radius - 1)
    turn = random.uniform(-0.35, 0.35) - math.pi / 2
    mask = np.zeros(canvas, np.uint8)
    middle = tuple(round(v) for v in center)
    corners = np.zeros((0, 2))
    if name in ("disc", "ring"):
        turn = -math.pi / 2  # has no visible direction
        cv2.circle(mask, middle, round(radius), 1, -1)
        if name == "ring":
            cv2.circle(mask, middle, round(radius * 0.55), 0, -1)
    else:
        corners = _corners(name, random)
        polygon = center + radius * corners @ rotation(turn)
        cv2.fillPoly(mask, [np.round(polygon).astype(np.int32)], 1)
    # OpenCV counts from the center of the first pixel.
    points = center + radius * keypoints_of(name, corners) @ rotation(turn) + 0.5
    return _Placed(mask.astype(bool), center + 0.5, points)


def _corners(name: str, random: np.random.Generator) -> np.ndarray:
    """Return the corners (n, 2) of a shape on the unit circle; the inner ones of a star are inside.

    A box has a random aspect ratio.
    """
    if name == "box":
        flat = random.uniform(0.6, 1.0)
        corners = np.array([[1, flat], [-1, flat], [-1, -flat], [1, -flat]], np.float64)
        return corners / np.linalg.norm(corners[0])
    count, inner = (3, 1.0) if name == "triangle" else (5, 0.45)
    angles = np.arange(count * (1 if inner == 1.0 else 2)) * (
        2 * math.pi / (count * (1 if inner == 1.0 else 2))
    )
    reach = np.where(np.arange(len(angles)) % 2 == 0, 1.0, inner)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * reach[:, None]


def _paint(
    canvas: np.ndarray,
    mask: np.ndarray,
    random: np.random.Generator,
    kind: SceneClass,
    side: float,
) -> None:
    """Fill a shape with a shaded color of its class and draw its edge, in place.

    A class of any color gets one that differs clearly from the pixels below.
    """
    under = canvas[mask].mean(axis=0)
    color = kind.color(random)
    while kind.hue is None and np.abs(color - under).sum() < 130:
        color = kind.color(random)
    columns = np.linspace(-1, 1, canvas.shape[1])[None, :, None]
    shade = 1 + random.uniform(-0.25, 0.25) * columns
    canvas[mask] = np.clip(color * np.broadcast_to(shade, canvas.shape)[mask], 0, 255)
    dark = mask & kind.darkened(canvas.shape[:2], side / 4)
    canvas[dark] = (canvas[dark] * 0.3).astype(np.uint8)
    kernel = np.ones((_FINER, _FINER), np.uint8)
    edge = mask & ~cv2.erode(mask.astype(np.uint8), kernel).astype(bool)
    canvas[edge] = (canvas[edge] * random.uniform(0.4, 0.8)).astype(np.uint8)
