"""The YAML file of a YOLO dataset (splits, class names, `kpt_shape`), or its `classes.txt`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visiongarden.config import load_yaml
from visiongarden.data.file_names import names_in
from visiongarden.data.readers.build import CLASSES, class_names_in, read_text
from visiongarden.data.readers.keypoint_scheme import pairs_of
from visiongarden.data.readers.yolo_lines import KptShape
from visiongarden.data.rows import NO_SCHEME, KeypointScheme
from visiongarden.errors import DataError, UserError
from visiongarden.storage.place import Place

KEYS = {"train": ("train",), "val": ("val", "valid"), "test": ("test",)}
_USUAL = ("data.yaml", "data.yml")
_MAX_TEXTS = 2000
"""Maximum number of label files that are read to count the classes for the fix of an error."""


@dataclass(frozen=True)
class Layout:
    """The file that describes a dataset, and its content.

    Attributes:
        file: The YAML file or `classes.txt`.
        data: Keys and values of the file.
    """

    file: Place
    data: Mapping[str, Any]

    @property
    def root(self) -> Place:
        """Return the folder to which paths are relative, unless the key `path` names another."""
        return self.file.parent

    def entries(self, split: str) -> list[str]:
        """Return the folders and lists of a split; empty if the file does not define the split."""
        keys = KEYS.get(split, (split,))
        value = next((self.data[key] for key in keys if self.data.get(key)), None)
        return (
            [] if value is None else list(map(str, value if isinstance(value, list) else [value]))
        )

    def splits(self) -> list[str]:
        """Return the names of the splits."""
        return [split for split in KEYS if self.entries(split)]

    def names(self) -> tuple[str, ...]:
        """Return the names of the classes, in the order of their ids.

        Raises:
            DataError: `names` is not a list of names, or its length differs from `nc`.
        """
        names = self.data.get("names")
        if isinstance(names, dict):
            keys = [int(k) if str(k).isdecimal() else -1 for k in names]
            if sorted(keys) != list(range(len(keys))):
                raise DataError(
                    f"{self.file}: the keys of `names` are not 0, 1, 2, …",
                    received=str(list(names)),
                )
            names = [name for _, name in sorted(zip(keys, names.values(), strict=True))]
        if not isinstance(names, list) or not names:
            raise DataError(f"{self.file}: `names` lists no classes")
        self._check_count(len(names))
        return tuple(str(name) for name in names)

    def _check_count(self, names: int) -> None:
        count = self.data.get("nc")
        if isinstance(count, str) and count.strip().isdecimal():
            count = int(count)  # a quoted number is unambiguous
        if count is not None and not isinstance(count, (int, float)):
            raise DataError(
                f"{self.file}: `nc` is {count!r:.60}", rule=f"the number of `names`: nc: {names}"
            )
        if count is not None and count != names:
            raise DataError(f"{self.file}: `nc` is {count}, but `names` has {names} classes")

    def kpt_shape(self) -> KptShape | None:
        """Return (number of keypoints, values per keypoint) of pose labels; None for other labels.

        Raises:
            DataError: `kpt_shape` is not a list of two valid numbers.
        """
        shape = self.data.get("kpt_shape")
        if shape is None:
            return None
        whole = isinstance(shape, list) and all(type(value) is int for value in shape)
        if not whole or len(shape) != 2 or shape[0] < 1 or shape[1] not in (2, 3):
            raise DataError(
                f"{self.file}: `kpt_shape` is {shape!r:.60}",
                rule="[number of keypoints, 2 or 3 values per keypoint]",
                fix="kpt_shape: [17, 3]",
            )
        return shape[0], shape[1]

    def scheme(self) -> KeypointScheme:
        """Return the meaning of the keypoints, from `kpt_names` and `flip_idx`.

        Raises:
            DataError: One of the two is not valid.
        """
        shape = self.kpt_shape()
        if shape is None:
            return NO_SCHEME
        names = self._kpt_names(shape[0])
        flip = self.data.get("flip_idx")
        if flip is None or flip == []:
            return KeypointScheme(names, pairs_of(names))
        count = shape[0]
        valid = isinstance(flip, list) and len(flip) == count
        # A mirror that is applied twice changes nothing.
        if not valid or not all(
            type(i) is int and 0 <= i < count and flip[i] == index for index, i in enumerate(flip)
        ):
            raise DataError(
                f"{self.file}: `flip_idx` is {flip!r:.80}",
                rule=f"the index of the mirrored point for each of {count} points",
                fix="flip_idx: [1, 0]  # of a left and a right point",
            )
        return KeypointScheme(names, tuple((i, j) for i, j in enumerate(flip) if i < j))

    def _kpt_names(self, count: int) -> tuple[str, ...]:
        """Return the names of the keypoints: a list, or one for each class; () without any."""
        given = self.data.get("kpt_names")
        lists = list(given.values()) if isinstance(given, dict) else [given]
        if given is None or any(names != lists[0] for names in lists[1:]):
            return ()
        names = lists[0] if lists else None
        if not isinstance(names, list) or len(names) != count or len(set(map(str, names))) < count:
            raise DataError(
                f"{self.file}: `kpt_names` is {given!r:.80}",
                rule=f"{count} different names, or a list of them for each class",
            )
        return tuple(map(str, names))


def layout_of(path: Place) -> Layout:
    """Return the description of the dataset at a path.

    Raises:
        DataError: No file or more than one describes the dataset, or the YAML file is not valid.
    """
    file = path if path.is_file() else _file_in(path)
    if file is None:
        raise _undescribed(path)
    if file.name == CLASSES:
        return Layout(file, {"names": list(class_names_in(path) or ()), **_folders(path)})
    try:
        return Layout(file, _yaml(file))
    except UserError as error:
        what = error.what if isinstance(file, Path) else f"{file}: {error.what}"
        raise DataError(what, rule=error.rule, received=error.received) from error


def is_described(path: Place) -> bool:
    """Return whether a folder contains a dataset's YAML file, or at least YOLO labels."""
    return has_yaml(path) or bool(_folders(path))


