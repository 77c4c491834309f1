"""Reader of Pascal VOC XML (Everingham et al. 2010); boxes are corners in pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import ClassVar

from visiongarden.data.dataset import Dataset
from visiongarden.data.error_list import ErrorList, wrong_size
from visiongarden.data.file_names import names_in
from visiongarden.data.readers.build import (
    Label,
    by_hash,
    class_names_in,
    images_in,
    no_split,
    read_text,
    row,
    size_of,
)
from visiongarden.data.readers.other_tools import is_other
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.readers.xml_tree import Element, parse_xml
from visiongarden.data.rows import Row
from visiongarden.errors import DataError
from visiongarden.registry import register
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@register
class VOC(Reader):
    """Reader of Pascal VOC XML: boxes.

    The files are in `Annotations/`, `JPEGImages/` and `ImageSets/Main/*.txt`; or in `annotations/`
    beside `images/`, or beside the images, split 80/10/10 by a hash of the file names. The classes
    are all names that occur, sorted, unless `classes.txt` lists them.

    Attributes:
        one_based: Whether corners count from 1, as in the original VOC; they are shifted by one.
            Labeling tools count from 0.

    Example:
        >>> vg.read("VOC2012", reader={"type": "VOC", "one_based": True})  # doctest: +SKIP
    """

    one_based: bool = False

    files: ClassVar[str] = "Annotations/*.xml beside JPEGImages/"
    lists_classes: ClassVar[bool] = False
    annotations: ClassVar[frozenset[str]] = frozenset({"boxes"})

    def matches(self, source: Source) -> float:
        """Return 0.9 for a folder of XML annotations with an image folder."""
        folders = _folders(source.root)
        return 0.9 if folders is not None and any(folders[0].glob("*.xml")) else 0.0

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the names of the splits."""
        folders = _folders(source.root)
        listed = _splits(source.root, folders[0]) if folders else {}
        # `trainval` of the original VOC is the union of `train` and `val`.
        both = {"train", "val", "trainval"} <= listed.keys()
        return tuple(split for split in listed if not (both and split == "trainval"))

    def read(self, source: Source, split: str) -> Dataset:
        """Read one split."""
        path, errors = source.root, source.errors
        folders = _folders(path)
        if folders is None:
            raise DataError(
                f"{path} is not a Pascal VOC dataset",
                rule="Annotations/ beside JPEGImages/, or annotations/ beside images/",
            )
        annotations, pictures = folders
        images = images_in(pictures)
        listed = _splits(path, annotations)
        if split not in listed:
            raise no_split(path, split, listed)
        trees = _trees(annotations, listed, errors)
        names = source.class_names or class_names_in(path) or _names(path, trees, errors)
        class_map = ClassMap(names)
        rows: list[Row] = []
        for name, times in Counter(listed[split]).items():
            if times > 1:
                errors.add(path, f"{name} appears {times} times in the list of {split}")
            if name not in trees:
                continue
            file, image = annotations / f"{name}.xml", images.get(name)
            if image is None:
                errors.add(file, f"the image {pictures / name}.* does not exist", "image")
                continue
            found = _row(file, trees[name], image, class_map, errors, self.one_based)
            if found is not None:
                rows.append(found)
        return Dataset.of_rows(class_map, rows, self.located(path), split=split, root=path)


def _row(
    file: Place,
    tree: Element,
    image: Place,
    class_map: ClassMap,
    errors: ErrorList,
    one_based: bool,
) -> Row | None:
    size = size_of(image, errors)
    if size is None:
        return None
    size_element = tree.child("size")
    if size_element is not None:
        sides = (size_element.number("height"), size_element.number("width"))
        # 0 or a missing element means that the size is not known.
        if all(sides) and sides != size:
            given = [f"{side:g}" for side in sides if side is not None]
            same = tuple(sides) == size[::-1]
            errors.add(
                f"{file}:{size_element.line}",
                wrong_size(size[::-1] if same else given, size),
                "size",
            )
            return None
    items = [item for item in tree.children if item.tag == "object"]
    labels = [
        label for item in items if (label := _label(file, item, class_map, errors, one_based))
    ]
    keys = tree.keys(known=("filename", "size", "object"))
    return row(image, size, labels, errors, len(items), keys)


