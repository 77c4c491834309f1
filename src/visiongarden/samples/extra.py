"""Keys of annotation files that nothing here reads, kept so that they can be written again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from visiongarden.types import Example


def pack(image: Mapping[str, Any], objects: Sequence[Mapping[str, Any]]) -> str | None:
    """The unknown keys of an image and of each of its objects as JSON; None where there are none.

    Text, because a split is kept in a few arrays, and most of its readers need no such key.
    """
    if not image and not any(objects):
        return None
    row = {"image": dict(image), "objects": [dict(keys) for keys in objects]}
    return json.dumps(row, separators=(",", ":"))


def unpack(example: Example) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The unknown keys of an example's image, and of each of its boxes."""
    if example.extra is None:
        return {}, [{} for _ in range(len(example.boxes))]
    row = json.loads(example.extra)
    return row["image"], row["objects"]


def part(example: Example, kept: Sequence[bool]) -> str | None:
    """The unknown keys of an example of which some boxes are kept."""
    if example.extra is None:
        return None
    image, objects = unpack(example)
    return pack(image, [keys for keys, yes in zip(objects, kept, strict=True) if yes])
