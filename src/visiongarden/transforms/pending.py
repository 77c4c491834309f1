"""`Pending`: a sample whose geometric transforms are collected and rendered once.

Tiles are parts of decoded images with a matrix to the canvas. A warp multiplies the matrices and
moves the objects; the pixels follow when a transform needs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from visiongarden.errors import UserError
from visiongarden.samples import Field, Instances, Sample, matrices
from visiongarden.transforms.rendering import Placed, Window, render, turn_of
from visiongarden.transforms.visibility import (
    Kept,
    combined,
    cut,
    cut_to_window,
    cut_together,
    visible,
)
from visiongarden.types import IGNORE, ImageSize

_IMAGE_TYPES = {np.dtype(name): name for name in ("uint8", "uint16", "float32")}
_IDENTITY = np.eye(3)
_ROUNDED = 0.02
"""Largest error in pixels of the canvas when an enlarged image is cut at whole pixels."""

_WITHIN = 1e-6
"""Rounding error in pixels of the corners of an image that fills the canvas."""


class Tile(NamedTuple):
    """Part of an image and its mapping to the canvas.

    Attributes:
        sample: sample with a decoded image, and its objects in pixels of this image.
        window: visible part of the image, xyxy in whole pixels.
        matrix: float64 (3, 3), from pixels of the image to pixels of the canvas.
    """

    sample: Sample
    window: Window
    matrix: np.ndarray


def size_of(sample: Sample) -> ImageSize:
    """Return the (height, width) of a sample, for `Warp.matrix` too.

    In a pipeline the image of a sample is not yet moved, but its objects are.

    Example:
        >>> info = vg.samples.ImageInfo(1, "cat.jpg", (30, 40))
        >>> size_of(vg.samples.Sample(info, np.zeros((30, 40, 3), np.uint8)))
        (30, 40)
    """
    if sample.instances.size != (0, 0) or sample.image is None:
        return sample.instances.size
    return sample.image.shape[0], sample.image.shape[1]


def checked(sample: Sample) -> Sample:
    """Return a sample whose objects have the size of its decoded image.

    Raises:
        UserError: the image is not decoded or of another type, or sizes differ.
    """
    image, place = sample.image, f" of image {sample.info.id!r}"
    if image is None:
        raise UserError(
            f"the pixels{place} are not decoded",
            rule="transforms need a sample with an image",
            fix="sample.image = ...  # (height, width, channels)",
        )
    if image.ndim != 3 or image.dtype not in _IMAGE_TYPES or not image.size:
        raise UserError(
            f"the pixels{place} are not valid",
            rule=f"(height, width, channels) of {', '.join(_IMAGE_TYPES.values())}",
            received=f"{image.dtype} of shape {image.shape}",
            fix="image[..., None]  # of a gray image" if image.ndim == 2 else "np.float32(image)",
        )
    size = (image.shape[0], image.shape[1])
    if sample.instances.size not in (size, (0, 0)):
        raise _other_size("objects", place, sample.instances.size, size)
    if sample.semantic is not None and sample.semantic.shape != size:
        raise _other_size("semantic mask", place, sample.semantic.shape, size)
    if sample.instances.size == size:
        return sample
    return replace(sample, instances=sample.instances.replace(size=size))


class Pending:
    """A sample whose pixels are rendered when they are needed.

    Args:
        tiles: parts of images on the canvas; the first is that of the sample itself.
        size: (height, width) of the canvas.
        sample: everything but the pixels, on the canvas; objects may reach beyond it.
        share: fraction of each object that earlier cuts left, (n,); None: 1.
    """

    def __init__(
        self, tiles: list[Tile], size: ImageSize, sample: Sample, share: np.ndarray | None = None
    ) -> None:
        self.tiles, self.size, self.sample, self.share = tiles, size, sample, share
        self.is_rendered = len(tiles) == 1 and tiles[0].sample is sample

    @classmethod
    def of(cls, sample: Sample, share: np.ndarray | None = None) -> Pending:
        """Return a sample to which nothing has been done.

        Raises:
            UserError: the sample is not valid.
        """
        sample = checked(sample)
        size = sample.instances.size
        return cls([Tile(sample, (0, 0, size[1], size[0]), _IDENTITY)], size, sample, share)

    @classmethod
    def of_tiles(cls, tiles: Sequence[Tile], size: ImageSize, name: str) -> Pending:
        """Return the combination of several images; tiles may reach beyond the canvas.

        Args:
            tiles: the first is that of the sample itself; later ones cover earlier ones.
            size: (height, width) of the canvas.
            name: name of the transform, for errors.

        Raises:
            UserError: the images differ in their channels, or have annotations of the whole image.
        """
        tiles = [tile._replace(sample=checked(tile.sample)) for tile in tiles]
        _require_equal([tile.sample for tile in tiles], name)
        main = tiles[0].sample
        kept = cut_together([(t.sample.instances, t.window, t.matrix) for t in tiles], size)
        kept = kept or _moved_together(tiles, size)
        sample = replace(
            main,
            instances=kept.instances,
            known_classes=known_by_all([tile.sample.known_classes for tile in tiles]),
            extra=_combined_extra(tiles, size),
        )
        pending = cls(list(tiles), size, sample, kept.share)
        pending.is_rendered = False
        return pending

    def warp(self, matrix: np.ndarray, size: ImageSize, fill: Sequence[float] = (114,)) -> None:
        """Add a warp.

        A canvas of another size shows nothing that was outside the canvas before.

        Args:
            matrix: (3, 3), from pixels of the canvas to pixels of the next one.
            size: (height, width) of the next canvas.
            fill: pixel value where there is no image.

        Raises:
            UserError: matrix or size are not valid.
        """
        matrix, size = matrices.checked_matrix(matrix), matrices.checked_size(size)
        if size != self.size and not self._is_within():
            self._cut(fill)
        self.tiles = [tile._replace(matrix=matrix @ tile.matrix) for tile in self.tiles]
        extra = self.sample.extra
        if extra:
            extra = {n: v if isinstance(v, np.ndarray) else v.warp(matrix, size)
                     for n, v in extra.items()}  # fmt: skip
        instances = self.sample.instances.move(matrix, size)
        self.sample = replace(self.sample, instances=instances, extra=extra)
        self.size, self.is_rendered = size, False

    def rendered(
        self, fill: Sequence[float], min_visibility: float = 0.0, min_side: float = 0.0
    ) -> Sample:
        """Return the sample with its pixels; nothing is pending afterwards.

        Args:
            fill: pixel value where there is no image.
            min_visibility: smallest visible fraction of an object that is kept.
            min_side: smallest side of a box that is kept, in pixels.
        """
        if self.is_rendered:
            return self.sample
        instances, main = self.sample.instances, self.tiles[0]
        if not self._is_within() or min_side or self.share is not None:
            turned = all(turn_of(tile.matrix) is not None for tile in self.tiles)
            kept = visible(instances, self.share, min_visibility, min_side, refit=not turned)
            instances, self.share = kept.instances, kept.share
        self.sample = replace(
            self.sample,
            info=main.sample.info.moved(main.matrix),
            image=self._image(fill),
            semantic=self._semantic(),
            instances=instances,
            extra=self.sample.extra | self._extra(fill),
        )
        self.tiles = [Tile(self.sample, (0, 0, self.size[1], self.size[0]), _IDENTITY)]
        self.is_rendered = True
        return self.sample

    def _is_within(self) -> bool:
        """Return whether nothing is shown beyond the canvas, so that nothing has to be cut."""
        return self.is_rendered or all(_is_inside(tile, self.size) for tile in self.tiles)

    def _cut(self, fill: Sequence[float]) -> None:
        """Remove what is outside the canvas."""
        tiles = [_cut_tile(tile, self.size) for tile in self.tiles]
        if any(tile is None for tile in tiles):
            self.rendered(fill)
            return
        kept = cut(self.sample.instances, self.share)
        self.tiles, self.share = [tile for tile in tiles if tile is not None], kept.share
        self.sample = replace(self.sample, instances=kept.instances)

    def _image(self, fill: Sequence[float]) -> np.ndarray:
        main = self.tiles[0].sample.image
        assert main is not None  # noqa: S101 checked by `checked`
        values = checked_fill(fill, main)
        return render(self._placed(tile.sample.image for tile in self.tiles), self.size, values)

    def _semantic(self) -> np.ndarray | None:
        found = [tile.sample.semantic for tile in self.tiles]
        first = next((each for each in found if each is not None), None)
        if first is None:
            return None
        dtype = np.result_type(*[each.dtype for each in found if each is not None])
        if dtype.name not in ("uint8", "uint16", "int16"):
            dtype = np.dtype(np.int32)  # the only other one that OpenCV has and 255 fits into
        arrays = [None if each is None else each.astype(dtype, copy=False) for each in found]
        return render(self._placed(arrays), self.size, (IGNORE,), nearest=True)

    def _extra(self, fill: Sequence[float]) -> dict[str, Field | np.ndarray]:
        changed: dict[str, Field | np.ndarray] = {}
        for name, value in self.tiles[0].sample.extra.items():
            if isinstance(value, np.ndarray) and _is_spatial(value, self.tiles[0].sample):
                arrays = [tile.sample.extra[name] for tile in self.tiles]
                changed[name] = self._array(arrays, fill)  # type: ignore[arg-type]
        return changed

    def _array(self, arrays: list[np.ndarray], fill: Sequence[float]) -> np.ndarray:
        """Return an array that belongs to the pixels; ids and flags are not interpolated."""
        first = arrays[0]
        if first.dtype in _IMAGE_TYPES or first.dtype.kind == "f":
            work = np.dtype(np.float64 if first.dtype == np.float64 else np.float32)
            dtype = first.dtype if first.dtype in _IMAGE_TYPES else work
            values, nearest = _fill_of(fill, int(np.prod(first.shape[2:], dtype=int))), False
        else:
            small = first.dtype.kind == "b" or first.dtype == np.int8
            dtype, values, nearest = np.dtype(np.int16 if small else np.int32), (0.0,), True
        shape = (-1,) if first.ndim > 2 else ()
        flat = [a.astype(dtype, copy=False).reshape(*a.shape[:2], *shape) for a in arrays]
        found = render(self._placed(flat), self.size, values, nearest)
        return found.reshape(*self.size, *first.shape[2:]).astype(first.dtype, copy=False)

    def _placed(self, arrays: Iterable[np.ndarray | None]) -> list[Placed]:
        pairs = zip(self.tiles, arrays, strict=True)
        return [Placed(a, tile.window, tile.matrix) for tile, a in pairs if a is not None]


def checked_fill(fill: Sequence[float], image: np.ndarray) -> tuple[float, ...]:
    """Return the pixel value where there is no image: one, or one per channel.

    Raises:
        UserError: the number of values is not that of the channels, or the image cannot have them.
    """
    channels, values = image.shape[2], tuple(fill)
    if len(values) not in (1, channels):
        raise UserError(
            "the fill value does not have one value per channel",
            rule=f"one value, or {channels}",
            received=f"fill={values}",
            fix=f"fill={values[:1]}",
        )
    if image.dtype.kind == "u" and not all(0 <= v <= np.iinfo(image.dtype).max for v in values):
        raise UserError(
            "the fill value is not a pixel value",
            rule=f"0 to {np.iinfo(image.dtype).max}, for {image.dtype}",
            received=f"fill={values}",
            fix="fill=(0,)",
        )
    return values


def _fill_of(fill: Sequence[float], channels: int) -> tuple[float, ...]:
    """Return one value, or one per channel; an array of other channels gets the first value."""
    return tuple(fill) if len(fill) in (1, channels) else (fill[0],)


def _is_spatial(value: np.ndarray, sample: Sample) -> bool:
    """Return whether an array of `extra` has one value per pixel of the image."""
    assert sample.image is not None  # noqa: S101 checked by `checked`
    return value.ndim >= 2 and value.shape[:2] == sample.image.shape[:2]


def _is_inside(tile: Tile, size: ImageSize) -> bool:
    """Return whether all of a tile is on the canvas."""
    x1, y1, x2, y2 = tile.window
    corners = np.array([[x1, y1, 1], [x2, y1, 1], [x2, y2, 1], [x1, y2, 1]]) @ tile.matrix.T
    if (corners[:, 2] < matrices.MIN_DEPTH).any():
        return False
    points = corners[:, :2] / corners[:, 2:]
    return bool((points >= -_WITHIN).all() and (points <= np.array(size[::-1]) + _WITHIN).all())


def _cut_tile(tile: Tile, size: ImageSize) -> Tile | None:
    """Return the part of a tile inside the canvas, or None if it must be rendered to be cut."""
    if turn_of(tile.matrix) is None:
        return None
    back = np.linalg.inv(tile.matrix)
    corners = np.array([[0, 0, 1], [size[1], size[0], 1]]) @ back.T
    low, high = corners[:, :2].min(axis=0), corners[:, :2].max(axis=0)
    window = []
    error = 0.0
    for bound, limits in ((low, tile.window), (high, tile.window)):
        for axis in (0, 1):
            inside = min(max(float(bound[axis]), limits[axis]), limits[axis + 2])
            error = max(error, abs(inside - round(inside)))
            window.append(round(inside))
    scale = float(np.abs(tile.matrix[:2, :2]).max())
    if scale > 1 and error * scale > _ROUNDED:
        return None
    return tile._replace(window=(window[0], window[1], window[2], window[3]))


def _moved_together(tiles: Sequence[Tile], size: ImageSize) -> Kept:
    """Return the objects of all tiles on the canvas, and their visible fractions."""
    parts, shares = [], []
    for tile in tiles:
        found, share = _moved(tile, size)
        parts.append(found)
        shares.append(np.ones(len(found)) if share is None else share)
    return Kept(combined(parts, size), np.concatenate(shares))


def _moved(tile: Tile, size: ImageSize) -> tuple[Instances, np.ndarray | None]:
    """Return the objects of a tile inside its window on the canvas, and their visible fractions."""
    x1, y1, x2, y2 = tile.window
    instances, matrix, window = tile.sample.instances, tile.matrix, (y2 - y1, x2 - x1)
    quick = cut_to_window(instances, tile.window)
    if quick is not None:
        return quick.instances.move(matrix, size), quick.share
    if window != instances.size:
        instances = instances.move(matrices.shift(-x1, -y1), window)
        matrix = matrix @ matrices.shift(x1, y1)
    kept = cut(instances, None)
    return kept.instances.move(matrix, size), kept.share


def known_by_all(found: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Return the classes that are annotated in all images."""
    known = [each for each in found if each is not None]
    return np.logical_and.reduce(known) if known else None


