"""`contact_sheet`: what training sees, with its labels, on one picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from visiongarden.config import apply_overrides, load_yaml
from visiongarden.data.augment import Augmentation
from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.draw import draw_example
from visiongarden.data.loader import Loader
from visiongarden.data.read import read
from visiongarden.errors import UserError
from visiongarden.types import ImageSize

_GAP = 6


def contact_sheet(
    dataset: DetectionDataset,
    image_size: ImageSize,
    augmentation: Augmentation | None = None,
    count: int = 16,
    columns: int = 4,
    seed: int = 0,
) -> np.ndarray:
    """The first images of an epoch with their boxes, as the model would see them.

    Args:
        dataset: whose images.
        image_size: (height, width) of each.
        augmentation: how they vary; None shows them letterboxed.
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
    loader = Loader(
        dataset, image_size, 1, augmentation, shuffle=augmentation is not None, seed=seed
    )
    cells = []
    for number in range(count):
        epoch, place = divmod(number, len(dataset))
        example = loader.finished(epoch, place)
        cells.append(draw_example(np.asarray(example.image), example, dataset.class_map))
    return _joined(cells, min(columns, count))


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
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    draft.write_bytes(cv2.imencode(path.suffix, sheet[..., ::-1])[1].tobytes())
    draft.replace(path)
    return path


def sheet_of(
    source: str | Path,
    format: str,
    split: str,
    invalid_boxes: str,
    image_size: ImageSize,
    count: int,
    columns: int,
    seed: int,
    augmentation: Augmentation | None,
) -> np.ndarray:
    """`contact_sheet` of a data set on disk; the arguments are those of `read` and of that."""
    dataset = read(source, format, split, invalid_boxes=invalid_boxes)
    return contact_sheet(dataset, image_size, augmentation, count, columns, seed)


def augmentation_of(
    plain: bool, recipe: str | Path | None, overrides: Sequence[str]
) -> Augmentation | None:
    """The augmentation of a recipe file, or the default one, with fields set; None for `plain`.

    Raises:
        ConfigError: a field is not valid.
        UserError: `plain` together with fields.
    """
    if plain:
        if recipe is not None or overrides:
            raise UserError("--plain shows images without augmentation", fix="leave it out")
        return None
    fields: dict[str, Any] = {}
    if recipe is not None:
        said = load_yaml(Path(recipe)).get("augmentation") or {}
        fields = said if isinstance(said, dict) else {"augmentation": said}
    return Augmentation.from_dict(apply_overrides(fields, list(overrides)))
