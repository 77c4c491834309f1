"""`Table`: the labels of a whole split in a few arrays, a tenth of the memory of objects."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from visiongarden.storage.place import Place
from visiongarden.types import Example, Outline

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
_AT_ONCE = 4096
_DECIMALS = 3
"""Polygons of so many decimals are exact in half the memory: as float32, rounded when read."""


class Table(Sequence[Example]):
    """Examples without their pixels; a sequence that makes each `Example` when it is asked for.

    Args:
        arrays: boxes (n, 4), classes (n,), crowd (n,), starts (images + 1,), sizes (images, 2),
            ring_of (rings,), ring_starts (rings + 1,), points (m, 2), decimals (0 or 1,): those to
            which points are rounded; area (n,) or (0,); extra, extra_starts (images + 1,) or (0,):
            the JSON of each image's unknown keys.
        names: where each image lies.
        located: name -> path, member of an archive or record.
    """

    def __init__(
        self,
        arrays: dict[str, np.ndarray],
        names: Sequence[str],
        located: Callable[[str], Any] = Path,
    ) -> None:
        self.arrays, self.names, self.located = arrays, tuple(names), located
        self.has_outlines = bool(len(arrays["ring_of"]))

    @classmethod
    def of(cls, examples: Iterable[Example], located: Callable[[str], Any] = Path) -> Table:
        """The table of examples that all have a path and a size."""
        rows = list(examples)
        rings, ring_of, first = [], [], 0
        for example in rows:
            for i, outline in enumerate(example.outlines or ()):
                for ring in outline or ():
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
            outlines=self._outlines(first, last) if self.has_outlines else None,
            area=self.arrays["area"][first:last] if len(self.arrays["area"]) else None,
            extra=self._extra(place),
        )

    def __iter__(self) -> Iterator[Example]:
        return (self[i] for i in range(len(self)))

    def counts(self) -> np.ndarray:
        """Number of boxes of each image."""
        return np.diff(self.arrays["starts"])

    def _outlines(self, first: int, last: int) -> tuple[Outline | None, ...] | None:
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
        """The table as an .npz file, names included; nothing in it can run."""
        stream = io.BytesIO()
        names = np.frombuffer(json.dumps(self.names).encode(), np.uint8)
        np.savez(stream, names=names, allow_pickle=False, **self.arrays)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, raw: bytes, located: Callable[[str], Any] = Path) -> Table:
        """The table of `to_bytes`.

        Raises:
            ValueError: not such a file.
        """
        try:
            with np.load(io.BytesIO(raw), allow_pickle=False) as file:
                names = json.loads(file["names"].tobytes())
                arrays = {name: file[name] for name in _ARRAYS}
        except (OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError("not a table") from error
        wide = arrays["points"].dtype == np.float64
        if any(a.dtype != _ARRAYS[n] for n, a in arrays.items() if n != "points" or not wide):
            raise ValueError("not a table: types differ")
        if len(arrays["starts"]) != len(names) + 1 or len(arrays["sizes"]) != len(names):
            raise ValueError("not a table: lengths differ")
        return cls(arrays, names, located)


def _compact(rings: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Points as float32 where nothing is lost, and the decimals to which they are to be rounded."""
    narrow = np.empty((sum(map(len, rings)), 2), np.float32)
    exact = rounded = True
    first = 0
    for start in range(0, len(rings), _AT_ONCE):  # all at once take some times their memory
        points = np.concatenate(rings[start : start + _AT_ONCE]).reshape(-1, 2)
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
    """How the names of a data set at `root` become places again."""
    return Path if isinstance(root, Path) else _InArchive(root)


class _InArchive:
    """Names of an archive's members; a class, so that it can be sent to workers."""

    def __init__(self, root: Any) -> None:
        self.root = type(root)(root.archive, "")
        self.cut = len(str(self.root)) + 1

    def __call__(self, name: str) -> Place:
        return self.root / name[self.cut :]
