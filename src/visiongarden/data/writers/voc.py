"""Writer of Pascal VOC's XML files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar
from xml.sax.saxutils import escape

from visiongarden.data.rows import Row
from visiongarden.data.writers.checked import CheckedWriter
from visiongarden.data.writers.held import Held, drop_keys_of_files, drop_scheme, elements, objects
from visiongarden.data.writers.images import Splits, named, stem_of
from visiongarden.data.writers.lost import Lost
from visiongarden.data.writers.splits import one_map, write_classes, write_file
from visiongarden.registry import register
from visiongarden.samples.unknown_keys import unpack
from visiongarden.types import ClassMap


@register
class VOCWriter(CheckedWriter):
    """Writer of `Annotations/`, `JPEGImages/`, `ImageSets/Main/`, and the classes in `classes.txt`.

    Boxes and classes are stored; coordinates count from 0.
    """

    format: ClassVar[str] = "voc"
    reader: ClassVar[str] = "VOC"

    def fill(self, splits: Splits, folder: Path, lost: Lost) -> None:
        """Write the files; see `CheckedWriter.fill`."""
        write_classes(one_map(splits).names, folder)
        drop_keys_of_files(splits, lost)
        taken: set[str] = set()
        for split, dataset in splits.items():
            drop_scheme(split, dataset.scheme, lost)
            stems = []
            for name, row, raw in named(split, dataset, lost, taken):
                write_file(folder, "JPEGImages", name, content=raw)
                stem = stem_of(name)
                stems.append(stem)
                held, dropped = elements(row)
                lost.of(name, dropped)
                text = _xml(name, held, dataset.class_map)
                write_file(folder, "Annotations", f"{stem}.xml", content=text)
            text = "".join(f"{stem}\n" for stem in stems)
            write_file(folder, "ImageSets", "Main", f"{split}.txt", content=text)

    def holds(self, splits: Splits) -> Callable[[Row], Held]:
        """Return what VOC stores; see `CheckedWriter.holds`."""
        return elements


def _xml(name: str, held: Row, class_map: ClassMap) -> str:
    height, width = held.size
    image, keys = unpack(held.unknown, len(held.classes))
    lines = [
        "<annotation>",
        f"  <filename>{escape(name)}</filename>",
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
        *_elements(image, "  "),
    ]
    for (box, index, _, _), own in zip(objects(held), keys, strict=True):
        corners = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        inside = "".join(f"<{corner}>{value!r}</{corner}>" for corner, value in corners)
        lines += [
            "  <object>",
            f"    <name>{escape(class_map.names[index])}</name>",
            *_elements(own, "    "),
            f"    <bndbox>{inside}</bndbox>",
            "  </object>",
        ]
    return "\n".join([*lines, "</annotation>", ""])


def _elements(keys: Mapping[str, Any], indent: str) -> list[str]:
    """Return XML elements: a list becomes repeated elements, a dict an element with children."""
    lines: list[str] = []
    for key, value in keys.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                lines += [f"{indent}<{key}>", *_elements(item, indent + "  "), f"{indent}</{key}>"]
            else:
                lines.append(f"{indent}<{key}>{escape(item)}</{key}>")
    return lines
