"""YOLO txt: one file an image, one line an object, all numbers shares of the sides, 0 to 1.

A line is class, centre x, centre y, width, height; or class and three or more points x, y.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.config import load_yaml
from visiongarden.data import outlines
from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.faults import Faults
from visiongarden.data.place import Place
from visiongarden.data.read.build import (
    Label,
    example,
    images_in,
    names_in,
    no_split,
    read_text,
    size_of,
)
from visiongarden.data.read.class_lists import in_order, refuse_other_lists
from visiongarden.errors import DataError, UserError
from visiongarden.types import ClassMap, Example, ImageSize

YAML_KEYS = frozenset({"path", "train", "val", "valid", "test", "names", "nc", "kpt_shape"})
"""Keys of `data.yaml` that are read, or written from what is read; the others are kept."""
_KEYS = {"train": ("train",), "val": ("val", "valid"), "test": ("test",)}


def looks_like(path: Place) -> bool:
    """A YAML file, or a folder with one that has `names`."""
    if path.is_file():
        return path.suffix in {".yaml", ".yml"}
    return _yaml_of(path) is not None


def is_surely(path: Place) -> bool:
    """Whether there are folders of label files too: other formats may hold a YAML as well."""
    if path.is_file():
        return True
    return any(folder.name == "labels" for top in (path, *_inside(path)) for folder in _inside(top))


def _inside(folder: Place) -> list[Any]:
    return [item for item in folder.iterdir() if item.is_dir()]


def splits(path: Place) -> list[str]:
    """Names of the splits that the YAML file gives."""
    data = _opened(path)[1]
    return [split for split, keys in _KEYS.items() if any(data.get(key) for key in keys)]


def read(
    path: Place, split: str, class_names: tuple[str, ...] | None, faults: Faults
) -> DetectionDataset:
    """Reads one split; see `visiongarden.data.read`."""
    file, data = _opened(path)
    own = class_names if class_names and not data.get("names") else _names(file, data)
    pairs = list(_images(file, data, split, faults))
    if data.get("names"):
        refuse_other_lists(file, own, _lists(file, pairs))
    names = ClassMap(class_names or own)
    examples: Any = []
    for index, (image, labels) in enumerate(pairs):
        size = size_of(image, faults)
        if size is not None:
            examples.append(_example(image, labels, size, names, faults, index))
    examples, ids = in_order(examples, own, names.names)
    names = ClassMap(names.names, ids)
    extra = {str(key): value for key, value in data.items() if str(key) not in YAML_KEYS}
    return DetectionDataset(names, tuple(examples), split, path, faults.dropped, extra)


def _lists(file: Place, pairs: list[tuple[Place, Place | None]]) -> set[Place]:
    """Folders where tools put a list of the classes."""
    labels = {label.parent for _, label in pairs if label is not None}
    return {file.parent, *labels, *(folder.parent for folder in labels if folder != file.parent)}


def _example(
    image: Place, file: Place | None, size: ImageSize, names: ClassMap, faults: Faults, index: int
) -> Example:
    """The image with the boxes of its label file; without one it shows no object."""
    text, given = "", 0
    if file is not None:
        try:
            text = read_text(file)
        except DataError as error:
            faults.add_error(error, "unreadable")
            given = 1
    quick = None if faults.shift or given else _all_boxes(text, size, len(names))
    if quick is not None:
        faults.ids.update(quick[1].tolist())
        crowd = np.zeros(len(quick[0]), bool)
        return Example(*quick, path=image, image_id=index, size=size, crowd=crowd)
    labels = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            given += 1
            label = _label(f"{file}:{number}", line.split(), size, names, faults)
            labels += [label] if label else []
    return example(image, size, labels, faults, index, given)


def _all_boxes(text: str, size: ImageSize, count: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Boxes and classes of a file without a fault and without outlines; None of any other."""
    height, width = size
    boxes, classes = [], []
    for words in map(str.split, text.splitlines()):
        if not words:
            continue
        if len(words) != 5 or not words[0].isdecimal():
            return None
        try:
            index, (x, y, w, h) = int(words[0]), map(float, words[1:])
        except ValueError:
            return None
        left, right = (x - w / 2) * width, (x + w / 2) * width
        top, bottom = (y - h / 2) * height, (y + h / 2) * height
        # A comparison with NaN is False.
        if not (index < count and 0 <= left < right <= width and 0 <= top < bottom <= height):
            return None
        boxes.append((left, top, right, bottom))
        classes.append(index)
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, np.int32)


def _label(
    where: str, words: list[str], size: ImageSize, names: ClassMap, faults: Faults
) -> Label | None:
    drawn = len(words) >= 7 and len(words) % 2 == 1
    if len(words) != 5 and not drawn:
        faults.add(
            where,
            f"{len(words)} values, not 5: class, centre x, centre y, width, height; "
            "nor class and three points or more",
        )
        return None
    try:
        index = faults.shifted(int(words[0]))
        values = np.array([float(word) for word in words[1:]])
    except ValueError:
        faults.add(where, f"not numbers: {' '.join(words)[:80]}")
        return None
    faults.ids[index] += 1
    if not 0 <= index < len(names):
        last = len(names) - 1
        faults.add(
            where, f"class {index} is outside the class map, 0 to {last} ({len(names)})", "id"
        )
        return None
    if (values > 2).any():
        most = f"values up to {values.max():g}: pixels? they are shares, 0 to 1"
        faults.add(where, most, "pixels")
        return None
    sides = np.array([size[1], size[0]], np.float64)
    if not drawn:
        middle, half = values[:2] * sides, values[2:] * sides / 2
        return Label(where, (*(middle - half).tolist(), *(middle + half).tolist()), index)
    ring = (values.reshape(-1, 2) * sides).astype(np.float32)
    return Label(where, outlines.box_of((ring,)), index, outline=(ring,))


