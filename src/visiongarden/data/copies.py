"""`Prints`: detection of images whose files are equal, without reading most of the files."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from visiongarden.data.readers.array_record import Record
from visiongarden.data.rows import Row
from visiongarden.storage.header import MAX_BYTES
from visiongarden.storage.place import Member, read_bytes, read_ends

MAX_READ = 20_000
"""Beyond this number of images, those in archives and shards are not compared.

Unlike the ends of separate files, they would have to be read completely.
"""

_END = 256
_DIGEST = 16
_UNKNOWN = bytes(_DIGEST)
_SAME_OBJECT = 0.5
"""Minimum IoU of two boxes of the same object, as for AP50."""


class Prints:
    """Digests of image files, to find equal images.

    Each file is read once, and 32 bytes per image are kept. The digests assume that datasets and
    files do not change: use one `Prints` per run.
    """

    def __init__(self) -> None:
        self._files: dict[int, _Files] = {}

    def equal(self, *datasets: Any) -> list[list[tuple[int, int]]]:
        """Find images whose files are equal byte for byte.

        Only files of equal size with equal ends are read. Images that are neither paths nor members
        of an archive or shard are skipped.

        Returns:
            Groups of equal images, each a list of (number of the dataset, index of the image).

        Raises:
            DataError: A file cannot be read.
        """
        files = [self._of(dataset) for dataset in datasets]
        reads = sum(map(len, datasets)) <= MAX_READ
        # The first pass groups files by size and last bytes, which is cheap; the second pass
        # compares complete files, but only within these groups.
        alike: dict[bytes, list[tuple[int, int]]] = {}
        for number, dataset in enumerate(datasets):
            for index in range(len(dataset)):
                place = dataset.image_path(index)
                if isinstance(place, Path):
                    key = files[number].ends(index, place)
                elif reads and isinstance(place, _Readable):
                    key = files[number].contents(index, place)
                else:
                    continue
                alike.setdefault(key, []).append((number, index))
        found: dict[bytes, list[tuple[int, int]]] = {}
        for group in alike.values():
            for number, index in group if len(group) > 1 else ():
                place = datasets[number].image_path(index)
                key = files[number].contents(index, place)
                found.setdefault(key, []).append((number, index))
        return [group for group in found.values() if len(group) > 1]

    def marks(self, dataset: Any, masks: bool = False) -> bytes:
        """Return 16 bytes per image of a dataset that change when its file changes.

        The digest of a file covers its size and last bytes. The digest of a member of a large
        archive or shard covers the size and time of the archive, which would otherwise have to be
        read completely.

        Args:
            dataset: Dataset of any task.
            masks: Whether to use the files of the masks instead of the images.

        Raises:
            DataError: A file cannot be read.
        """
        places = dataset.samples.masks if masks else map(dataset.image_path, range(len(dataset)))
        files = _Files(dataset) if masks else self._of(dataset)
        reads, found = len(dataset) <= MAX_READ, []
        containers: dict[Path, bytes] = {}
        for index, place in enumerate(places):
            if isinstance(place, Path):
                found.append(files.ends(index, place))
            elif isinstance(place, _Readable):
                found.append(
                    files.contents(index, place) if reads else _container(place, containers)
                )
            else:  # pixels in memory
                found.append(_UNKNOWN)
        return b"".join(found)

    def _of(self, dataset: Any) -> _Files:
        if id(dataset) not in self._files:
            # The entry references the dataset, so its id cannot be reused while the entry exists.
            self._files[id(dataset)] = _Files(dataset)
        return self._files[id(dataset)]


class _Files:
    """Digests of the files of one dataset, computed on demand."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self._ends, self._contents = (bytearray(_DIGEST * len(dataset)) for _ in range(2))

    def ends(self, index: int, place: Path) -> bytes:
        """Return the digest of the file's size and last bytes."""
        return _digest(self._ends, index, _end, place)

    def contents(self, index: int, place: Any) -> bytes:
        """Return the digest of the complete file."""
        return _digest(self._contents, index, _content, place)


@runtime_checkable
class _Readable(Protocol):
    """Location of an image that is no path: a member of an archive, or a record."""

    def read(self, max_bytes: int) -> bytes: ...


def _digest(kept: bytearray, index: int, take: Callable[[Any], bytes], place: Any) -> bytes:
    at = slice(_DIGEST * index, _DIGEST * (index + 1))
    digest = bytes(kept[at])
    if digest == _UNKNOWN:
        kept[at] = digest = take(place)
    return digest


def _end(path: Path) -> bytes:
    # The last bytes of JPEG and PNG files are practically random, even for similar images.
    size = path.stat().st_size.to_bytes(8, "little")
    return blake2b(read_ends(path, 0, _END)[1], digest_size=_DIGEST, salt=size).digest()


def _container(place: Any, known: dict[Path, bytes]) -> bytes:
    if isinstance(place, Member):
        file = place.archive
    elif isinstance(place, Record):
        file = place.shard
    else:
        return _UNKNOWN
    if file not in known:
        state = file.stat()
        line = f"{state.st_size} {state.st_mtime_ns}"
        known[file] = blake2b(line.encode(), digest_size=_DIGEST).digest()
    return known[file]


def _content(place: Any) -> bytes:
    return blake2b(read_bytes(place, MAX_BYTES), digest_size=_DIGEST).digest()


def leaked(train: Any, validated: Any, prints: Prints | None = None) -> list[tuple[Any, Any]]:
    """Return the locations of equal images of two splits, as pairs (in `train`, in `validated`).

    Args:
        train: Dataset used for training.
        validated: Dataset used for evaluation.
        prints: Digests of their image files that were computed earlier.

    Raises:
        DataError: A file cannot be read.
    """
    pairs = []
    for (first, index), *others in (prints or Prints()).equal(train, validated):
        if first == 0:
            place = train.image_path(index)
            pairs += [(place, validated.image_path(i)) for number, i in others if number == 1]
    return pairs


def different_labels(one: Row, other: Row) -> str:
    """Describe how the boxes of two equal images differ; "" if they do not.

    Two annotators never draw exactly the same box, so boxes of one class with an IoU of at least
    0.5 are taken for the same object.
    """
    if len(one.boxes) != len(other.boxes):
        return f"{len(one.boxes)} boxes in one copy, {len(other.boxes)} in the other"
    overlaps = _overlaps(one.upright, other.upright)
    overlaps[one.classes[:, None] != other.classes[None, :]] = 0
    for _ in range(len(one.boxes)):
        # Greedy matching by IoU: each box is matched at most once.
        first, second = np.unravel_index(overlaps.argmax(), overlaps.shape)
        if overlaps[first, second] < _SAME_OBJECT:
            return "different boxes or classes"
        overlaps[first], overlaps[:, second] = -1, -1
    return ""


def _overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the IoU of boxes (n, 4) and (m, 4) as float (n, m)."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    inside = np.maximum(high - low, 0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, other)]
    return np.asarray(inside / (areas[0][:, None] + areas[1][None, :] - inside))
