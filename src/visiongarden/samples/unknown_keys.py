"""Keep keys of annotation files that no task uses, so that a converted dataset contains them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


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


def unpack(text: str | None, count: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the unknown keys of an image, and of each of its objects.

    Args:
        text: JSON text that `pack` returned, or None.
        count: number of objects.
    """
    if text is None:
        return {}, [{} for _ in range(count)]
    row = json.loads(text)
    return row["image"], row["objects"]


def part(text: str | None, kept: Sequence[bool]) -> str | None:
    """Return the JSON text without the keys of removed objects.

    Args:
        text: JSON text that `pack` returned, or None.
        kept: for each object, whether it is kept.
    """
    if text is None:
        return None
    image, objects = unpack(text, len(kept))
    return pack(image, [keys for keys, yes in zip(objects, kept, strict=True) if yes])
