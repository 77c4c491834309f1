"""Reader of labelImg's YOLO labels: text files and `classes.txt` beside the images."""

from __future__ import annotations

from typing import ClassVar

from visiongarden.data.dataset import Dataset
from visiongarden.data.file_names import names_in
from visiongarden.data.readers.build import CLASSES, class_names_in, images_in, no_split
from visiongarden.data.readers.fraction_boxes import row_of_text
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.readers.split_names import SPLIT_OF, one_per_split
from visiongarden.data.readers.yolo_yaml import has_yaml
from visiongarden.data.sample_table import located_in
from visiongarden.errors import DataError
from visiongarden.registry import register
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap


@register
class LabelImg(Reader):
    """labelImg's YOLO labels: one text file per image, and `classes.txt`, all in one folder.

    The folder may be divided into `train`, `val` and `test`. XML files of labelImg are read by
    `VOC`, its JSON files by `CreateML`.

    Example:
        >>> LabelImg().to_dict()
        {'type': 'LabelImg'}
    """

    files: ClassVar[str] = "labelImg: YOLO text files and classes.txt beside the images"
    annotations: ClassVar[frozenset[str]] = frozenset({"boxes"})

    def matches(self, source: Source) -> float:
        """Return 0.9 if there is a `classes.txt` beside images and their text files."""
        if source.root.is_dir() and has_yaml(source.root):
            return 0.0  # the YAML file of YOLO describes the files
        return 0.9 if _labeled(source.root) else 0.0

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the folders `train`, `val` and `test`; "train" without them."""
        return tuple(_folders(source.root))

    def read(self, source: Source, split: str) -> Dataset:
        """Return one split."""
        folders = _folders(source.root)
        if split not in folders:
            raise no_split(source.root, split, folders)
        folder, errors = folders[split], source.errors
        # The ids are positions in this list; `vg.read` matches other names with it by name.
        class_map = ClassMap(_names(source.root, folders))
        images = images_in(folder)
        rows = [
            row
            for image in images.values()
            if (row := row_of_text(image, image.with_suffix(".txt"), len(class_map), errors))
        ]
        texts = [name for name in names_in(folder) if name.endswith(".txt") and name != CLASSES]
        for name in texts:
            if name.removesuffix(".txt") not in images:
                errors.add(folder / name, "the label file has no image", "image")
        return Dataset.of_rows(
            class_map,
            rows,
            located_in(source.root),
            split=split,
            root=source.root,
            dropped=errors.dropped,
        )


def _folders(root: Place) -> dict[str, Place]:
    """Return the folder of each split.

    Raises:
        DataError: Two folders are those of one split, such as `val` and `valid`.
    """
    return one_per_split(root, _labeled(root))


def _labeled(root: Place) -> list[tuple[str, Place]]:
    """Return all folders with labels, each after its split."""
    if not root.is_dir():
        return []
    inner = [(split, root / name) for name, split in SPLIT_OF.items()]
    inner = [(split, folder) for split, folder in inner if _has_labels(folder, root)]
    return inner or ([("train", root)] if _has_labels(root, root) else [])


def _has_labels(folder: Place, root: Place) -> bool:
    names = set(names_in(folder))
    if CLASSES not in names and CLASSES not in names_in(root):
        return False
    return any(
        name.removesuffix(end) + ".txt" in names
        for name in names
        for end in (".jpg", ".jpeg", ".png", ".JPG", ".PNG", ".bmp")
        if name.endswith(end)
    )


def _names(root: Place, folders: dict[str, Place]) -> tuple[str, ...]:
    """Return the class names, which must be the same in all folders."""
    lists = {
        folder / CLASSES: names
        for folder in (root, *folders.values())
        if (names := class_names_in(folder))
    }
    if not lists:
        raise DataError(f"{root}: {CLASSES} is empty", rule="one class name per line")
    first, names = next(iter(lists.items()))
    for file, other in lists.items():
        if other != names:
            raise DataError(
                f"{file} lists other classes than {first}",
                rule=", ".join(names)[:200],
                received=", ".join(other)[:200],
            )
    return names