def _combined_extra(tiles: Sequence[Tile], size: ImageSize) -> dict[str, Field | np.ndarray]:
    """Return the fields of all images on the canvas; arrays are rendered later."""
    found: dict[str, Field | np.ndarray] = {}
    for name, value in tiles[0].sample.extra.items():
        if isinstance(value, np.ndarray):
            found[name] = value
            continue
        parts = [tile.sample.extra[name] for tile in tiles]
        moved = [part.warp(tile.matrix, size) for part, tile in zip(parts, tiles, strict=True)
                 if not isinstance(part, np.ndarray)]  # fmt: skip
        found[name] = type(value).concatenate(moved)
    return found


def _require_equal(samples: Sequence[Sample], name: str) -> None:
    """Raise a UserError if the images cannot be combined."""
    main = samples[0]
    for sample in samples:
        require_same_pixels(main, sample, name)
        if sample.labels is not None:
            raise UserError(
                f"{name} cannot combine images with labels of the whole image",
                rule="objects and masks, which keep their place in the combined image",
                received=f"labels of image {sample.info.id!r}",
                fix=f"replace {name} by MixUp or CutMix, which blend labels",
            )
        if sample.extra.keys() != main.extra.keys():
            raise UserError(
                f"{name} cannot combine images with different annotations",
                rule="the same names in `extra` of all images",
                received=f"{sorted(main.extra)} and {sorted(sample.extra)}",
                fix="add the missing arrays to `extra`, or remove them from all images",
            )
        for key, value in sample.extra.items():
            if isinstance(value, np.ndarray) and not _is_spatial(value, sample):
                raise UserError(
                    f"{name} cannot combine the annotation {key!r} of several images",
                    rule="an array (height, width, …) of the image's size, or a Field",
                    received=f"shape {value.shape}",
                    fix=f"remove {name} from the transforms",
                )


def require_same_pixels(one: Sample, other: Sample, name: str) -> None:
    """Raise a UserError if two images differ in their type or number of channels."""
    a, b = one.image, other.image
    assert a is not None and b is not None  # noqa: S101, PT018 checked by `checked`
    if a.dtype != b.dtype or a.shape[2] != b.shape[2]:
        raise UserError(
            f"{name} cannot combine images of different types",
            rule="the same number of channels and the same type of pixel values",
            received=f"{a.dtype} with {a.shape[2]} channels (image {one.info.id!r}) and "
            f"{b.dtype} with {b.shape[2]} channels (image {other.info.id!r})",
            fix="convert all images to one number of channels and one type",
        )


def _other_size(what: str, place: str, found: Sequence[int], size: ImageSize) -> UserError:
    return UserError(
        f"the {what}{place} do not have the size of the image",
        rule=f"(height, width) {size}",
        received=f"{tuple(found)}",
        fix="scale the annotations together with the image",
    )
