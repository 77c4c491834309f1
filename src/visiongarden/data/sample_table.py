"""`SampleTable`: the annotations of a split as a few arrays, which take little memory."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from visiongarden.data.rows import NO_SCHEME, KeypointScheme, Lines, Row, sample_of
from visiongarden.errors import DataError
from visiongarden.samples import Sample
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap, Polygons

_ARRAYS: dict[str, Any] = {
    "boxes": np.float32,
    "classes": np.int32,
    "crowd": np.bool_,
    "starts": np.int64,
    "sizes": np.int32,
    "ring_of": np.int64,
    "ring_starts": np.int64,
    "points": np.float32,
    "decimals": np.int64,
    "keypoints": np.float32,
    "area": np.float64,
    "labels": np.float32,
    "lines": np.int32,
    "line_places": np.int32,
    "unknown": np.uint8,
    "unknown_starts": np.int64,
}
_CHUNK = 4096
_DECIMALS = 3
"""Polygon points with at most this many decimals are stored as float32 and rounded when read.

This halves their memory without loss.
"""


class SampleTable(Sequence[Sample]):
    """Sequence of samples without pixels, stored as arrays; indexing builds the `Sample`.

    Args:
        arrays: The columns:

            - `boxes` (n, 4) or, rotated, (n, 5), `classes` (n,), `crowd` (n,): all objects, image
              after image.
            - `starts` (images + 1,): first object of each image.
            - `sizes` (images, 2): height and width.
            - `ring_of` (rings,): object of each polygon; `ring_starts` (rings + 1,): its first
              point.
            - `points` (m, 2): points of all polygons; `decimals` (0 or 1,): the number of decimals
              to which points are rounded, if any.
            - `keypoints` (n, k, 3), or (0, 0, 3) if no object has keypoints.
            - `area` (n,) or (0,): area of each object in square pixels.
            - `labels` (images, k) or (0, 0): labels of the whole images.
            - `lines` (n,) or (0,): line or position of each object in its annotation file;
              `line_places` (images,): index into `places`, or -1.
            - `unknown`, `unknown_starts` (images + 1,) or (0,): JSON of the unknown keys of each
              image.
        names: Location of each image as text.
        class_map: Names of the classes.
        located: Function from a name to a path, an archive member or a record.
        scheme: Meaning of the keypoints.
        places: Texts before and after the numbers in `lines`.
    """

    def __init__(
        self,
        arrays: dict[str, np.ndarray],
        names: Sequence[str],
        class_map: ClassMap | None = None,
        located: Callable[[str], Any] = Path,
        scheme: KeypointScheme = NO_SCHEME,
        places: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.arrays, self.names, self.located = arrays, tuple(names), located
        self.class_map, self.scheme, self.places = class_map, scheme, tuple(places)
        self.has_polygons = bool(len(arrays["ring_of"]))

    @classmethod
    def of(
        cls,
        rows: Iterable[Row],
        class_map: ClassMap | None = None,
        located: Callable[[str], Any] = Path,
        scheme: KeypointScheme = NO_SCHEME,
    ) -> SampleTable:
        """Build the table of rows.

        Raises:
            DataError: Some images have rotated boxes and others do not, or the numbers of keypoints
                or labels differ.
        """
        rows = list(rows)
        rings, ring_of, first = [], [], 0
        for row in rows:
            for i, polygons in enumerate(row.polygons or ()):
                for ring in polygons or ():
                    rings.append(ring)
                    ring_of.append(first + i)
            first += len(row.classes)
        parts = {
            "boxes": _boxes(rows),
            "classes": [row.classes for row in rows],
            "crowd": [row.crowd for row in rows],
            "keypoints": _keypoints(rows),
            "labels": _labels(rows),
        }
        arrays = {name: np.concatenate(p) if p else np.zeros(0) for name, p in parts.items()}
        arrays |= {
            "starts": np.cumsum([0, *(len(row.classes) for row in rows)]),
            "sizes": np.array([row.size for row in rows]).reshape(-1, 2),
            "ring_of": np.array(ring_of),
            "ring_starts": np.cumsum([0, *map(len, rings)]),
        }
        points, decimals = _compact(rings)
        arrays |= {"points": points, "decimals": decimals, "area": _areas(rows)} | _unknown(rows)
        lines, places = _lines(rows)
        arrays |= lines
        typed: dict[str, np.ndarray] = {n: np.asarray(arrays[n], _ARRAYS[n]) for n in _ARRAYS}
        # `_compact` has chosen float32 or float64.
        typed["points"] = points
        return cls(typed, [str(row.path) for row in rows], class_map, located, scheme, places)

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        return sample_of(self.row(place), place, self.class_map, self.scheme)

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))

    def row(self, index: int) -> Row:
        """Return the annotations of one image as arrays, in less time than a `Sample` takes."""
        place = range(len(self))[index]
        arrays = self.arrays
        first, last = arrays["starts"][place : place + 2].tolist()
        height, width = arrays["sizes"][place].tolist()
        return Row(
            path=self.located(self.names[place]),
            size=(height, width),
            boxes=arrays["boxes"][first:last],
            classes=arrays["classes"][first:last],
            crowd=arrays["crowd"][first:last],
            polygons=self._polygons(first, last) if self.has_polygons else None,
            keypoints=arrays["keypoints"][first:last] if len(arrays["keypoints"]) else None,
            area=arrays["area"][first:last] if len(arrays["area"]) else None,
            labels=arrays["labels"][place] if len(arrays["labels"]) else None,
            lines=self._lines(place, first, last),
            unknown=self._unknown(place),
        )

    @property
    def fields(self) -> frozenset[str]:
        """Annotations that the samples have, see `Dataset.fields`."""
        names = {
            # A table without any object has boxes, unless it has labels of whole images instead.
            "boxes": bool(len(self.arrays["classes"]) or not len(self.arrays["labels"])),
            "rotated": self.arrays["boxes"].shape[1] == 5,
            "masks": self.has_polygons,
            "keypoints": bool(len(self.arrays["keypoints"])),
            "labels": bool(len(self.arrays["labels"])),
        }
        return frozenset(name for name, is_there in names.items() if is_there)

    def image_path(self, index: int) -> Any:
        """Return the location of an image: a path, an archive member or a record."""
        return self.located(self.names[index])

    def counts(self) -> np.ndarray:
        """Return int64 (classes,): the number of objects of each class."""
        count = 0 if self.class_map is None else len(self.class_map)
        return np.bincount(self.arrays["classes"], minlength=count)

    def objects(self) -> np.ndarray:
        """Return int64 (images,): the number of objects of each image."""
        return np.diff(self.arrays["starts"])

    def _polygons(self, first: int, last: int) -> tuple[Polygons | None, ...] | None:
        # `ring_of` is sorted, so the polygons of one image are a contiguous range.
        low, high = np.searchsorted(self.arrays["ring_of"], (first, last))
        found: list[list[np.ndarray]] = [[] for _ in range(last - first)]
        ends = self.arrays["ring_starts"][low : high + 1]
        points = self.arrays["points"][ends[0] : ends[-1]]
        for decimals in self.arrays["decimals"]:
            points = points.astype(np.float64).round(decimals)
        starts, owners = (ends - ends[0]).tolist(), self.arrays["ring_of"][low:high].tolist()
        for ring in range(low, high):
            start, stop = starts[ring - low : ring - low + 2]
            found[owners[ring - low] - first].append(points[start:stop])
        return tuple(tuple(rings) or None for rings in found) if high > low else None

    def _lines(self, place: int, first: int, last: int) -> Lines | None:
        if not len(self.arrays["lines"]) or self.arrays["line_places"][place] < 0:
            return None
        prefix, suffix = self.places[self.arrays["line_places"][place]]
        return Lines(prefix, self.arrays["lines"][first:last], suffix)

    def _unknown(self, place: int) -> str | None:
        if not len(self.arrays["unknown_starts"]):
            return None
        start, stop = self.arrays["unknown_starts"][place : place + 2]
        return self.arrays["unknown"][start:stop].tobytes().decode() or None

    def to_bytes(self) -> bytes:
        """Serialize the table with its names and scheme as an .npz file without pickled objects."""
        stream = io.BytesIO()
        head = json.dumps({"names": self.names, "scheme": self.scheme, "places": self.places})
        np.savez(
            stream, head=np.frombuffer(head.encode(), np.uint8), allow_pickle=False, **self.arrays
        )
        return stream.getvalue()

    @classmethod
    def from_bytes(
        cls, raw: bytes, class_map: ClassMap | None = None, located: Callable[[str], Any] = Path
    ) -> SampleTable:
        """Deserialize a table from the output of `to_bytes`.

        Raises:
            ValueError: The bytes are not a serialized table.
        """
        try:
            with np.load(io.BytesIO(raw), allow_pickle=False) as file:
                head = json.loads(file["head"].tobytes())
                arrays = {name: file[name] for name in _ARRAYS}
                names, (points, pairs, skeleton) = head["names"], head["scheme"]
                places = [(str(before), str(after)) for before, after in head["places"]]
        except (OSError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
            raise ValueError("not a table") from error
        # Points that float32 cannot represent are stored as float64.
        wide = arrays["points"].dtype == np.float64
        if any(a.dtype != _ARRAYS[n] for n, a in arrays.items() if n != "points" or not wide):
            raise ValueError("not a table: types differ")
        if len(arrays["starts"]) != len(names) + 1 or len(arrays["sizes"]) != len(names):
            raise ValueError("not a table: lengths differ")
        edges = [edges and tuple(map(tuple, edges)) for edges in (pairs, skeleton)]
        scheme = KeypointScheme(
            tuple(points), None if pairs is None else tuple(edges[0]), tuple(edges[1])
        )
        return cls(arrays, names, class_map, located, scheme, places)


def _boxes(rows: Sequence[Row]) -> list[np.ndarray]:
    """Return the boxes of each image, all with four or all with five columns."""
    kinds = {row.boxes.shape[1]: row for row in rows if len(row.boxes)}
    if len(kinds) > 1:
        raise DataError(
            "some images have rotated boxes, others have not",
            rule="boxes of one kind in all images of a split",
            received=f"{kinds[5].path} and {kinds[4].path}",
            fix="convert the others, as RotatedBoxes.from_corners of their four corners",
        )
    width = next(iter(kinds), 4)
    return [row.boxes if len(row.boxes) else np.zeros((0, width)) for row in rows] or [
        np.zeros((0, width))
    ]


def _keypoints(rows: Sequence[Row]) -> list[np.ndarray]:
    """Return the keypoints of each image; images without keypoints have unlabeled ones."""
    counts = {row.keypoints.shape[1]: row for row in rows if row.keypoints is not None}
    if not counts:
        return [np.zeros((0, 0, 3))]
    if len(counts) > 1:
        (first, one), (second, other), *_ = counts.items()
        raise DataError(
            "the objects have different numbers of keypoints",
            rule="the same keypoints for all objects of a split",
            received=f"{first} in {one.path}, {second} in {other.path}",
        )
    (count,) = counts
    return [
        np.zeros((len(row.classes), count, 3)) if row.keypoints is None else row.keypoints
        for row in rows
    ]


def _labels(rows: Sequence[Row]) -> list[np.ndarray]:
    """Return the labels of each image, (1, k); nothing if no image has labels."""
    counts = {None if row.labels is None else len(row.labels): row for row in rows}
    if set(counts) <= {None}:
        return [np.zeros((0, 0))]
    if len(counts) > 1:
        (first, one), (second, other), *_ = counts.items()
        raise DataError(
            "the images have different numbers of labels",
            rule="the same number of labels for each image; NaN for unknown ones",
            received=f"{first or 0} for {one.path}, {second or 0} for {other.path}",
        )
    return [row.labels[None] for row in rows if row.labels is not None]


def _lines(rows: Sequence[Row]) -> tuple[dict[str, np.ndarray], list[tuple[str, str]]]:
    """Return the lines of all objects, and the texts before and after their numbers."""
    if all(row.lines is None for row in rows):
        return {"lines": np.zeros(0), "line_places": np.zeros(0)}, []
    places: dict[tuple[str, str], int] = {}
    of_images, numbers = [], []
    for row in rows:
        if row.lines is None:
            of_images.append(-1)
            numbers.append(np.zeros(len(row.classes), np.int32))
        else:
            key = (row.lines.prefix, row.lines.suffix)
            of_images.append(places.setdefault(key, len(places)))
            numbers.append(row.lines.numbers)
    return {"lines": np.concatenate(numbers), "line_places": np.array(of_images)}, list(places)


def _compact(rings: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Convert points to float32 if that is lossless, and return the decimals needed for rounding.

    Returns:
        Points (m, 2), float32 or else float64; and an array that holds the number of decimals to
        which float32 points are rounded when read, or nothing.
    """
    narrow = np.empty((sum(map(len, rings)), 2), np.float32)
    exact = rounded = True
    first = 0
    for start in range(0, len(rings), _CHUNK):  # as one array they need several times the memory
        points = np.concatenate(rings[start : start + _CHUNK]).reshape(-1, 2)
        part = narrow[first : first + len(points)]
        part[:] = points
        first += len(points)
        wide = part.astype(np.float64)
        exact = exact and bool((wide == points).all())
        rounded = rounded and bool((wide.round(_DECIMALS) == points).all())
    if exact:
        return narrow, np.zeros(0)
    if rounded:
        return narrow, np.array([_DECIMALS])
    return np.concatenate(rings).astype(np.float64), np.zeros(0)


def _areas(rows: Sequence[Row]) -> np.ndarray:
    if all(row.area is None for row in rows):
        return np.zeros(0)
    return np.concatenate(
        [row.area if row.area is not None else np.full(len(row.classes), np.nan) for row in rows]
    )


def _unknown(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    texts = [(row.unknown or "").encode() for row in rows]
    if not any(texts):
        return {"unknown": np.zeros(0), "unknown_starts": np.zeros(0)}
    starts = np.cumsum([0, *map(len, texts)])
    return {"unknown": np.frombuffer(b"".join(texts), np.uint8), "unknown_starts": starts}


def located_in(root: Place) -> Callable[[str], Any]:
    """Return the function that maps names in a dataset at `root` to their locations."""
    return Path if isinstance(root, Path) else _InArchive(root)


class _InArchive:
    """Map names to members of an archive; a class, so that worker processes can unpickle it."""

    def __init__(self, root: Any) -> None:
        self.root = type(root)(root.archive, "")
        self.cut = len(str(self.root)) + 1

    def __call__(self, name: str) -> Place:
        return self.root / name[self.cut :]
