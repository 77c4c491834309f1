"""`InstanceMaskFolders`: reader of images with the mask of each object as pixels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from visiongarden.data.dataset import Dataset
from visiongarden.data.error_list import ErrorList
from visiongarden.data.file_names import ENDINGS, names_in
from visiongarden.data.readers.build import (
    Label,
    class_names_in,
    images_in,
    no_split,
    read_text,
    row,
    size_of,
)
from visiongarden.data.readers.object_pixels import object_of, objects_of
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.readers.split_names import SPLIT_OF, one_per_split
from visiongarden.data.rows import Row
from visiongarden.data.sample_table import located_in
from visiongarden.errors import DataError, UserError
from visiongarden.registry import register
from visiongarden.samples import masks
from visiongarden.storage import parse_json
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap, ImageSize, Polygons

_EXAMINED = 20
"""Number of folders that are examined to recognize the layout."""


@register
class InstanceMaskFolders(Reader):
    """Reader of images with the mask of each object as pixels, in one of two layouts.

    - One file per object, as in the 2018 Data Science Bowl: `<id>/images/<id>.png` beside
      `<id>/masks/*.png`. All pixels of a mask that are not 0 belong to the object. The folders of
      the images may be in folders of splits, such as `train/` or `stage1_train/`.
    - One file per image: `images/a.png` beside `instances/a.png`, whose gray values (8 or 16 bits)
      are the ids of the objects; 0 is the background. Folders of splits may be outside
      (`train/images/`) or inside (`images/train/`). `instances/a.json` gives the class of each id,
      as `{"1": "cat", "2": "dog"}`.

    Masks have the size of their image and are read without loss: as polygons along the edges of
    pixels. Boxes are those around the masks. Masks of one image may overlap; a note gives the
    number of pixels. `classes.txt` in the root defines the order of the classes.

    Attributes:
        class_name: Class of all objects, if no file gives their classes.
        images: Name of the folder of the images, in the second layout.
        instances: Name of the folder of the ids, in the second layout.
        suffix: Ending of the names of files of ids, such as "_mask", which the images lack.

    Example:
        >>> vg.data.readers.InstanceMaskFolders(class_name="nucleus").to_dict()["class_name"]
        'nucleus'
    """

    files: ClassVar[str] = (
        "instance masks: <id>/images/<id>.png beside <id>/masks/*.png, or images/a.png beside "
        "instances/a.png with the id of an object as the value of its pixels"
    )

    class_name: str = Field("object", min_length=1)
    images: str = Field("images", min_length=1)
    instances: str = Field("instances", min_length=1)
    suffix: str = ""

    def matches(self, source: Source) -> float:
        """Return 0.95 for one of the layouts, 0.6 for unusual names of the images, else 0."""
        root = source.root
        if not root.is_dir():
            return 0.0
        try:
            if self._by_ids(root):
                return 0.95
        except DataError:
            # Two folders of one split: of which format is not known, and its reader reports it.
            return 0.0
        groups = [root, *_folders(root)[:_EXAMINED]]
        return max((_looks_like_objects(group) for group in groups), default=0.0)

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the splits that have folders; otherwise "train"."""
        found = tuple(self._by_ids(source.root)) or tuple(_by_objects(source.root))
        if found:
            return found
        raise DataError(
            f"{source.root} has no folders of instance masks",
            rule=self.files,
            received=", ".join(names_in(source.root)[:_EXAMINED]) or "an empty folder",
            fix='reader={"type": "InstanceMaskFolders", "images": "images", "instances": "masks"}',
        )

    def read(self, source: Source, split: str) -> Dataset:
        """Return the images of one split with the masks and boxes of their objects."""
        root, errors = source.root, source.errors
        splits = self.splits(source)
        if split not in splits:
            raise no_split(root, split, splits)
        by_ids = self._by_ids(root)
        classes = _Classes(self.class_name, source.class_names or class_names_in(root))
        if by_ids:
            rows = self._rows_of_ids(*by_ids[split], classes, errors)
        else:
            rows = _rows_of_objects(_by_objects(root)[split], classes, errors)
        class_map = classes.finish(rows, root, errors)
        return Dataset.of_rows(class_map, rows, located_in(root), split=split, root=root)

    def _by_ids(self, root: Place) -> dict[str, tuple[Place, Place]]:
        """Return the folders of images and of ids of each split, in the second layout."""
        images, ids = root / self.images, root / self.instances
        if images.is_dir() and ids.is_dir():
            inside = _split_folders(images)
            if not inside:
                return {"train": (images, ids)}
            return {split: (folder, ids / folder.name) for split, folder in inside.items()}
        pairs = {
            split: (folder / self.images, folder / self.instances)
            for split, folder in _split_folders(root).items()
        }
        return {split: pair for split, pair in pairs.items() if all(f.is_dir() for f in pair)}

    def _rows_of_ids(
        self, images: Place, ids: Place, classes: _Classes, errors: ErrorList
    ) -> list[Row]:
        rows = []
        pictures, files = images_in(images), images_in(ids)
        for name in sorted(files.keys() - {f"{stem}{self.suffix}" for stem in pictures}):
            what = f"the image {images / name.removesuffix(self.suffix)}.* does not exist"
            errors.add(files[name], what, "pair")
        for stem, picture in pictures.items():
            name = f"{stem}{self.suffix}"
            if name not in files:
                if errors.includes(picture):
                    errors.add(picture, f"the mask {ids / name}.png does not exist", "pair")
                continue
            size = size_of(picture, errors)
            if size is None:
                continue
            try:
                found = [(id, one.polygons()) for id, one in objects_of(files[name], size)]
                names = classes.of_ids(ids / f"{name}.json", [id for id, _ in found])
            except DataError as error:
                errors.add_error(error, "mask")
                continue
            labels = [
                _label(f"{files[name]}: object {id}", polygons, classes.index_of(each))
                for (id, polygons), each in zip(found, names, strict=True)
            ]
            rows.append(row(picture, size, labels, errors))
        return rows


