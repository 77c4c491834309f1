"""Render contact sheets of augmented training images with their labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from visiongarden.config import Value, apply_overrides, load_yaml
from visiongarden.data.classification_loader import ClassificationLoader
from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.labeled_images import ClassificationDataset
from visiongarden.data.loader import Loader
from visiongarden.data.masks import SegmentationDataset
from visiongarden.data.readers import AnyDataset, read
from visiongarden.data.segmentation_loader import SegmentationLoader
from visiongarden.drawing.annotations import draw_classes, draw_example, draw_mask
from visiongarden.errors import UserError, option
from visiongarden.storage import atomic_write
from visiongarden.transforms import (
    Augmentation,
    ClassificationAugmentation,
    SegmentationAugmentation,
)
from visiongarden.types import ClassMap, Example, ImageSize

_GAP = 6


def contact_sheet(
    dataset: AnyDataset,
    image_size: ImageSize,
    augmentation: Value | None = None,
    count: int = 16,
    columns: int = 4,
    seed: int = 0,
) -> np.ndarray:
    """Render the first images of an epoch with their labels, as the model receives them.

    Args:
        dataset: dataset of one split.
        image_size: (height, width) of each image in pixels.
        augmentation: augmentation for the task of the dataset; None shows the images as in
            evaluation.
        count: number of images; a shorter epoch is followed by the next one.
        columns: number of images in a row.
        seed: seed of the order and the augmentation.

    Returns:
        uint8 RGB sheet with white gaps of 6 pixels around the images.

    Raises:
        DataError: an image cannot be decoded.
    """
    # All cells of the grid have the same size, so the size of batches does not vary here.
    augmentation = augmentation and augmentation.replace(multi_scale=0)
    kind = _SHOWN[type(dataset)]
    loader = kind.loader(
        dataset, image_size, 1, augmentation, shuffle=augmentation is not None, seed=seed
    )
    cells = []
    for number in range(count):
        # Beyond the end of an epoch, the next epoch shows the images with other random numbers.
        epoch, place = divmod(number, len(dataset))
        cells.append(kind.draw(loader.finished(epoch, place), dataset.class_map))
    return _joined(cells, min(columns, count))


@dataclass(frozen=True)
class _Shown:
    """Loader and augmentation of a type of dataset, and a function that draws one example."""

    loader: Any
    augmentation: type[Value]
    draw: Callable[[Any, ClassMap], np.ndarray]


def _draw_boxes(example: Example, class_map: ClassMap) -> np.ndarray:
    return draw_example(np.asarray(example.image), example, class_map)


_SHOWN: dict[type, _Shown] = {
    DetectionDataset: _Shown(Loader, Augmentation, _draw_boxes),
    ClassificationDataset: _Shown(
        ClassificationLoader,
        ClassificationAugmentation,
        lambda row, names: draw_classes(row[0], row[1], names),
    ),
    SegmentationDataset: _Shown(
        SegmentationLoader,
        SegmentationAugmentation,
        lambda row, names: draw_mask(row[0], row[1], names),
    ),
}


def _joined(cells: list[np.ndarray], columns: int) -> np.ndarray:
    height, width = cells[0].shape[:2]
    rows = -(-len(cells) // columns)
    shape = (rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3)
    sheet = np.full(shape, 255, np.uint8)
    for number, cell in enumerate(cells):
        top = _GAP + (number // columns) * (height + _GAP)
        left = _GAP + (number % columns) * (width + _GAP)
        sheet[top : top + height, left : left + width] = cell
    return sheet


def save_sheet(sheet: np.ndarray, path: str | Path) -> Path:
    """Write a sheet as a .png or .jpg file, atomically.

    Raises:
        UserError: the suffix is another one.
    """
    path = Path(path)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UserError(
            f"{path}: not a supported image format", rule=".png or .jpg", fix="sheet.png"
        )
    return atomic_write(path, cv2.imencode(path.suffix, sheet[..., ::-1])[1].tobytes())


def sheet_of(
    source: str | Path,
    format: str,
    split: str,
    invalid_boxes: str,
    image_size: ImageSize,
    count: int,
    columns: int,
    seed: int,
    plain: bool = False,
    recipe: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> np.ndarray:
    """Render a contact sheet of a dataset on disk, with the default augmentation or a recipe's.

    Args:
        source: folder, file or archive of the dataset.
        format: format of its annotations; "auto" detects it.
        split: split to show.
        invalid_boxes: as in `read`.
        image_size: (height, width) of each image in pixels.
        count: number of images.
        columns: number of images in a row.
        seed: seed of the order and the augmentation.
        plain: show the images without augmentation.
        recipe: recipe file whose augmentation is used.
        overrides: fields of the augmentation, such as "mosaic=0.5".

    Raises:
        ConfigError: a field of the augmentation is not valid.
        UserError: `plain` is combined with `recipe` or `overrides`.
        DataError: the dataset is invalid.
    """
    dataset = read(source, format, split, invalid_boxes=invalid_boxes)
    kind = _SHOWN[type(dataset)].augmentation
    augmentation = _augmentation(kind, plain, recipe, overrides)
    return contact_sheet(dataset, image_size, augmentation, count, columns, seed)


def _augmentation(
    kind: type[Value], plain: bool, recipe: str | Path | None, overrides: Sequence[str]
) -> Value | None:
    if plain:
        if recipe is not None or overrides:
            raise UserError(
                f"{option('plain')} cannot be combined with a recipe or overrides",
                rule=f"{option('plain')} shows images without augmentation",
                fix=f"leave out {option('plain')}",
            )
        return None
    fields: dict[str, Any] = {}
    if recipe is not None:
        section = load_yaml(Path(recipe)).get("augmentation") or {}
        fields = section if isinstance(section, dict) else {"augmentation": section}
    return kind.from_dict(apply_overrides(fields, list(overrides), example="flip=0.5"))
