"""`Prints`: images whose files are equal, found without reading most of them."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.storage.header import MOST_BYTES
from visiongarden.storage.place import read_bytes, read_ends
from visiongarden.types import Example

MOST_READ = 20_000
"""Of more images than this those in archives and shards are not compared: all must be read."""

_END = 256
_DIGEST = 16
_UNKNOWN = bytes(_DIGEST)
_SAME_OBJECT = 0.5
"""Intersection over union from which on two boxes are of one object, as for AP50."""


class Prints:
    """What was read of images to compare their files: each file once, 32 bytes an image kept.

    They hold for data sets that stay as they are, objects and files: one `Prints` for one run.
    """

    def __init__(self) -> None:
        self._files: dict[int, _Files] = {}

    def equal(self, *datasets: Any) -> list[list[tuple[int, int]]]:
        """Images whose files are equal byte for byte: a list of (data set, index) for each.

        Only files of one size with equal ends are read. What is neither a path nor a member of an
        archive or shard is passed over.

        Raises:
            DataError: a file cannot be read.
        """
        files = [self._of(dataset) for dataset in datasets]
        reads = sum(map(len, datasets)) <= MOST_READ
        alike: dict[bytes, list[tuple[int, int]]] = {}
        for number, dataset in enumerate(datasets):
            for index in range(len(dataset)):
                place = dataset.image_path(index)
                if isinstance(place, Path):
                    key = files[number].ends(index, place)
                elif reads and hasattr(place, "read"):
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
        """Return 16 bytes for each image of a data set, which change when its file does.

        Of a file size and last bytes count. Of a member of a large archive or shard, size and time
        of the archive count, as all of it would have to be read.

        Args:
            dataset: of any task.
            masks: take the files of the masks.

        Raises:
            DataError: a file cannot be read.
        """
        places = dataset.masks if masks else map(dataset.image_path, range(len(dataset)))
        files = _Files(dataset) if masks else self._of(dataset)
        reads, found = len(dataset) <= MOST_READ, []
        containers: dict[Path, bytes] = {}
        for index, place in enumerate(places):
            if isinstance(place, Path):
                found.append(files.ends(index, place))
            elif hasattr(place, "read"):
                found.append(
                    files.contents(index, place) if reads else _container(place, containers)
                )
            else:  # pixels in memory
                found.append(_UNKNOWN)
        return b"".join(found)

    def _of(self, dataset: Any) -> _Files:
        if id(dataset) not in self._files:
            # The entry holds the data set, so no other one can get its id.
            self._files[id(dataset)] = _Files(dataset)
        return self._files[id(dataset)]


class _Files:
    """Digests of one data set's files, each taken when it is first asked for."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self._ends, self._contents = (bytearray(_DIGEST * len(dataset)) for _ in range(2))

    def ends(self, index: int, place: Path) -> bytes:
        """Of the file's size and its last bytes."""
        return _digest(self._ends, index, _end, place)

    def contents(self, index: int, place: Any) -> bytes:
        """Of all its bytes."""
        return _digest(self._contents, index, _content, place)


def _digest(kept: bytearray, index: int, take: Callable[[Any], bytes], place: Any) -> bytes:
    at = slice(_DIGEST * index, _DIGEST * (index + 1))
    digest = bytes(kept[at])
    if digest == _UNKNOWN:
        kept[at] = digest = take(place)
    return digest


def _end(path: Path) -> bytes:
    # Ends of JPEG and PNG files are as good as random, also of images that look alike.
    size = path.stat().st_size.to_bytes(8, "little")
    return blake2b(read_ends(path, 0, _END)[1], digest_size=_DIGEST, salt=size).digest()


def _container(place: Any, known: dict[Path, bytes]) -> bytes:
    file = getattr(place, "archive", None) or getattr(place, "shard", None)
    if file is None:
        return _UNKNOWN
    if file not in known:
        state = file.stat()
        line = f"{state.st_size} {state.st_mtime_ns}"
        known[file] = blake2b(line.encode(), digest_size=_DIGEST).digest()
    return known[file]


def _content(place: Any) -> bytes:
    return blake2b(read_bytes(place, MOST_BYTES), digest_size=_DIGEST).digest()


def leaked(train: Any, judged: Any, prints: Prints | None = None) -> list[tuple[Any, Any]]:
    """Images of two splits that are equal: (where one is trained on, where it is judged).

    Args:
        train: data set that is trained on.
        judged: data set that is judged on.
        prints: what was read of them before.

    Raises:
        DataError: a file cannot be read.
    """
    pairs = []
    for (first, index), *others in (prints or Prints()).equal(train, judged):
        if first == 0:
            place = train.image_path(index)
            pairs += [(place, judged.image_path(i)) for number, i in others if number == 1]
    return pairs


def different_labels(one: Example, other: Example) -> str:
    """How the boxes of two equal images differ; "" where they do not.

    Two people never draw one box alike: boxes of one class that overlap by half are of one object.
    """
    if len(one.boxes) != len(other.boxes):
        return f"{len(one.boxes)} boxes there and {len(other.boxes)} here"
    overlaps = _overlaps(one.boxes, other.boxes)
    overlaps[one.classes[:, None] != other.classes[None, :]] = 0
    for _ in range(len(one.boxes)):
        # The best pair first: each box has one of its own.
        first, second = np.unravel_index(overlaps.argmax(), overlaps.shape)
        if overlaps[first, second] < _SAME_OBJECT:
            return "other boxes or classes"
        overlaps[first], overlaps[:, second] = -1, -1
    return ""


def _overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (n, 4) and (m, 4): float (n, m)."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    inside = np.maximum(high - low, 0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, other)]
    return np.asarray(inside / (areas[0][:, None] + areas[1][None, :] - inside))
