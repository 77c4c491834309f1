"""`contact_sheet`: what training sees, with its labels, on one picture."""

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
from visiongarden.data.labelled_images import ClassificationDataset
from visiongarden.data.loader import Loader
from visiongarden.data.masks import SegmentationDataset
from visiongarden.data.readers import AnyDataset, read_any
from visiongarden.data.segmentation_loader import SegmentationLoader
from visiongarden.drawing.annotations import draw_classes, draw_example, draw_mask
from visiongarden.errors import UserError
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
    """The first images of an epoch with their labels, as the model would see them.

    Args:
        dataset: whose images.
        image_size: (height, width) of each.
        augmentation: how they vary, of the kind that the data set's loader takes; None shows them
            as they are judged.
        count: how many; an epoch that is shorter is followed by the next.
        columns: how many side by side.
        seed: of order and augmentation.

    Returns:
        uint8 RGB (rows * height, columns * width, 3), with white lines between.

    Raises:
        DataError: an image cannot be decoded.
    """
    # Cells lie side by side, so they have one size, whatever those of batches.
    augmentation = augmentation and augmentation.replace(multi_scale=0)
    kind = _SHOWN[type(dataset)]
    loader = kind.loader(
        dataset, image_size, 1, augmentation, shuffle=augmentation is not None, seed=seed
    )
    cells = []
    for number in range(count):
        epoch, place = divmod(number, len(dataset))
        cells.append(kind.draw(loader.finished(epoch, place), dataset.class_map))
    return _joined(cells, min(columns, count))


@dataclass(frozen=True)
class _Shown:
    """Loader and augmentation of a kind of data set, and how one of its examples is drawn."""

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
    """Writes a sheet as .png or .jpg, under its name only once it is whole.

    Raises:
        UserError: another ending.
    """
    path = Path(path)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UserError(f"{path}: not a kind of picture", rule=".png or .jpg", fix="sheet.png")
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
    """`contact_sheet` of a data set on disk, with the augmentation of a recipe or the default one.

    Args:
        source: folder, file or archive.
        format: of the data, or "auto" to look.
        split: which one.
        invalid_boxes: as of `read`.
        image_size: as of `contact_sheet`, as are `count`, `columns` and `seed`.
        count: how many images.
        columns: how many side by side.
        seed: of order and augmentation.
        plain: without augmentation.
        recipe: a recipe file whose augmentation is taken.
        overrides: its fields, as "mosaic=0.5".

    Raises:
        ConfigError: a field is not valid.
        UserError: `plain` together with fields.
        DataError: the data set is not sound.
    """
    dataset = read_any(source, format, split, invalid_boxes)
    kind = _SHOWN[type(dataset)].augmentation
    augmentation = _augmentation(kind, plain, recipe, overrides)
    return contact_sheet(dataset, image_size, augmentation, count, columns, seed)


def _augmentation(
    kind: type[Value], plain: bool, recipe: str | Path | None, overrides: Sequence[str]
) -> Value | None:
    if plain:
        if recipe is not None or overrides:
            raise UserError("--plain shows images without augmentation", fix="leave it out")
        return None
    fields: dict[str, Any] = {}
    if recipe is not None:
        said = load_yaml(Path(recipe)).get("augmentation") or {}
        fields = said if isinstance(said, dict) else {"augmentation": said}
    return kind.from_dict(apply_overrides(fields, list(overrides)))