def has_yaml(path: Place) -> bool:
    """Return whether a folder contains at least one YAML file that describes a dataset."""
    return bool(_yaml_files(path))


def _yaml_files(root: Place) -> list[str]:
    """Return the YAML files that name classes.

    `data.yaml` alone is returned if it names classes or cannot be parsed.
    """
    names = names_in(root, ".yaml", ".yml")
    usual = next((name for name in _USUAL if name in names), None)
    if usual is not None and _names_classes(root / usual, unreadable=True):
        return [usual]
    return [name for name in names if _names_classes(root / name)]


def _file_in(root: Place) -> Place | None:
    found = _yaml_files(root)
    if len(found) > 1:
        raise DataError(
            f"{root} has {len(found)} YAML files with class names: {', '.join(found)}",
            rule="one data.yaml, or the path of the YAML file",
            fix=f"use the path of the file: {shlex.quote(str(root / found[0]))}"
            if isinstance(root, Path)
            else "rename the right file to data.yaml",
        )
    if found:
        return root / found[0]
    # Label Studio exports images/, labels/ and classes.txt, without a YAML file.
    return root / CLASSES if (root / CLASSES).is_file() and _folders(root) else None


def _names_classes(file: Place, unreadable: bool = False) -> bool:
    try:
        return "names" in _yaml(file)
    except UserError:
        return unreadable


def _yaml(file: Place) -> dict[str, Any]:
    # `load_yaml` takes a single line that ends with .yaml for a file name, hence the line break.
    return load_yaml(file if isinstance(file, Path) else read_text(file) + "\n")


def _folders(root: Place) -> dict[str, str]:
    """Return the image folder of each split of a dataset that has YOLO labels but no YAML file."""
    if not root.is_dir():
        return {}
    found: dict[str, str] = {}
    for split, keys in KEYS.items():
        for key in keys:
            for images, labels in (
                (f"images/{key}", f"labels/{key}"),
                (f"{key}/images", f"{key}/labels"),
            ):
                if split not in found and _texts(root / labels) and names_in(root / images):
                    found[split] = images
    if not found and _texts(root / "labels") and names_in(root / "images"):
        found["train"] = "images"
    return found


def _texts(folder: Place) -> list[str]:
    return [name for name in names_in(folder, ".txt") if name != CLASSES]


def _undescribed(root: Place) -> DataError:
    """Return the error for a folder without a YAML file; its fix writes the file where possible."""
    folders = _folders(root)
    if not folders:
        return DataError(f"{root} has no data.yaml", rule="a data.yaml with class names and splits")
    labels = [root / (part.replace("images", "labels")) for part in folders.values()]
    count = _count_of_classes([folder / name for folder in labels for name in _texts(folder)])
    lines = [f"{split}: {folder}" for split, folder in folders.items()]
    lines.append(f"names: [{', '.join(f'class{i}' for i in range(count))}]")
    text = "\\n".join(lines)
    return DataError(
        f"{root} has YOLO labels without data.yaml",
        rule="a data.yaml with class names and splits, or a classes.txt with one name per line",
        fix=f"printf '{text}\\n' > {shlex.quote(str(root / 'data.yaml'))}"
        if isinstance(root, Path)
        else f"add data.yaml: {'; '.join(lines)}",
    )


def _count_of_classes(files: list[Place]) -> int:
    highest = 0
    for file in files[:_MAX_TEXTS]:
        try:
            words = [line.split()[0] for line in read_text(file).splitlines() if line.strip()]
        except DataError:
            continue
        ids = [int(word) for word in words if word.isdecimal() and len(word) < 4]
        highest = max([highest, *ids])
    return highest + 1