def _names(file: Place, data: Mapping[str, Any]) -> tuple[str, ...]:
    names = data.get("names")
    if isinstance(names, dict):
        keys = [int(k) if str(k).isdecimal() else -1 for k in names]
        if sorted(keys) != list(range(len(keys))):
            raise DataError(
                f"{file}: `names` is not numbered 0, 1, 2, …", received=str(list(names))
            )
        names = [name for _, name in sorted(zip(keys, names.values(), strict=True))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{file}: `names` lists no classes")
    said = data.get("nc")
    if said is not None and said != len(names):
        raise DataError(f"{file}: `nc` is {said}, `names` has {len(names)}")
    return tuple(str(name) for name in names)


def _images(
    file: Place, data: Mapping[str, Any], split: str, faults: Faults
) -> Iterator[tuple[Place, Place | None]]:
    """Images of a split, each with its label file, or None where it has none."""
    keys = _KEYS.get(split, (split,))
    value = next((data[key] for key in keys if data.get(key)), None)
    if value is None:
        raise no_split(file, split, [s for s in _KEYS if any(data.get(k) for k in _KEYS[s])])
    base = file.parent / str(data.get("path") or "")
    found: list[tuple[Place, Place | None]] = []
    for entry in value if isinstance(value, list) else [value]:
        found += _listed(file, [base / str(entry), file.parent / str(entry)], faults)
    for image, times in Counter(image for image, _ in found).items():
        if times > 1:
            faults.add(file, f"{image} stands {times} times in {split}", "listed-twice")
    return iter(found)


def _listed(file: Place, places: list[Place], faults: Faults) -> list[tuple[Place, Place | None]]:
    for place in places:
        if place.is_dir():
            return _in_folder(place, faults)
        if place.is_file() and place.suffix == ".txt":
            lines = [line.strip() for line in read_text(place).split("\n") if line.strip()]
            images = [place.parent / line for line in lines]
            labels = [(_labels_of(image.parent) / f"{image.stem}.txt") for image in images]
            return [
                (image, label if label.exists() else None)
                for image, label in zip(images, labels, strict=True)
            ]
    raise DataError(f"{file}: there is no {places[0]}", rule="a folder, or a .txt list of images")


def _in_folder(place: Place, faults: Faults) -> list[tuple[Place, Place | None]]:
    """Images of a folder and of those in it; a label file that belongs to none is a fault."""
    found: list[tuple[Place, Place | None]] = []
    for folder in _folders(place):
        images = images_in(folder)
        labels = _labels_of(folder)
        texts = {name for name in names_in(labels) if name.endswith(".txt")}
        wanted = {f"{stem}.txt" for stem in images}
        found += [
            (image, labels / f"{stem}.txt" if f"{stem}.txt" in texts else None)
            for stem, image in images.items()
        ]
        # Beside the images, or where tools put their list of names, a text may be anything.
        for name in sorted(texts - wanted - {"classes.txt"}) if labels != folder else []:
            faults.add(labels / name, "labels of an image that is not there", "image")
    return found


def _folders(place: Place) -> list[Place]:
    """A folder and all in it that may hold images, in order."""
    walked: list[Any]
    if isinstance(place, Path):
        walked = [Path(top) for top, _, _ in os.walk(place)]
    else:
        walked = [place, *(item for item in place.rglob("*") if item.is_dir())]
    inside = [folder for folder in walked if folder.name != "labels" and folder != place]
    return [place, *sorted(inside)]


def _labels_of(folder: Place) -> Place:
    """Where the label files of a folder's images lie."""
    parts = list(folder.parts)
    # The last `images` in the path: an outer folder may have that name too.
    for i in range(len(parts) - 1, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            return Path(*parts) if isinstance(folder, Path) else folder.with_parts(parts)
    return folder


def _opened(path: Place) -> tuple[Place, dict[str, Any]]:
    file = path if path.is_file() else _yaml_of(path)
    if file is None:
        raise DataError(f"{path} has no data.yaml", rule="names and splits stand in data.yaml")
    try:
        return file, _yaml(file)
    except UserError as error:
        what = error.what if isinstance(file, Path) else f"{file}: {error.what}"
        raise DataError(what, rule=error.rule, received=error.received) from error


def _yaml(file: Place) -> dict[str, Any]:
    # A text without a line's end could be taken for a file's name.
    return load_yaml(file if isinstance(file, Path) else read_text(file) + "\n")


def _yaml_of(root: Place) -> Place | None:
    for name in names_in(root):
        if not name.endswith((".yaml", ".yml")):
            continue
        try:
            if "names" in _yaml(root / name):
                return root / name
        except UserError:
            if name in ("data.yaml", "data.yml"):
                return root / name
    return None
