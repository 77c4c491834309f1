"""What all writers do: one class map for all splits, image files copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visiongarden.data.faults import printable
from visiongarden.data.read.build import CLASSES
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


def write_classes(names: Sequence[str], folder: Path) -> None:
    """`classes.txt`: names in their order, one a line.

    Raises:
        UserError: a name cannot stand on a line.
    """
    if any("\n" in name or name != name.strip() or name != printable(name) for name in names):
        raise UserError("a class name is no line of text", rule="no space around it, no line's end")
    (folder / CLASSES).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def write_image(path: Path, raw: bytes) -> None:
    """Writes an image file, and its folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
