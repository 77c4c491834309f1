"""Folders of images and of masks, and the file that names the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visiongarden.config import load_yaml
from visiongarden.data.faults import Faults
from visiongarden.data.masks import MOST_ID, SegmentationDataset
from visiongarden.data.read.build import by_hash, images_in, no_split, read_text
from visiongarden.data.read.folders import SPLITS, split_folders
from visiongarden.errors import DataError, UserError
from visiongarden.types import IGNORE, ClassMap

_IMAGES = ("images", "jpegimages", "image")
_MASKS = ("masks", "mask", "segmentationclass", "annotations", "labels")
_NAMES = ("classes.yaml", "classes.yml", "classes.json", "classes.txt")
_EXAMPLE = "classes.yaml:  classes: [background, road, tree]"


def looks_like(path: Path) -> bool:
    """A folder with `images` and `masks`, or with splits that have them."""
    if not path.is_dir():
        return False
    return any(
        (folder / "images").is_dir() and (folder / "masks").is_dir()
        for folder in (path, *split_folders(path).values())
    )


def read_masks(
    path: str | Path, split: str = "train", class_names: Sequence[str] | None = None
) -> SegmentationDataset:
    """Reads one split of a data set of images and semantic masks.

    `images/train/a.jpg` beside `masks/train/a.png`; or `train/images` beside `train/masks`; or
    `images/` beside `masks/` without splits, divided 80/10/10 by a hash of the names; or Pascal
    VOC's `JPEGImages/`, `SegmentationClass/` and `ImageSets/Segmentation/train.txt`. `annotations/`
    (ADE20K) and `labels/` are masks too where they hold images.

    A mask is a PNG of the size of its image: grey or palette, whose values are ids, or RGB.
    `classes.yaml` (or .json, .txt with a name a line) says what the values mean:

        classes: [background, road, tree]                        # ids 0, 1, 2
        classes: {background: 0, road: 7, tree: 21}              # ids of the files' own
        classes: {road: [128, 64, 128], tree: [107, 142, 35]}    # RGB masks
        ignore: [255]                                            # neither trained on nor judged

    Args:
        path: folder of the data set.
        split: "train", "val", "test", or the name of its folder or list.
        class_names: the class map that the file must give, in this order.

    Raises:
        DataError: no such folders, an image without a mask or a mask without an image, classes that
            are not sound. What is inside the masks is looked at when they are loaded.
    """
    root = Path(path)
    if not root.is_dir():
        raise DataError(f"there is no data set {root}", fix="check the path")
    try:
        faults = Faults(root)
        images, masks = _pairs(root, split, faults)
        faults.raise_if_any()
        class_map, colours, ignored = _classes(root, class_names)
    except OSError as error:
        raise DataError(f"{root} cannot be read", received=str(error)[:200]) from error
    if not images:
        raise DataError(f"{root}: split {split!r} has no image", rule="one image at least")
    return SegmentationDataset(class_map, images, masks, colours, ignored, split, root)


def _pairs(root: Path, split: str, faults: Faults) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Images and masks of one name, in order of the names."""
    folders = split_folders(root)
    if folders:
        if split not in folders:
            raise no_split(root, split, folders)
        images, masks = _two(folders[split])
        return _matched(images, masks, None, faults)
    images, masks = _two(root)
    listed = root / "ImageSets" / "Segmentation"
    if listed.is_dir():
        lists = {file.stem: file for file in sorted(listed.glob("*.txt"))}
        if split not in lists:
            raise no_split(root, split, lists)
        lines = [line.strip() for line in read_text(lists[split]).split("\n")]
        return _matched(images, masks, [line for line in lines if line], faults)
    inner = split_folders(images)
    if inner:
        if split not in inner:
            raise no_split(root, split, inner)
        own = split_folders(masks).get(split)
        if own is None:
            raise DataError(f"{masks} has no split {split!r}", rule=f"as {inner[split]}")
        return _matched(inner[split], own, None, faults)
    if split not in SPLITS:
        raise no_split(root, split, SPLITS)
    found = _matched(images, masks, None, faults)
    chosen = [pair for pair in zip(*found, strict=True) if by_hash(pair[0].stem) == split]
    return tuple(image for image, _ in chosen), tuple(mask for _, mask in chosen)


