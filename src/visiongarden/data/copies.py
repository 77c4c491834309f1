"""`copies`: images whose files are equal, found without reading most of them."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from visiongarden.data.header import MOST_BYTES
from visiongarden.data.place import read_bytes, read_ends

MOST_READ = 20_000
"""Of more images than this those in archives and shards are not compared: all must be read."""

_END = 256


def copies(places: Sequence[Any]) -> list[list[int]]:
    """Positions of images whose files are equal byte for byte, a list for each such image.

    Only files of one size with equal ends are read.

    Args:
        places: paths, members of archives or records; what is none of these is passed over.

    Raises:
        DataError: a file cannot be read.
    """
    alike: dict[bytes, list[int]] = {}
    for index, place in enumerate(places):
        if isinstance(place, Path):
            alike.setdefault(_end(place), []).append(index)
        elif hasattr(place, "read") and len(places) <= MOST_READ:
            alike.setdefault(_content(place), []).append(index)
    found: dict[bytes, list[int]] = {}
    for group in alike.values():
        for index in group if len(group) > 1 else ():
            found.setdefault(_content(places[index]), []).append(index)
    return [group for group in found.values() if len(group) > 1]


def _end(path: Path) -> bytes:
    # Ends of JPEG and PNG files are as good as random, also of images that look alike.
    size = path.stat().st_size.to_bytes(8, "little")
    return blake2b(read_ends(path, 0, _END)[1], digest_size=16, salt=size).digest()


def _content(place: Any) -> bytes:
    return blake2b(read_bytes(place, MOST_BYTES), digest_size=16).digest()


def leaked(train: Any, judged: Any) -> list[tuple[Any, Any]]:
    """Images of two splits that are equal: (where one is trained on, where it is judged).

    Args:
        train: data set that is trained on.
        judged: data set that is judged on.

    Raises:
        DataError: a file cannot be read.
    """
    places = [dataset.image_path(i) for dataset in (train, judged) for i in range(len(dataset))]
    pairs = []
    for group in copies(places):
        first = group[0]
        if first < len(train):
            pairs += [(places[first], places[i]) for i in group if i >= len(train)]
    return pairs
