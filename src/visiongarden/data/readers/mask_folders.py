"""Reader of image and mask folders, and of the file that names the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from visiongarden.config import load_yaml
from visiongarden.data.dataset import Dataset
from visiongarden.data.error_list import ErrorList
from visiongarden.data.readers.build import by_hash, images_in, no_split, read_text
from visiongarden.data.readers.class_folders import inner, split_folders, splits_by_hash
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.readers.split_names import NAMES_OF
from visiongarden.data.semantic_samples import MAX_ID, SemanticSamples
from visiongarden.errors import DataError, UserError
from visiongarden.registry import register
from visiongarden.storage.place import Place
from visiongarden.types import IGNORE, ClassMap

_IMAGES = ("images", "jpegimages", "image")
_MASKS = ("masks", "mask", "segmentationclass", "annotations", "labels")
_NAMES = ("classes.yaml", "classes.yml", "classes.json", "classes.txt")
_EXAMPLE = "classes.yaml:  classes: [background, road, tree]"


@register
class MaskFolders(Reader):
    """Reader of images and semantic masks.

    The layout is `images/train/a.jpg` beside `masks/train/a.png`; or `train/images` beside
    `train/masks`; or `images/` beside `masks/` without splits, divided 80/10/10 by a hash of the
    names; or Pascal VOC's `JPEGImages/`, `SegmentationClass/` and
    `ImageSets/Segmentation/train.txt`. `annotations/` (ADE20K) and `labels/` are mask folders too
    if they contain images.

    A mask is a PNG of the size of its image: gray or palette with ids as values, or RGB.
    `classes.yaml` (or .json, or .txt with one name per line) defines the meaning of the values:

        classes: [background, road, tree]                        # ids 0, 1, 2
        classes: {background: 0, road: 7, tree: 21}              # custom ids
        classes: {road: [128, 64, 128], tree: [107, 142, 35]}    # RGB masks
        ignore: [255]                                            # ignored in training, evaluation

    Class names that are given must equal those in the file, order included. The content of masks is
    checked when it is loaded.

    Example:
        >>> vg.read("roads", reader="MaskFolders")  # doctest: +SKIP
    """

    files: ClassVar[str] = "images/ beside masks/, with classes.yaml"
    annotations: ClassVar[frozenset[str]] = frozenset({"semantic"})

    def matches(self, source: Source) -> float:
        """Return 0.9 for images beside masks with a file that names classes; 0.5 without it."""
        path = source.root
        if not path.is_dir():
            return 0.0
        folders = (path, *split_folders(path).values())
        if not any(map(_look_like_two, folders)):
            return 0.0
        return 0.9 if any(_file_in(folder) for folder in folders) else 0.5

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the names of the splits; without folders or lists, a hash assigns the images."""
        root = source.root
        folders = split_folders(root)
        if folders:
            return tuple(folders)
        images, masks = _two(root)
        lists = _lists(root)
        if lists:
            # `trainval` of the original VOC is the union of `train` and `val`.
            both = {"train", "val", "trainval"} <= lists.keys()
            return tuple(split for split in lists if not (both and split == "trainval"))
        parts = tuple(split_folders(images))
        return parts or splits_by_hash({*images_in(images), *images_in(masks, arrays=False)})

    def is_divisible(self, source: Source) -> bool:
        """Return whether folders or lists define splits, so that no hash assigns the images."""
        return source.root.is_dir() and not is_split_by_hash(source.root)

    def read(self, source: Source, split: str) -> Dataset:
        """Read one split."""
        root, errors = source.root, source.errors
        if not root.is_dir():
            raise DataError(f"{root} is not a folder", rule="a folder of images and masks")
        images, masks = _pairs(root, split, errors)
        class_map, colors, ignored = _classes(root, split, source.class_names, errors)
        samples = SemanticSamples(class_map, images, masks, colors, ignored)
        return Dataset(class_map, samples, split, root)


def _look_like_two(folder: Place) -> bool:
    found = _two_of(folder)
    if found is None:
        return False
    if found[1].name.lower() in _MASKS[:2]:
        return True
    # Folders with the other names may also contain text annotations.
    return any(images_in(one, arrays=False) for one in (found[1], *inner(found[1])))


def is_split_by_hash(root: Place) -> bool:
    """Return whether neither folders nor lists define splits, so that a hash assigns the images."""
    return not (split_folders(root) or _lists(root) or split_folders(_two(root)[0]))