def _label(
    file: Place, item: Element, class_map: ClassMap, errors: ErrorList, one_based: bool
) -> Label | None:
    name, box = item.text_of("name"), item.child("bndbox")
    where = f"{file}:{item.line}"
    errors.ids[name] += 1
    if name not in class_map.by_name:
        known = ", ".join(class_map.names)
        errors.add(where, f"class {name!r:.60} is not in the class map: {known:.200}", "id")
        return None
    if box is None:
        errors.add(where, "the object has no bndbox")
        return None
    values = [box.number(corner) for corner in _CORNERS]
    missing = [c for c, v in zip(_CORNERS, values, strict=True) if v is None]
    if missing:
        errors.add(f"{file}:{box.line}", f"bndbox has no number for {', '.join(missing)}")
        return None
    x1, y1, x2, y2 = (v for v in values if v is not None)
    # Labeling tools count from 0; only the original VOC counts from 1.
    shift = 1.0 if one_based else 0.0
    # In the original VOC the last pixel is part of the box: 1 to 10 are ten pixels.
    corners = (x1 - shift, y1 - shift, x2, y2)
    keys = item.keys(known=("name", "bndbox"))
    return Label(f"{file}:{box.line}", corners, class_map.by_name[name], extra=keys)


def _folders(root: Place) -> tuple[Place, Place] | None:
    names = {p.name.lower(): p for p in root.iterdir() if p.is_dir()} if root.is_dir() else {}
    pictures = names.get("jpegimages") or names.get("images")
    annotations = names.get("annotations")
    if annotations and pictures:
        return annotations, pictures
    return (root, root) if root.is_dir() and _is_beside(root) else None


def _is_beside(root: Place) -> bool:
    """Return whether XML files are in the same folder as their images, as written by labelImg.

    Files of other formats in that folder rule it out.
    """
    names = names_in(root)
    if any(name.endswith((".json", ".csv", ".yaml", ".yml")) for name in names):
        return False
    files = [name for name in names if name.endswith(".xml") and not is_other(root / name)][:1]
    return bool(files) and files[0].removesuffix(".xml") in images_in(root)


def _splits(root: Place, annotations: Place) -> dict[str, list[str]]:
    lists = root / "ImageSets" / "Main"
    if lists.is_dir():
        # A file such as `cat_train.txt` lists one class, with a flag after each name; the list of a
        # split has no flags. Names of images may contain spaces, too.
        known = {name.removesuffix(".xml") for name in names_in(annotations)}
        found = {file.stem: read_text(file).split("\n") for file in lists.glob("*.txt")}
        rows = {name: [line.strip() for line in lines] for name, lines in found.items()}
        return {
            name: [line for line in lines if line]
            for name, lines in sorted(rows.items())
            if all(len(line.split()) <= 1 or line.strip() in known for line in lines)
        }
    hashed: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for stem in sorted(file.stem for file in annotations.glob("*.xml")):
        hashed[by_hash(stem)].append(stem)
    # Few images may all be assigned to one split, which must then be that for training.
    if not hashed["train"]:
        return {"train": sorted(hashed["val"] + hashed["test"])}
    return {name: stems for name, stems in hashed.items() if stems}


def _trees(
    annotations: Place, listed: Mapping[str, list[str]], errors: ErrorList
) -> dict[str, Element]:
    """Parse the annotation files of all splits, because all splits share one list of classes."""
    trees = {}
    for name in dict.fromkeys(name for names in listed.values() for name in names):
        file = annotations / f"{name}.xml"
        try:
            trees[name] = parse_xml(file)
        except DataError as error:
            errors.add_error(error, "unreadable")
    return trees


def _names(root: Place, trees: Mapping[str, Element], errors: ErrorList) -> tuple[str, ...]:
    names = {
        item.text_of("name")
        for tree in trees.values()
        for item in tree.children
        if item.tag == "object"
    }
    if not names - {""}:
        errors.raise_if_any()
        raise DataError(f"{root}: no annotation has a class name")
    return tuple(sorted(names - {""}))
