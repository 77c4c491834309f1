"""Reader of class folders: one folder per class, inside one folder per split or without splits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from visiongarden.data.error_list import ErrorList
from visiongarden.data.labeled_images import ClassificationDataset
from visiongarden.data.readers.build import (
    ARRAY,
    CLASSES,
    ENDINGS,
    by_hash,
    class_names_in,
    image_names,
    names_in,
    no_split,
)
from visiongarden.errors import DataError
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap

SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_OTHER = {"images", "masks", "labels", "annotations", "jpegimages"}
"""Names of folders that belong to other formats and are not classes."""


def looks_like(path: Place) -> bool:
    """Return whether a folder contains image folders, directly or in its split folders."""
    if not path.is_dir():
        return False
    splits = split_folders(path)
    classes = [c for folder in (splits.values() or [path]) for c in inner(folder)]
    if not classes or any(c.name.lower() in _OTHER for c in classes):
        return False
    return any(map(images_of, classes))


def splits(root: Place) -> list[str]:
    """Return the names of the splits; without split folders, those of a hash of the image names."""
    found = split_folders(root)
    if found:
        return list(found)
    images = ((folder, file) for folder in inner(root) for file in images_of(folder))
    return splits_by_hash(_key(folder, file) for folder, file in images)


def splits_by_hash(names: Iterable[str]) -> list[str]:
    """Return the splits to which a hash of their names assigns files, in the usual order."""
    found = {by_hash(name) for name in names}
    return [split for split in SPLITS if split in found]


def is_split_by_hash(root: Place) -> bool:
    """Return whether the dataset has no split folders, so that a hash assigns the images."""
    return not split_folders(root)


def class_folders(root: Place, split: str) -> list[Any]:
    """Return the class folders of a split."""
    folders = split_folders(root)
    return inner(folders.get(split, root / split) if folders else root)


def read(
    root: Place, split: str, class_names: tuple[str, ...] | None, errors: ErrorList
) -> ClassificationDataset:
    """Read one split of class folders and add its errors to `errors`; see `gather.READERS`."""
    folders = split_folders(root)
    if folders and split not in folders and not (root / split).is_dir():
        raise no_split(root, split, folders)
    own = folders.get(split, root / split) if folders else root
    found = {folder.name: _images(folder, errors) for folder in class_folders(root, split)}
    _look_beside(own, errors)
    names = {folder.name for one in folders.values() for folder in inner(one)} | set(found)
    if not names:
        raise DataError(
            f"{own} has no class folders",
            rule="one folder of images per class: train/cat/*.jpg",
        )
    class_map = _class_map(root, own, names, class_names, errors)
    if folders:
        learned = {f.name for f in inner(folders.get("train", own)) if images_of(f)}
        for name in sorted(name for name in set(found) - learned if found[name]):
            what = "the class has no image in train/ and cannot be learned"
            errors.add(own / name, what, "split-class")
    else:
        if split not in SPLITS:
            raise no_split(root, split, SPLITS)
        found = {
            name: [image for image in images if by_hash(_key(own / name, image)) == split]
            for name, images in found.items()
        }
    known = [name for name in found if name in class_map.by_name]
    pairs = [(image, class_map.by_name[name]) for name in known for image in found[name]]
    paths, classes = zip(*pairs, strict=True) if pairs else ((), ())
    return ClassificationDataset(class_map, paths, classes, split, root)


def _key(folder: Place, image: Place) -> str:
    return f"{folder.name}/{image.name}"


def _class_map(
    root: Place,
    own: Place,
    names: set[str],
    class_names: tuple[str, ...] | None,
    errors: ErrorList,
) -> ClassMap:
    """Return the class map of `class_names`, else of `classes.txt`, else of all class folders."""
    listed = class_names_in(root)
    own_names = class_names_in(own) if own != root else None
    class_map = ClassMap(class_names or listed or own_names or tuple(sorted(names)))
    if class_names is None and own_names is not None and own_names != class_map.names:
        what = f"the class names or their order differ from those in {root / CLASSES}"
        errors.add(own / CLASSES, f"{what}: {', '.join(own_names)}", "class-map")
    for name in sorted(names - set(class_map.names)):
        what = f"class {name!r} is not in the class map: {', '.join(class_map.names)}"
        errors.add(root, what, "id")
    return class_map


def split_folders(root: Place) -> dict[str, Place]:
    """Return the folders of the splits that exist, keyed by split.

    Raises:
        DataError: Two folders match one split, such as `val` and `valid`.
    """
    there = {folder.name.lower(): folder for folder in inner(root)}
    found = {}
    for split, names in SPLITS.items():
        known = [there[name] for name in names if name in there]
        if len(known) > 1:
            raise DataError(
                f"{root} has two folders for {split}: {', '.join(f.name for f in known)}",
                fix="keep one of them",
            )
        if known:
            found[split] = known[0]
    return found


def inner(folder: Place) -> list[Any]:
    """Return the subfolders of a folder, sorted, without hidden ones."""
    if not folder.is_dir():
        return []
    there: list[Any] = list(folder.iterdir())
    return sorted(p for p in there if p.is_dir() and not p.name.startswith("."))


def images_of(folder: Place, arrays: bool = True) -> list[Place]:
    """Return the images of a folder that are not hidden, sorted; see `image_names`."""
    names = [name for name in names_in(folder) if not name.startswith(".")]
    return [folder / name for name in image_names(names, arrays)]


def _images(folder: Place, errors: ErrorList) -> list[Place]:
    images, known = [], set(images_of(folder))
    there: list[Any] = list(folder.iterdir())
    for file in sorted(there):
        if file.name.startswith("."):
            continue
        if file.is_dir():
            errors.add(file, "a folder inside a class folder", "stray")
        elif file in known:
            images.append(file)
        else:
            what = f"not an image: expected one of the extensions {' '.join(sorted(ENDINGS))}"
            if file.suffix.lower() == ARRAY:
                what = "not an image: a NumPy file is one only in a folder without other images"
            errors.add(file, what, "stray")
    return images


def _look_beside(folder: Place, errors: ErrorList) -> None:
    """Add errors for images beside the class folders, which belong to no class."""
    for file in images_of(folder, arrays=False):
        if not file.is_dir():
            errors.add(file, "an image outside the class folders", "stray")