class _Classes:
    """Classes of the objects: names in their order, and those that occur."""

    def __init__(self, default: str, listed: Sequence[str] | None) -> None:
        # One listed name renames the only class.
        self.default = listed[0] if listed is not None and len(listed) == 1 else default
        self.listed = None if listed is None else tuple(listed)
        self.found: dict[str, int] = {}

    def index_of(self, name: str) -> int:
        """Return the preliminary index of a class, in order of first appearance."""
        return self.found.setdefault(name, len(self.found))

    def of_ids(self, file: Place, ids: Sequence[int]) -> list[str]:
        """Return the class of each id, from the JSON file beside the ids if there is one."""
        if not file.is_file():
            return [self.default] * len(ids)
        data = parse_json(read_text(file).encode(), file)
        if not isinstance(data, Mapping) or not all(
            isinstance(v, str) and v for v in data.values()
        ):
            raise DataError(
                f"{file}: not a mapping from ids to class names",
                rule='{"1": "cat", "2": "dog"}',
                received=f"{data!r:.80}",
            )
        missing = [number for number in ids if str(number) not in data]
        if missing:
            raise DataError(
                f"{file}: object {missing[0]} has no class",
                rule="the class of each id of the mask",
                received=f"the ids {', '.join(map(str, list(data)[:10])) or 'none'}",
            )
        return [data[str(number)] for number in ids]

    def finish(self, rows: Iterable[Row], root: Place, errors: ErrorList) -> ClassMap:
        """Return the class map, and number the classes of the rows by it."""
        names = self.listed or tuple(sorted(self.found)) or (self.default,)
        unknown = [name for name in self.found if name not in names]
        for name in unknown:
            what = f"class {name!r} is not in the class map: {', '.join(names)}"
            errors.add(root, what, "id")
        new = np.array(
            [names.index(name) if name in names else 0 for name in self.found] or [0], np.int32
        )
        for each in rows:
            each.classes = new[each.classes]
        try:
            return ClassMap(names)
        except UserError as error:
            raise DataError(f"{root}: {error.what}", rule=error.rule) from error


def _label(where: str, polygons: Polygons, index: int) -> Label:
    return Label(where, masks.box_of(polygons), index, polygons=polygons)


