"""Reader of CreateML JSON: boxes as center and size in pixels, or labels of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from visiongarden.data.dataset import Dataset
from visiongarden.data.readers.build import MAX_TEXT
from visiongarden.data.readers.geometry import numbers
from visiongarden.data.readers.pictures import Picture, Shape, dataset_of
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.readers.split_files import files_of, tool_files
from visiongarden.errors import DataError
from visiongarden.registry import register
from visiongarden.storage import parse_json
from visiongarden.storage.place import Place, read_text_bytes


@register
class CreateML(Reader):
    """CreateML: a JSON list of images, beside them; also as written by labelImg and Roboflow.

    An annotation with `coordinates` is a box; a text, or an annotation without them, is a label of
    the image.

    Example:
        >>> CreateML().to_dict()
        {'type': 'CreateML'}
    """

    files: ClassVar[str] = "CreateML: a JSON list of images, beside them"
    lists_classes: ClassVar[bool] = False

    def matches(self, source: Source) -> float:
        """Return 0.95 if there is a CreateML file."""
        return 0.95 if tool_files(source.root, "CreateML", ".json") else 0.0

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the splits of the files' folders or names; "train" without them."""
        return tuple(tool_files(source.root, "CreateML", ".json"))

    def read(self, source: Source, split: str) -> Dataset:
        """Return one split."""
        files = tool_files(source.root, "CreateML", ".json")
        files_of(source.root, files, split)
        found = {
            name: [picture for file in group for picture in _pictures(file)]
            for name, group in files.items()
        }
        others = [p for name, group in found.items() if name != split for p in group]
        return dataset_of(source, split, found[split], others)


def _pictures(file: Place) -> Iterator[Picture]:
    rows = parse_json(read_text_bytes(file, MAX_TEXT), file)
    if not isinstance(rows, list):
        raise DataError(f"{file}: not a CreateML file", rule="a list of images")
    for number, row in enumerate(rows):
        where = f"{file}: image {number + 1}"
        row = row if isinstance(row, dict) else {}
        name = row.get("image", row.get("imagefilename"))
        if not isinstance(name, str) or not name:
            raise DataError(f"{where} has no name", rule="`image`")
        picture = Picture(f"{where} ({name:.100})", file, name)
        key = next((k for k in ("annotations", "annotation", "label") if k in row), None)
        _add(picture, row.get(key) if key else [])
        yield picture


def _add(picture: Picture, given: Any) -> None:
    """Add the boxes or labels of an image."""
    items = given if isinstance(given, list) else [given]
    picture.tags = []
    for place, item in enumerate(items):
        where = f"{picture.where}: annotations[{place}]"
        if isinstance(item, str) and item:
            picture.tags.append(item)
            continue
        name = item.get("label") if isinstance(item, dict) else None
        if not isinstance(name, str) or not name:
            picture.add(where, f"the annotation is {item!r:.60}; expected an object with a label")
            continue
        if "coordinates" not in item:
            picture.tags.append(name)
            continue
        picture.given += 1
        box = _box(item["coordinates"])
        if box is None:
            what = f"`coordinates` is {item['coordinates']!r:.80}; expected x, y, width, height"
            picture.add(where, what)
            continue
        extra = {key: v for key, v in item.items() if key not in ("label", "coordinates")}
        picture.shapes.append(Shape(where, name, box, extra=extra))


def _box(given: Any) -> tuple[float, ...] | None:
    if not isinstance(given, Mapping):
        return None
    found = numbers([given.get(key) for key in ("x", "y", "width", "height")], nan=True)
    if found is None:
        return None
    x, y, w, h = found
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2
