"""Reader of Roboflow's CSV exports: `_annotations.csv` in the folder of each split."""

from __future__ import annotations

from typing import ClassVar

from visiongarden.data.dataset import Dataset
from visiongarden.data.readers.build import images_in
from visiongarden.data.readers.geometry import numbers
from visiongarden.data.readers.label_table import files_of_tool, lines_of
from visiongarden.data.readers.pictures import Picture, Shape, dataset_of
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.readers.split_files import files_of
from visiongarden.errors import DataError
from visiongarden.registry import register
from visiongarden.storage.place import Place

_COLUMNS = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")


@register
class RoboflowCSV(Reader):
    """Roboflow's CSV (Tensorflow Object Detection): `_annotations.csv` in each split's folder.

    Images of the folder that are not in the table are counted in a note and not read.

    Example:
        >>> RoboflowCSV().to_dict()
        {'type': 'RoboflowCSV'}
    """

    files: ClassVar[str] = "Roboflow CSV: _annotations.csv in the folder of each split"
    lists_classes: ClassVar[bool] = False
    annotations: ClassVar[frozenset[str]] = frozenset({"boxes"})

    def matches(self, source: Source) -> float:
        """Return 0.95 if there is an `_annotations.csv`."""
        return 0.95 if files_of_tool(source.root, "RoboflowCSV") else 0.0

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the folders `train`, `val` and `test`; "train" without them."""
        return tuple(files_of_tool(source.root, "RoboflowCSV"))

    def read(self, source: Source, split: str) -> Dataset:
        """Return one split."""
        files = files_of_tool(source.root, "RoboflowCSV")
        files_of(source.root, files, split)
        found = {
            name: [picture for file in group for picture in _pictures(file)]
            for name, group in files.items()
        }
        for file in files[split]:
            listed = {picture.name for picture in found[split]}
            others = [p for p in images_in(file.parent).values() if p.name not in listed]
            if others:
                source.errors.note(file, f"{len(others)} images are not in the table and not read")
        rest = [p for name, group in found.items() if name != split for p in group]
        return dataset_of(source, split, found[split], rest)


def _pictures(file: Place) -> list[Picture]:
    columns, lines = lines_of(file)
    missing = [name for name in _COLUMNS if name not in columns]
    if missing:
        raise DataError(f"{file} has no column {', '.join(missing)}", rule=", ".join(_COLUMNS))
    images: dict[str, Picture] = {}
    for where, cells in lines:
        name, size = cells["filename"], (cells["height"], cells["width"])
        if not name:
            raise DataError(f"{where}: the line has no filename")
        picture = images.setdefault(name, Picture(where, file, name, size))
        if picture.size != size:
            picture.add(where, f"the size of {name!r:.100} is not that in another line", "size")
            continue
        picture.given += 1
        box = numbers([cells[key] for key in _COLUMNS[4:]], nan=True)
        if box is None:
            given = ", ".join(cells[key] for key in _COLUMNS[4:])
            picture.add(where, f"the corners are not four numbers: {given:.80}")
            continue
        extra = {key: value for key, value in cells.items() if key not in _COLUMNS}
        picture.shapes.append(Shape(where, cells["class"], box, extra=extra))
    return list(images.values())