def _rows_of_objects(folders: Sequence[Place], classes: _Classes, errors: ErrorList) -> list[Row]:
    """Return the rows of folders with `images/` and `masks/`, one for each image."""
    rows, overlaps = [], {}
    for folder in folders:
        pictures = list(images_in(folder / "images").values())
        if len(pictures) != 1:
            errors.add(folder / "images", f"expected one image, got {len(pictures)}", "pair")
            continue
        size = size_of(pictures[0], errors)
        if size is None:
            continue
        if not (folder / "masks").is_dir():
            errors.add(folder, "there is no folder masks beside images", "pair")
            continue
        labels, given, overlap = _objects(folder / "masks", size, classes, errors)
        if overlap:
            overlaps[folder] = overlap
        rows.append(row(pictures[0], size, labels, errors, given))
    if overlaps:
        what = (
            f"masks of {len(overlaps)} images overlap, by {sum(overlaps.values())} pixels in all; "
            "each object keeps its mask"
        )
        errors.note(next(iter(overlaps)), what, "overlap")
    return rows


def _objects(
    folder: Place, size: ImageSize, classes: _Classes, errors: ErrorList
) -> tuple[list[Label], int, int]:
    """Return the objects of a folder of masks, the number of files, and of overlapping pixels."""
    covered, given, overlap = np.zeros(size, bool), 0, 0
    labels = []
    for name in names_in(folder):
        file = folder / name
        if name.startswith("."):
            continue
        if file.suffix.lower() not in ENDINGS:
            what = f"not an image: expected one of the extensions {' '.join(sorted(ENDINGS))}"
            errors.add(file, what, "stray")
            continue
        given += 1
        try:
            found = object_of(file, size)
        except DataError as error:
            errors.add_error(error, "mask")
            continue
        if found is None:
            errors.without_area(str(file), "the mask has no pixel of an object")
            continue
        height, width = found.pixels.shape
        part = covered[found.row : found.row + height, found.column : found.column + width]
        overlap += int((part & found.pixels).sum())
        part |= found.pixels
        labels.append(_label(str(file), found.polygons(), classes.index_of(classes.default)))
    return labels, given, overlap


def _by_objects(root: Place) -> dict[str, list[Place]]:
    """Return the folders of the images of each split, in the first layout."""
    if _looks_like_objects(root):
        return {"train": _folders(root)}
    groups = [
        (SPLIT_OF.get(folder.name.lower().rpartition("_")[2], folder.name), folder)
        for folder in _folders(root)
        if _looks_like_objects(folder)
    ]
    return {split: _folders(folder) for split, folder in one_per_split(root, groups).items()}


def _looks_like_objects(root: Place) -> float:
    """Return how well the folders in `root` look like those of one image with masks each."""
    # Some folders may lack a file, which is an error of the dataset and not another format.
    return max((_score(folder) for folder in _folders(root)[:_EXAMINED]), default=0.0)


def _score(folder: Place) -> float:
    if not ((folder / "images").is_dir() and (folder / "masks").is_dir()):
        return 0.0
    pictures = [name for name in names_in(folder / "images") if _is_image(name)]
    files = [name for name in names_in(folder / "masks") if _is_image(name)]
    # `train/images/a.png` beside `train/masks/a.png` is a semantic mask.
    if len(pictures) != 1 or files == pictures:
        return 0.0
    return 0.95 if pictures[0].rpartition(".")[0] == folder.name else 0.6


def _is_image(name: str) -> bool:
    return not name.startswith(".") and f".{name.rpartition('.')[2].lower()}" in ENDINGS


def _folders(root: Place) -> list[Place]:
    """Return the subfolders of a folder, sorted, without hidden ones."""
    if not root.is_dir():
        return []
    there: list[Any] = list(root.iterdir())
    return sorted(p for p in there if p.is_dir() and not p.name.startswith("."))


def _split_folders(root: Place) -> dict[str, Place]:
    """Return the folders that have the name of a split, by split."""
    names = [(SPLIT_OF[f.name.lower()], f) for f in _folders(root) if f.name.lower() in SPLIT_OF]
    return one_per_split(root, names)
