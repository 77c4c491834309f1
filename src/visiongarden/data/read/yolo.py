"""YOLO txt: one file an image, one line a box: class, centre x, centre y, width, height, 0 to 1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visiongarden.config import load_yaml
from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.faults import Faults
from visiongarden.data.read.build import Label, example, images_in, no_split, read_text, size_of
from visiongarden.errors import DataError, UserError
from visiongarden.types import ClassMap, ImageSize

_KEYS = {"train": ("train",), "val": ("val", "valid"), "test": ("test",)}


def looks_like(path: Path) -> bool:
    """A YAML file, or a folder with one that has `names`."""
    if path.is_file():
        return path.suffix in {".yaml", ".yml"}
    return _yaml_of(path) is not None


def read(
    path: Path, split: str, class_names: tuple[str, ...] | None, faults: Faults
) -> DetectionDataset:
    """Reads one split; see `visiongarden.data.read`."""
    file = path if path.is_file() else _yaml_of(path)
    if file is None:
        raise DataError(f"{path} has no data.yaml", rule="names and splits stand in data.yaml")
    try:
        data = load_yaml(file)
    except UserError as error:
        raise DataError(error.what, rule=error.rule, received=error.received) from error
    names = ClassMap(class_names or _names(file, data))
    examples = []
    for index, image in enumerate(_images(file, data, split, faults)):
        size = size_of(image, faults)
        if size is None:
            continue
        labels = _labels(_label_file(image), size, names, faults)
        examples.append(example(image, size, labels, faults, index))
    return DetectionDataset(names, tuple(examples), split, path, faults.dropped)


def _labels(file: Path, size: ImageSize, names: ClassMap, faults: Faults) -> list[Label]:
    if not file.exists():
        return []  # the format's way to say that there is no object
    try:
        lines = read_text(file).splitlines()
    except DataError as error:
        faults.lines.append(error.what)
        return []
    labels = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            label = _label(f"{file}:{number}", line.split(), size, names, faults)
            labels += [label] if label else []
    return labels


def _label(
    where: str, words: list[str], size: ImageSize, names: ClassMap, faults: Faults
) -> Label | None:
    if len(words) != 5:
        faults.add(where, f"{len(words)} values, not 5: class, centre x, centre y, width, height")
        return None
    try:
        index = int(words[0])
        x, y, w, h = map(float, words[1:])
    except ValueError:
        faults.add(where, f"not numbers: {' '.join(words)[:80]}")
        return None
    if not 0 <= index < len(names):
        faults.add(
            where, f"class {index} is outside the class map, 0 to {len(names) - 1} ({len(names)})"
        )
        return None
    if any(v > 2 for v in (x, y, w, h)):
        faults.add(where, f"values up to {max(x, y, w, h):g}: pixels? they are shares, 0 to 1")
        return None
    height, width = size
    corners = (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height
    return Label(where, corners, index)


def _names(file: Path, data: Mapping[str, Any]) -> tuple[str, ...]:
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


def _images(file: Path, data: Mapping[str, Any], split: str, faults: Faults) -> list[Path]:
    keys = _KEYS.get(split, (split,))
    value = next((data[key] for key in keys if data.get(key)), None)
    if value is None:
        raise no_split(file, split, [s for s in _KEYS if any(data.get(k) for k in _KEYS[s])])
    base = file.parent / str(data.get("path") or "")
    images: list[Path] = []
    for entry in value if isinstance(value, list) else [value]:
        images += _listed(file, [base / str(entry), file.parent / str(entry)], faults)
    for image, times in Counter(images).items():
        if times > 1:
            faults.add(file, f"{image} stands {times} times in {split}")
    return images


def _listed(file: Path, places: list[Path], faults: Faults) -> list[Path]:
    for place in places:
        if place.is_dir():
            return _in_folder(place, faults)
        if place.is_file() and place.suffix == ".txt":
            return [place.parent / line for line in read_text(place).split("\n") if line.strip()]
    raise DataError(f"{file}: there is no {places[0]}", rule="a folder, or a .txt list of images")


def _in_folder(place: Path, faults: Faults) -> list[Path]:
    """Images of a folder and of those in it; a label file that belongs to none is a fault."""
    found: list[Path] = []
    for folder in [
        place,
        *sorted(p for p in place.rglob("*") if p.is_dir() and p.name != "labels"),
    ]:
        images = list(images_in(folder).values())
        found += images
        labels = _label_file(folder / "any").parent
        wanted = {_label_file(image) for image in images}
        # Beside the images, or where tools put their list of names, a text may be anything.
        for text in sorted(labels.glob("*.txt")) if labels != folder else []:
            if text not in wanted and text.name != "classes.txt":
                faults.add(text, "labels of an image that is not there")
    return found


def _label_file(image: Path) -> Path:
    parts = list(image.parts)
    # The last `images` in the path: an outer folder may have that name too.
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _yaml_of(root: Path) -> Path | None:
    for file in sorted([*root.glob("*.yaml"), *root.glob("*.yml")]) if root.is_dir() else []:
        try:
            if "names" in load_yaml(file):
                return file
        except UserError:
            if file.stem == "data":
                return file
    return None
