"""Reader of Darknet's `obj.data`, as CVAT exports it as YOLO 1.1."""

from __future__ import annotations

from typing import ClassVar

from visiongarden.data.dataset import Dataset
from visiongarden.data.file_names import names_in
from visiongarden.data.readers.build import no_split, read_text
from visiongarden.data.readers.fraction_boxes import row_of_text
from visiongarden.data.readers.image_search import find_image
from visiongarden.data.readers.other_tools import tool_of
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.readers.split_names import SPLIT_OF
from visiongarden.data.sample_table import located_in
from visiongarden.errors import DataError
from visiongarden.registry import register
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap


@register
class DarknetData(Reader):
    """Darknet and CVAT's YOLO 1.1: `obj.data`, which names `obj.names` and the lists of images.

    The label file of an image is beside it. Paths may begin with folders of another computer, such
    as `data/`; they are found by the longest end that exists in the dataset.

    Example:
        >>> DarknetData().to_dict()
        {'type': 'DarknetData'}
    """

    files: ClassVar[str] = "Darknet, CVAT YOLO 1.1: obj.data, obj.names, train.txt"
    annotations: ClassVar[frozenset[str]] = frozenset({"boxes"})

    def matches(self, source: Source) -> float:
        """Return 0.95 if there is a file such as `obj.data`."""
        return 0.95 if _file(source.root) is not None else 0.0

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the splits that `obj.data` names."""
        file = _existing(source.root)
        return tuple(_lists(file, _entries(file)))

    def read(self, source: Source, split: str) -> Dataset:
        """Return one split."""
        errors, root = source.errors, source.root
        file = _existing(root)
        entries = _entries(file)
        lists = _lists(file, entries)
        if split not in lists:
            raise no_split(root, split, lists)
        given = _lines(_found(file, entries.get("names", ""), root, "names"))
        # The ids are positions in this list; `vg.read` matches other names with it by name.
        class_map = ClassMap(tuple(given))
        listed = _found(file, lists[split], root, split)
        rows, seen = [], set()
        for number, line in enumerate(_lines(listed, blank=True), start=1):
            if not line:
                continue
            where = f"{listed}:{number}"
            image = find_image(line, file.parent, root, split)
            if image is None:
                errors.add(where, f"the image {line!r:.200} does not exist in {root}", "image")
                continue
            if str(image) in seen:
                errors.add(where, f"{image} appears twice in {split}", "listed-twice")
                continue
            seen.add(str(image))
            row = row_of_text(image, image.with_suffix(".txt"), len(class_map), errors)
            if row is not None:
                rows.append(row)
        located = located_in(root)
        return Dataset.of_rows(
            class_map, rows, located, split=split, root=root, dropped=errors.dropped
        )


def _file(root: Place) -> Place | None:
    if root.is_file():
        return root if _is_data(root) else None
    folders = (root, root / "data")
    files = [folder / name for folder in folders for name in names_in(folder)]
    return next((file for file in files if _is_data(file)), None)


def _is_data(file: Place) -> bool:
    return file.suffix == ".data" and tool_of(file) == "DarknetData"


def _existing(root: Place) -> Place:
    file = _file(root)
    if file is None:
        raise DataError(f"{root} has no obj.data", rule="a file with names, train and valid")
    return file


def _entries(file: Place) -> dict[str, str]:
    """Return the entries `key = value` of the file."""
    pairs = [line.partition("=") for line in _lines(file)]
    return {key.strip().lower(): value.strip() for key, sign, value in pairs if sign}


def _lists(file: Place, entries: dict[str, str]) -> dict[str, str]:
    """Return the list of images of each split."""
    found: dict[str, str] = {}
    for key, value in entries.items():
        if key not in SPLIT_OF or not value:
            continue
        if SPLIT_OF[key] in found:
            raise DataError(
                f"{file} has two entries for the split {SPLIT_OF[key]}: "
                f"{found[SPLIT_OF[key]]} and {value}",
                fix="keep one of them",
            )
        found[SPLIT_OF[key]] = value
    return found


def _found(file: Place, name: str, root: Place, what: str) -> Place:
    found = find_image(name, file.parent, root) if name else None
    if found is None:
        raise DataError(
            f"{file}: the file of {what} does not exist",
            rule="a file in the dataset",
            received=f"{name!r:.200}",
        )
    return found


def _lines(file: Place, blank: bool = False) -> list[str]:
    lines = [line.strip() for line in read_text(file).splitlines()]
    return lines if blank else [line for line in lines if line]
