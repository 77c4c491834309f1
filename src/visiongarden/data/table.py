"""`Table`: the labels of a split as a few arrays, in a tenth of the memory of `Example` objects."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from visiongarden.storage.place import Place
from visiongarden.types import Example, Polygons

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
    "area": np.float64,
    "extra": np.uint8,
    "extra_starts": np.int64,
}
_CHUNK = 4096
_DECIMALS = 3
"""Polygon points with at most this many decimals are stored as float32 and rounded when read.

This halves their memory without loss.
"""


class Table(Sequence[Example]):
    """Sequence of examples without pixels, stored as arrays; indexing builds the `Example`.

    Args:
        arrays: The columns:

            - `boxes` (n, 4), `classes` (n,), `crowd` (n,): all objects, image after image.
            - `starts` (images + 1,): first object of each image.
            - `sizes` (images, 2): height and width.
            - `ring_of` (rings,): object of each polygon; `ring_starts` (rings + 1,): its first
              point.
            - `points` (m, 2): points of all polygons; `decimals` (0 or 1,): the number of decimals
              to which points are rounded, if any.
            - `area` (n,) or (0,): area of each object in square pixels.
            - `extra`, `extra_starts` (images + 1,) or (0,): JSON of the unknown keys of each image.
        names: Location of each image as text.
        located: Function from a name to a path, an archive member or a record.
    """

    def __init__(
        self,
        arrays: dict[str, np.ndarray],
        names: Sequence[str],
        located: Callable[[str], Any] = Path,
    ) -> None:
        self.arrays, self.names, self.located = arrays, tuple(names), located
        self.has_polygons = bool(len(arrays["ring_of"]))

    @classmethod
    def of(cls, examples: Iterable[Example], located: Callable[[str], Any] = Path) -> Table:
        """Build the table of examples; each example needs a path and a size."""
        rows = list(examples)
        rings, ring_of, first = [], [], 0
        for example in rows:
            for i, polygons in enumerate(example.polygons or ()):
                for ring in polygons or ():
                    rings.append(ring)
                    ring_of.append(first + i)
            first += len(example.boxes)
        parts = {
            "boxes": [e.boxes for e in rows],
            "classes": [e.classes for e in rows],
            "crowd": [e.crowd if e.crowd is not None else np.zeros(len(e.boxes)) for e in rows],
        }
        arrays = {name: np.concatenate(p) if p else np.zeros(0) for name, p in parts.items()}
        arrays |= {
            "starts": np.cumsum([0, *(len(e.boxes) for e in rows)]),
            "sizes": np.array([e.size for e in rows]).reshape(-1, 2),
            "ring_of": np.array(ring_of),
            "ring_starts": np.cumsum([0, *map(len, rings)]),
        }
        arrays["boxes"] = arrays["boxes"].reshape(-1, 4)
        points, decimals = _compact(rings)
        arrays |= {"points": points, "decimals": decimals, "area": _areas(rows)} | _extras(rows)
        typed: dict[str, np.ndarray] = {n: np.asarray(arrays[n], _ARRAYS[n]) for n in _ARRAYS}
        # `_compact` has chosen float32 or float64.
        typed["points"] = points
        return cls(typed, [str(example.path) for example in rows], located)

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        first, last = self.arrays["starts"][place : place + 2].tolist()
        height, width = self.arrays["sizes"][place].tolist()
        return Example(
            boxes=self.arrays["boxes"][first:last],
            classes=self.arrays["classes"][first:last],
            path=self.located(self.names[place]),
            image_id=place,
            size=(height, width),
            crowd=self.arrays["crowd"][first:last],
            polygons=self._polygons(first, last) if self.has_polygons else None,
            area=self.arrays["area"][first:last] if len(self.arrays["area"]) else None,
            extra=self._extra(place),
        )

    def __iter__(self) -> Iterator[Example]:
        return (self[i] for i in range(len(self)))

    def counts(self) -> np.ndarray:
        """Return int64 (images,): the number of boxes of each image."""
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

    def _extra(self, place: int) -> str | None:
        if not len(self.arrays["extra_starts"]):
            return None
        start, stop = self.arrays["extra_starts"][place : place + 2]
        return self.arrays["extra"][start:stop].tobytes().decode() or None

    def to_bytes(self) -> bytes:
        """Serialize the table, including the names, as an .npz file without pickled objects."""
        stream = io.BytesIO()
        names = np.frombuffer(json.dumps(self.names).encode(), np.uint8)
        np.savez(stream, names=names, allow_pickle=False, **self.arrays)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, raw: bytes, located: Callable[[str], Any] = Path) -> Table:
        """Deserialize a table from the output of `to_bytes`.

        Raises:
            ValueError: The bytes are not a serialized table.
        """
        try:
            with np.load(io.BytesIO(raw), allow_pickle=False) as file:
                names = json.loads(file["names"].tobytes())
                arrays = {name: file[name] for name in _ARRAYS}
        except (OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError("not a table") from error
        # Points that float32 cannot represent are stored as float64.
        wide = arrays["points"].dtype == np.float64
        if any(a.dtype != _ARRAYS[n] for n, a in arrays.items() if n != "points" or not wide):
            raise ValueError("not a table: types differ")
        if len(arrays["starts"]) != len(names) + 1 or len(arrays["sizes"]) != len(names):
            raise ValueError("not a table: lengths differ")
        return cls(arrays, names, located)


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


def _areas(rows: Sequence[Example]) -> np.ndarray:
    if all(example.area is None for example in rows):
        return np.zeros(0)
    return np.concatenate(
        [e.area if e.area is not None else np.full(len(e.boxes), np.nan) for e in rows]
    )


def _extras(rows: Sequence[Example]) -> dict[str, np.ndarray]:
    texts = [(example.extra or "").encode() for example in rows]
    if not any(texts):
        return {"extra": np.zeros(0), "extra_starts": np.zeros(0)}
    starts = np.cumsum([0, *map(len, texts)])
    return {"extra": np.frombuffer(b"".join(texts), np.uint8), "extra_starts": starts}


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
