"""Writer of DOTA labels: the corners of rotated boxes as text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from visiongarden.data.rows import Row
from visiongarden.data.writers.checked import CheckedWriter
from visiongarden.data.writers.held import Held, corners, drop_keys_of_files, drop_scheme
from visiongarden.data.writers.images import Splits, named, stem_of
from visiongarden.data.writers.lost import Lost
from visiongarden.data.writers.splits import make_folder, one_map, write_classes, write_file
from visiongarden.errors import UserError
from visiongarden.registry import register
from visiongarden.samples import RotatedBoxes
from visiongarden.samples.unknown_keys import unpack
from visiongarden.types import ClassMap


@register
class DOTAWriter(CheckedWriter):
    """Writer of `<split>/labelTxt/`, `<split>/images/`, and the classes in `classes.txt`.

    A line has the eight coordinates of the corners in pixels, the class and whether the object is
    difficult. Upright boxes become rotated boxes.
    """

    format: ClassVar[str] = "dota"
    reader: ClassVar[str] = "DOTA"

    def fill(self, splits: Splits, folder: Path, lost: Lost) -> None:
        """Write the files; see `CheckedWriter.fill`."""
        names = one_map(splits).names
        _refuse_spaces(names)
        write_classes(names, folder)
        drop_keys_of_files(splits, lost)
        for split, dataset in splits.items():
            drop_scheme(split, dataset.scheme, lost)
            make_folder(folder, split, "labelTxt")
            for name, row, raw in named(split, dataset, lost):
                write_file(folder, split, "images", name, content=raw)
                held, dropped = corners(row)
                lost.of(name, dropped)
                text = _text(held, dataset.class_map)
                write_file(folder, split, "labelTxt", f"{stem_of(name)}.txt", content=text)

    def holds(self, splits: Splits) -> Callable[[Row], Held]:
        """Return what DOTA stores; see `CheckedWriter.holds`."""
        return corners


def _refuse_spaces(names: tuple[str, ...]) -> None:
    for name in names:
        if len(name.split()) != 1 or name != name.strip():
            raise UserError(
                f"the class name {name!r} cannot be stored in DOTA's labels",
                rule="names without spaces, which separate the values of a line",
                fix=f"rename the class, such as {'-'.join(name.split())!r}",
            )


def _text(held: Row, class_map: ClassMap) -> str:
    rings = RotatedBoxes(held.boxes).corners().astype(float)
    every = unpack(held.unknown, len(held.classes))[1]
    lines = []
    for ring, index, keys in zip(rings, held.classes.tolist(), every, strict=True):
        # A thousandth of a pixel, as in the other formats, whatever the size of the image.
        words = [f"{value:.4f}" for value in ring.ravel()]
        difficult = int(keys.get("difficult", 0))
        lines.append(" ".join([*words, class_map.names[index], str(difficult)]) + "\n")
    return "".join(lines)
