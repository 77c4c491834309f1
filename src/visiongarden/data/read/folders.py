"""Folders of classes: one folder a class, in one folder a split, or without splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from visiongarden.data.faults import Faults
from visiongarden.data.labelled_images import ClassificationDataset
from visiongarden.data.read.build import ENDINGS, by_hash, no_split
from visiongarden.errors import DataError
from visiongarden.types import ClassMap

SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_OTHER = {"images", "masks", "labels", "annotations", "jpegimages"}
"""Folders that belong to other formats, and are no classes."""


def looks_like(path: Path) -> bool:
    """A folder of folders of images, or of such folders for splits."""
    if not path.is_dir():
        return False
    splits = split_folders(path)
    classes = [c for folder in (splits.values() or [path]) for c in _folders(folder)]
    if not classes or any(c.name.lower() in _OTHER for c in classes):
        return False
    return any(file.suffix.lower() in ENDINGS for folder in classes for file in folder.iterdir())


def read_folders(
    path: str | Path, split: str = "train", class_names: Sequence[str] | None = None
) -> ClassificationDataset:
    """Reads one split of a data set of class folders.

    `train/cat/*.jpg`, `val/cat/*.jpg` (or `valid`, `validation`) and `test/cat/*.jpg`; or
    `cat/*.jpg` alone, split 80/10/10 by a hash of the file names. Names of the classes are those of
    the folders of all splits, sorted. Hidden files are passed over; any other file that is no image
    is a fault.

    Args:
        path: folder of the data set.
        split: "train", "val", "test", or the name of its folder.
        class_names: the class map, instead of the folders' names.

    Raises:
        DataError: names each fault; nothing is left out in silence.
    """
    root = Path(path)
    if not root.is_dir():
        raise DataError(f"there is no data set {root}", fix="check the path")
    try:
        return _read(root, split, class_names)
    except OSError as error:
        raise DataError(f"{root} cannot be read", received=str(error)[:200]) from error


def _read(root: Path, split: str, class_names: Sequence[str] | None) -> ClassificationDataset:
    faults = Faults(root)
    folders = split_folders(root)
    if folders and split not in folders and not (root / split).is_dir():
        raise no_split(root, split, folders)
    own = folders.get(split, root / split) if folders else root
    found = {folder.name: _images(folder, faults) for folder in _folders(own)}
    names = {folder.name for one in folders.values() for folder in _folders(one)} | set(found)
    if not names:
        raise DataError(
            f"{own} holds no class",
            rule="a folder for each class, with its images: train/cat/*.jpg",
        )
    class_map = ClassMap(tuple(class_names or sorted(names)))
    for name in sorted(names - set(class_map.names)):
        faults.add(root, f"class {name!r} is not in the class map: {', '.join(class_map.names)}")
    learned = {folder.name for folder in _folders(folders.get("train", own))}
    for name in sorted(set(found) - learned):
        faults.add(own / name, "a class that train/ does not have cannot be learned")
    if not folders:
        if split not in SPLITS:
            raise no_split(root, split, SPLITS)
        found = {
            name: [image for image in images if by_hash(f"{name}/{image.name}") == split]
            for name, images in found.items()
        }
    faults.raise_if_any()
    pairs = [(image, class_map.names.index(name)) for name in found for image in found[name]]
    if not pairs:
        raise DataError(f"{root}: split {split!r} has no image", rule="one image at least")
    paths, classes = zip(*pairs, strict=True)
    return ClassificationDataset(class_map, paths, classes, split, root)


def split_folders(root: Path) -> dict[str, Path]:
    """Split -> its folder, of those that are there."""
    there = {folder.name.lower(): folder for folder in _folders(root)}
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


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _images(folder: Path, faults: Faults) -> list[Path]:
    images = []
    for file in sorted(folder.iterdir()):
        if file.name.startswith("."):
            continue
        if file.is_dir():
            faults.add(file, "a folder inside the folder of a class")
        elif file.suffix.lower() in ENDINGS:
            images.append(file)
        else:
            faults.add(file, f"no image: its name ends in none of {' '.join(sorted(ENDINGS))}")
    return images
