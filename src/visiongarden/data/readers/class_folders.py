"""Reader of class folders: one folder per class, inside one folder per split or without splits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from visiongarden.data.dataset import Dataset
from visiongarden.data.error_list import ErrorList
from visiongarden.data.file_names import ARRAY, ENDINGS, image_names, names_in
from visiongarden.data.image_samples import ClassSamples
from visiongarden.data.readers.build import CLASSES, by_hash, class_names_in, no_split
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.readers.split_names import NAMES_OF, SPLIT_OF, one_per_split
from visiongarden.errors import DataError
from visiongarden.registry import register
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap

_OTHER = {"images", "masks", "labels", "annotations", "jpegimages"}
"""Names of folders that belong to other formats and are not classes."""


@register
class ClassFolders(Reader):
    """Reader of class folders: one class for each image.

    The layout is `train/cat/*.jpg`, `val/cat/*.jpg` (or `valid`, `validation`) and
    `test/cat/*.jpg`; or `cat/*.jpg` alone, split 80/10/10 by a hash of the file names. The classes
    are the folder names of all splits, sorted, unless `classes.txt` in the root defines another
    order. Hidden files are skipped; any other file that is not an image is an error, and so is an
    image outside the class folders.

    Example:
        >>> vg.read("pets", reader="ClassFolders")  # doctest: +SKIP
    """

    files: ClassVar[str] = "train/cat/*.jpg, one folder for each class"
    lists_classes: ClassVar[bool] = False
    annotations: ClassVar[frozenset[str]] = frozenset({"labels"})

    def matches(self, source: Source) -> float:
        """Return 0.7 for folders of images, directly or in split folders; 0.55 for one class.

        Label files of another format are stronger evidence than the names of folders, and so is a
        table of labels than a single folder, which is that of its images.
        """
        path = source.root
        if not path.is_dir():
            return 0.0
        try:
            splits = split_folders(path)
        except DataError:
            return 0.7  # two folders for one split, which is reported when the dataset is read
        classes = [c for folder in (splits.values() or [path]) for c in inner(folder)]
        if not classes or any(c.name.lower() in _OTHER for c in classes):
            return 0.0
        names = {folder.name for folder in classes if images_of(folder)}
        return 0.0 if not names else 0.55 if len(names) == 1 else 0.7

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the names of the splits; without split folders, those of a hash of the names."""
        root = source.root
        found = split_folders(root)
        if found:
            return tuple(found)
        images = ((folder, file) for folder in inner(root) for file in images_of(folder))
        return splits_by_hash(_key(folder, file) for folder, file in images)

    def is_divisible(self, source: Source) -> bool:
        """Return whether there are split folders; without them, a hash assigns the images."""
        return source.root.is_dir() and bool(split_folders(source.root))

    def read(self, source: Source, split: str) -> Dataset:
        """Read one split."""
        root, errors = source.root, source.errors
        if not root.is_dir():
            raise DataError(f"{root} is not a folder", rule="a folder of class folders")
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
        class_map = _class_map(root, own, names, source.class_names, errors)
        if folders:
            _check_learned(folders.get("train", own), own, found, errors)
        else:
            if split not in NAMES_OF:
                raise no_split(root, split, NAMES_OF)
            found = {
                name: [image for image in images if by_hash(_key(own / name, image)) == split]
                for name, images in found.items()
            }
        known = [name for name in found if name in class_map.by_name]
        pairs = [(image, class_map.by_name[name]) for name in known for image in found[name]]
        paths, classes = zip(*pairs, strict=True) if pairs else ((), ())
        return Dataset(class_map, ClassSamples(class_map, paths, classes), split, root)


def _check_learned(
    train: Place, own: Place, found: Mapping[str, list[Place]], errors: ErrorList
) -> None:
    """Add an error for each class of a split that has no image for training."""
    learned = {f.name for f in inner(train) if images_of(f)}
    for name in sorted(name for name in set(found) - learned if found[name]):
        what = "the class has no image in train/ and cannot be learned"
        errors.add(own / name, what, "split-class")


def splits_by_hash(names: Iterable[str]) -> tuple[str, ...]:
    """Return the splits to which a hash of their names assigns files, in the usual order."""
    found = {by_hash(name) for name in names}
    return tuple(split for split in NAMES_OF if split in found)


def is_split_by_hash(root: Place) -> bool:
    """Return whether the dataset has no split folders, so that a hash assigns the images."""
    return not split_folders(root)


def class_folders(root: Place, split: str) -> list[Any]:
    """Return the class folders of a split."""
    folders = split_folders(root)
    return inner(folders.get(split, root / split) if folders else root)


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
    return one_per_split(
        root, ((split, there[name]) for name, split in SPLIT_OF.items() if name in there)
    )


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