def _two(folder: Path) -> tuple[Path, Path]:
    there = {p.name.lower(): p for p in folder.iterdir() if p.is_dir()}
    images = next((there[name] for name in _IMAGES if name in there), None)
    masks = next((there[name] for name in _MASKS if name in there), None)
    if images is None or masks is None:
        raise DataError(
            f"{folder} is no data set of masks",
            rule="images/ beside masks/",
            received=", ".join(sorted(there)) or "no folder",
        )
    return images, masks


def _matched(
    images: Path, masks: Path, names: list[str] | None, faults: Faults
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    pictures, labels = (
        {name: Path(str(file)) for name, file in images_in(folder).items()}
        for folder in (images, masks)
    )
    wanted = sorted(pictures.keys() | labels.keys()) if names is None else names
    pairs = []
    for name in wanted:
        if name not in pictures:
            faults.add(labels.get(name, masks / name), f"there is no image {images / name}.*")
        elif name not in labels:
            faults.add(pictures[name], f"there is no mask {masks / name}.png")
        else:
            pairs.append((pictures[name], labels[name]))
    return tuple(image for image, _ in pairs), tuple(mask for _, mask in pairs)


_Classes = tuple[ClassMap, tuple[tuple[int, int, int], ...] | None, tuple[Any, ...]]


def _classes(root: Path, class_names: Sequence[str] | None) -> _Classes:
    file = next((root / name for name in _NAMES if (root / name).is_file()), None)
    if file is None:
        raise DataError(f"{root} does not name its classes", rule=_EXAMPLE)
    if file.suffix == ".txt":
        lines = [line.strip() for line in read_text(file).split("\n")]
        said: Mapping[str, Any] = {"classes": [line for line in lines if line]}
    else:
        try:
            said = load_yaml(file.resolve()) if file.suffix != ".json" else _json(file)
        except UserError as error:
            raise DataError(error.what, rule=error.rule, received=error.received) from error
    try:
        found = _meaning(file, said)
    except UserError as error:
        raise (
            error if isinstance(error, DataError) else DataError(f"{file}: {error.what}")
        ) from None
    if class_names is not None and tuple(class_names) != found[0].names:
        raise DataError(
            f"{file} names other classes",
            rule=", ".join(class_names),
            received=", ".join(found[0].names),
        )
    return found


def _json(file: Path) -> Mapping[str, Any]:
    # JSON is YAML; the loader's limits hold for both.
    return load_yaml(read_text(file) + "\n")


def _meaning(file: Path, said: Mapping[str, Any]) -> _Classes:
    classes = said.get("classes")
    if isinstance(classes, list):
        classes = (
            {name: index for index, name in enumerate(classes)} if _distinct(classes) else None
        )
    if not isinstance(classes, Mapping) or not 1 < len(classes) <= IGNORE:
        raise DataError(
            f"{file}: `classes` names no classes",
            rule=f"2 to {IGNORE} different names, as a list, or each with its id or its colour",
            fix=_EXAMPLE,
        )
    values, names = list(classes.values()), tuple(map(str, classes))
    ignored = said.get("ignore", [IGNORE])
    if not isinstance(ignored, list):
        raise DataError(f"{file}: `ignore` is no list", fix="ignore: [255]")
    if all(map(_is_id, values)) and all(map(_is_id, ignored)):
        both = sorted(set(values) & set(ignored)) if "ignore" in said else []
        if both:
            raise DataError(f"{file}: id {both[0]} is a class and ignored")
        return ClassMap(names, tuple(values)), None, tuple(ignored)
    colours = ignored if "ignore" in said else []
    if all(map(_is_colour, values)) and all(map(_is_colour, colours)):
        if len({tuple(value) for value in values}) < len(values):
            raise DataError(f"{file}: two classes have one colour")
        return ClassMap(names), tuple(map(tuple, values)), tuple(map(tuple, colours))
    raise DataError(
        f"{file}: the classes' values are neither all ids nor all colours",
        rule=f"whole numbers from 0 to {MOST_ID}, or [red, green, blue] from 0 to 255",
    )


def _distinct(names: list[Any]) -> bool:
    return all(isinstance(name, (str, int)) for name in names) and len(set(names)) == len(names)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_ID


def _is_colour(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_is_id(v) and v < 256 for v in value)