def _pairs(root: Place, split: str, errors: ErrorList) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return images and masks with equal names, sorted."""
    folders = split_folders(root)
    if folders:
        if split not in folders:
            raise no_split(root, split, folders)
        return _matched(*_two(folders[split]), errors)
    images, masks = _two(root)
    lists = _lists(root)
    if lists:
        if split not in lists:
            raise no_split(root, split, lists)
        lines = [line.strip() for line in read_text(lists[split]).split("\n")]
        names = list(dict.fromkeys(line for line in lines if line))
        return _matched(images, masks, errors, names)
    parts = split_folders(images)
    if parts:
        if split not in parts:
            raise no_split(root, split, parts)
        own = split_folders(masks).get(split)
        if own is None:
            raise DataError(
                f"{masks} has no split {split!r}",
                rule=f"the same split folders as in images, here {parts[split]}",
            )
        return _matched(parts[split], own, errors)
    if split not in NAMES_OF:
        raise no_split(root, split, NAMES_OF)
    both = sorted({*images_in(images), *images_in(masks, arrays=False)})
    return _matched(images, masks, errors, [name for name in both if by_hash(name) == split])


def _lists(root: Place) -> dict[str, Place]:
    """Return the file that lists the images of each split, if there are such files."""
    folder = root / "ImageSets" / "Segmentation"
    files: list[Any] = list(folder.glob("*.txt")) if folder.is_dir() else []
    return {file.stem: file for file in sorted(files)}


def _two_of(folder: Place) -> tuple[Place, Place] | None:
    there = {item.name.lower(): item for item in inner(folder)}
    images = next((there[name] for name in _IMAGES if name in there), None)
    masks = next((there[name] for name in _MASKS if name in there), None)
    return None if images is None or masks is None else (images, masks)


def _two(folder: Place) -> tuple[Place, Place]:
    found = _two_of(folder)
    if found is None:
        raise DataError(
            f"{folder} is not a dataset of masks",
            rule="images/ beside masks/",
            received=", ".join(item.name for item in inner(folder)) or "no folder",
        )
    return found


def _matched(
    images: Place, masks: Place, errors: ErrorList, names: list[str] | None = None
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    pictures, labels = images_in(images), images_in(masks, arrays=False)
    wanted = sorted(pictures.keys() | labels.keys()) if names is None else names
    pairs = []
    for name in wanted:
        if name not in pictures:
            errors.add(
                labels.get(name, masks / name),
                f"the image {images / name}.* does not exist",
                "pair",
            )
        elif name not in labels:
            errors.add(pictures[name], f"the mask {masks / name}.png does not exist", "pair")
        else:
            pairs.append((pictures[name], labels[name]))
    return tuple(image for image, _ in pairs), tuple(mask for _, mask in pairs)


_Classes = tuple[ClassMap, tuple[tuple[int, int, int], ...] | None, tuple[Any, ...]]


def _classes(
    root: Place, split: str, class_names: Sequence[str] | None, errors: ErrorList
) -> _Classes:
    """Return class map, colors and ignored values from the file in the root or the split folder."""
    own = split_folders(root).get(split)
    files = [file for folder in (root, own) if folder is not None and (file := _file_in(folder))]
    if not files:
        raise DataError(f"{root} has no file with class names", rule=_EXAMPLE)
    found, *others = (_read_classes(file) for file in files)
    if others and others[0] != found:
        what = f"the class names or their order differ from those in {files[0]}"
        errors.add(files[1], f"{what}: {', '.join(others[0][0].names)}", "class-map")
    if class_names is not None and tuple(class_names) != found[0].names:
        raise DataError(
            f"{files[0]}: the class names differ from `class_names`",
            rule=", ".join(class_names),
            received=", ".join(found[0].names),
        )
    return found


def _file_in(folder: Place) -> Place | None:
    return next((folder / name for name in _NAMES if (folder / name).is_file()), None)


def _read_classes(file: Place) -> _Classes:
    text = read_text(file)
    try:
        if file.suffix == ".txt":
            lines = [line.strip() for line in text.split("\n")]
            return _parse_classes(file, {"classes": [line for line in lines if line]})
        # JSON is valid YAML. `load_yaml` takes a single line that ends with .yaml for a file name,
        # hence the line break.
        return _parse_classes(file, load_yaml(text + "\n"))
    except DataError:
        raise
    except UserError as error:
        what = f"{file}: {error.what}"
        raise DataError(what, rule=error.rule, received=error.received) from error


def _parse_classes(file: Place, data: Mapping[str, Any]) -> _Classes:
    classes = data.get("classes")
    if isinstance(classes, list):
        classes = (
            {name: index for index, name in enumerate(classes)} if _distinct(classes) else None
        )
    if not isinstance(classes, Mapping) or not 1 < len(classes) <= IGNORE:
        raise DataError(
            f"{file}: `classes` is not a valid list of classes",
            rule=f"2 to {IGNORE} different names: a list, or a mapping to ids or colors",
            fix=_EXAMPLE,
        )
    values, names = list(classes.values()), tuple(map(str, classes))
    ignored = data.get("ignore", [IGNORE])
    if not isinstance(ignored, list):
        raise DataError(f"{file}: `ignore` is not a list", fix="ignore: [255]")
    if all(map(_is_id, values)) and all(map(_is_id, ignored)):
        both = sorted(set(values) & set(ignored)) if "ignore" in data else []
        if both:
            raise DataError(f"{file}: id {both[0]} is both a class and ignored")
        return ClassMap(names, tuple(values)), None, tuple(ignored)
    colors = ignored if "ignore" in data else []
    if all(map(_is_color, values)) and all(map(_is_color, colors)):
        if len({tuple(value) for value in values}) < len(values):
            raise DataError(f"{file}: two classes have the same color")
        return ClassMap(names), tuple(map(tuple, values)), tuple(map(tuple, colors))
    raise DataError(
        f"{file}: the values of `classes` are neither all ids nor all colors",
        rule=f"integers from 0 to {MAX_ID}, or [red, green, blue] from 0 to 255",
    )


def _distinct(names: list[Any]) -> bool:
    return all(isinstance(name, (str, int)) for name in names) and len(set(names)) == len(names)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_ID


def _is_color(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_is_id(v) and v < 256 for v in value)
