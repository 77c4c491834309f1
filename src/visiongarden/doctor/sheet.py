"""Render contact sheets of training images with their annotations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from visiongarden.config import Value, apply_overrides, load_yaml
from visiongarden.data import Loader
from visiongarden.drawing.annotations import draw_sample
from visiongarden.drawing.display import to_display
from visiongarden.errors import ConfigError, UserError, option
from visiongarden.storage import atomic_write
from visiongarden.tasks import task_of_data
from visiongarden.transforms import Transform
from visiongarden.types import ImageSize

_GAP = 6
_PREFIXES = ("transforms.", "transforms[", "transforms=")
_EXAMPLE = "transforms.HorizontalFlip.probability=1"


class _Transforms(Value):
    """The only field of a recipe that a contact sheet needs."""

    transforms: tuple[Transform, ...]


def contact_sheet(
    dataset: Any,
    image_size: ImageSize,
    transforms: Sequence[Transform] | None = None,
    count: int = 16,
    columns: int = 4,
    seed: int = 0,
    bands: Sequence[int] | None = None,
) -> np.ndarray:
    """Render the first images of an epoch with their annotations, as the model receives them.

    Args:
        dataset: dataset of one split.
        image_size: (height, width) of each image in pixels.
        transforms: transforms of training images; None shows the images as in evaluation.
        count: number of images; a shorter epoch is followed by the next one.
        columns: number of images in a row.
        seed: seed of the order and the transforms.
        bands: channels to show as red, green and blue, see `visiongarden.drawing.to_display`.

    Returns:
        uint8 RGB sheet with white gaps of 6 pixels around the images.

    Raises:
        DataError: an image cannot be decoded.
    """
    loader = loader_of(dataset, image_size, transforms, seed)
    cells = []
    for number in range(count):
        # Beyond the end of an epoch, the next epoch shows the images with other random numbers.
        epoch, place = divmod(number, loader.images_per_epoch)
        sample = loader.sample(place, epoch)
        image = to_display(np.asarray(sample.image), bands)
        cells.append(draw_sample(image, sample, dataset.class_map, dataset.label_map))
    return _joined(cells, min(columns, count))


def loader_of(
    dataset: Any, image_size: ImageSize, transforms: Sequence[Transform] | None, seed: int = 0
) -> Loader:
    """Return a loader of single images of any number of channels, with or without annotations.

    Args:
        dataset: dataset of one split.
        image_size: (height, width) of each image in pixels.
        transforms: transforms of training images; None as in evaluation.
        seed: seed of the order and the transforms.
    """
    options: dict[str, Any] = {"shuffle": transforms is not None, "seed": seed}
    if dataset.fields:
        task = task_of_data(dataset)
        options |= {"resize": task.resize, "detail": task.detail, "needs": task.needs}
    return Loader(dataset, image_size, 1, transforms, **options)


def transforms_of(
    dataset: Any, recipe: str | Path | None, overrides: Sequence[str]
) -> tuple[Transform, ...]:
    """Return the transforms of a recipe or of a task, with overrides.

    Args:
        dataset: dataset whose task has the default transforms that are used without a recipe.
        recipe: recipe file; None for the default transforms.
        overrides: overrides of the field `transforms` of a recipe.

    Raises:
        ConfigError: an override does not begin with `transforms`, or a transform is not valid.
    """
    for override in overrides:
        if not override.startswith(_PREFIXES):
            raise ConfigError(
                f"{override!r} does not change the transforms",
                rule="a contact sheet shows data and transforms; overrides begin with transforms",
                fix=_EXAMPLE,
            )
    fields = {} if recipe is None else load_yaml(Path(recipe))
    given = fields.get("transforms")
    if given is None:
        task = task_of_data(dataset)
        given = [transform.to_dict() for transform in task.transforms(len(dataset))]
    changed = apply_overrides({"transforms": given}, list(overrides), example=_EXAMPLE)
    return _Transforms.from_dict(changed).transforms


def refuse_plain_transforms(recipe: str | Path | None, overrides: Sequence[str]) -> None:
    """Raise an error if a recipe or overrides are given for images without transforms.

    Raises:
        UserError: one of them is given.
    """
    if recipe is not None or overrides:
        raise UserError(
            f"{option('plain')} cannot be combined with a recipe or overrides",
            rule=f"{option('plain')} shows images without transforms",
            fix=f"leave out {option('plain')}",
        )


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
