"""Keep keys of annotation files that no task uses, so that a converted dataset contains them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from visiongarden.types import Example


def pack(image: Mapping[str, Any], objects: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the unknown keys of an image and of each of its objects as JSON text.

    Text, because a split is stored in a few arrays and most users of it need no such key.

    Args:
        image: unknown keys of the image.
        objects: unknown keys of each object, in the order of the boxes.

    Returns:
        JSON text, or None if there are no unknown keys.
    """
    if not image and not any(objects):
        return None
    row = {"image": dict(image), "objects": [dict(keys) for keys in objects]}
    return json.dumps(row, separators=(",", ":"))


def unpack(example: Example) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the unknown keys of an example's image, and of each of its boxes."""
    if example.extra is None:
        return {}, [{} for _ in range(len(example.boxes))]
    row = json.loads(example.extra)
    return row["image"], row["objects"]


def part(example: Example, kept: Sequence[bool]) -> str | None:
    """Return the JSON text of an example's unknown keys without those of removed boxes.

    Args:
        example: the example before boxes are removed.
        kept: for each box, whether it is kept.
    """
    if example.extra is None:
        return None
    image, objects = unpack(example)
    return pack(image, [keys for keys, yes in zip(objects, kept, strict=True) if yes])
