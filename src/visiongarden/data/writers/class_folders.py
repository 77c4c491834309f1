"""Writer of class folders; image files are copied unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from visiongarden.data.dataset import Dataset
from visiongarden.data.image_samples import classes_of
from visiongarden.data.writers.checked import CheckedWriter
from visiongarden.data.writers.images import Splits, image_bytes, name_of, with_ending
from visiongarden.data.writers.lost import Lost
from visiongarden.data.writers.splits import one_map, parts_of, write_classes, write_file
from visiongarden.errors import UserError
from visiongarden.registry import register


@register
class ClassFoldersWriter(CheckedWriter):
    """Writer of `<split>/<class>/`, and of `classes.txt` if the folders alone define no order.

    Each image must have exactly one class.
    """

    format: ClassVar[str] = "folders"
    reader: ClassVar[str] = "ClassFolders"
    fields: ClassVar[frozenset[str]] = frozenset({"labels"})

    def fill(self, splits: Splits, folder: Path, lost: Lost) -> None:
        """Write the files; see `CheckedWriter.fill`."""
        names = one_map(splits).names
        classes = {split: _classes(dataset) for split, dataset in splits.items()}
        _refuse_untrained(splits, classes)
        used = {names[index] for found in classes.values() for index in found}
        if tuple(sorted(used)) != names:
            write_classes(names, folder)
        for split, dataset in splits.items():
            written = lost.names.setdefault(split, [])
            for index, class_index in enumerate(classes[split]):
                row = dataset.row(index)
                raw = image_bytes(row)
                name = with_ending(name_of(row, index), raw)
                written.append(name)
                write_file(folder, *parts_of(split), names[class_index], name, content=raw)
                if len(row.classes):
                    lost.of(name, ["the objects of the image"])


def _classes(dataset: Dataset) -> list[int]:
    """Return the class of each image.

    Raises:
        UserError: The labels are no classes, or an image has no class or several.
    """
    if dataset.label_map is not None:
        raise UserError(
            "the labels of the images are values, not classes",
            rule="one class for each image",
            received=", ".join(dataset.label_map.names)[:200],
        )
    found = classes_of(dataset.samples)
    for index in (found < 0).nonzero()[0][:1].tolist():
        raise UserError(
            f"{dataset.location(index)} cannot be stored in a class folder",
            rule="exactly one class for each image",
            received=f"labels {dataset[index].labels}",
        )
    return [int(index) for index in found]


def _refuse_untrained(splits: Splits, classes: dict[str, list[int]]) -> None:
    """Refuse a copy with a class that has no training image, because `read` would refuse it too.

    The hash that splits class folders can put all images of a small class into "val".
    """
    if "train" not in splits:
        return
    trained = set(classes["train"])
    for split, dataset in splits.items():
        missing = sorted({dataset.class_map.names[i] for i in set(classes[split]) - trained})
        if missing:
            raise UserError(
                f"{dataset.root}: all images of {', '.join(missing)} are in {split}",
                rule="train needs at least one image of each class",
                fix="create the folders train/ and val/, or add images of these classes",
            )
