"""What all writers do: one class map for all splits, image files copied."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visiongarden.errors import UserError
from visiongarden.types import ClassMap


def one_map(splits: Mapping[str, Any]) -> ClassMap:
    """The class map of all splits.

    Raises:
        UserError: they have different ones.
    """
    maps = {dataset.class_map.names: dataset.class_map for dataset in splits.values()}
    if len(maps) > 1:
        raise UserError(
            "the splits have different classes", received="; ".join(map(str, maps))[:300]
        )
    return next(iter(maps.values()))


def write_image(path: Path, raw: bytes) -> None:
    """Writes an image file, and its folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
