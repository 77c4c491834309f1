"""`vg.data.check`, `vg.data.convert` and `vg.data.show`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from visiongarden.data.readers import read
from visiongarden.doctor.conversion import convert
from visiongarden.doctor.diagnosis import diagnose
from visiongarden.doctor.page import write_page
from visiongarden.doctor.report import Report, write_json
from visiongarden.doctor.sheet import (
    contact_sheet,
    loader_of,
    refuse_plain_transforms,
    save_sheet,
    transforms_of,
)
from visiongarden.doctor.transform_sheet import transforms_sheet
from visiongarden.errors import UserError, option
from visiongarden.markup import Preformatted
from visiongarden.terminal import counted
from visiongarden.types import ImageSize

_OTHERS = 8
"""Further images that a mosaic of nine needs."""


@dataclass(frozen=True)
class ConversionResult(Preformatted):
    """Converted dataset; `str()` lists what its format cannot store.

    Attributes:
        path: Folder of the copy.
        format: Format of the copy.
        lost: One line for each annotation that the format cannot store.
        summary: One line for each category of `lost`.
    """

    path: Path
    format: str
    lost: tuple[str, ...]
    summary: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Convert the result to a JSON-serializable dict."""
        return {"path": str(self.path), "format": self.format, "lost": list(self.lost)}

    def __repr__(self) -> str:
        return (
            f"ConversionResult(path={str(self.path)!r}, format={self.format!r}, "
            f"{len(self.lost):,} annotations cannot be stored)"
        )

    def __str__(self) -> str:
        lines = [f"cannot be stored in {self.format}: {line}" for line in self.summary]
        return "\n".join([*lines, f"written: {self.path} ({self.format})"])


@dataclass(frozen=True, repr=False)
class ContactSheet:
    """Images of a dataset with their labels; notebooks show the picture.

    Attributes:
        image: uint8 RGB (height, width, 3).
        split: Name of the split.
        count: Number of images in the sheet.
    """

    image: np.ndarray
    split: str
    count: int

    def save(self, path: str | Path) -> Path:
        """Write the sheet as a .png or .jpg file.

        Raises:
            UserError: The suffix is another one.
        """
        return save_sheet(self.image, path)

    def to_dict(self) -> dict[str, Any]:
        """Convert the properties of the sheet, without its pixels, to a JSON-serializable dict."""
        height, width = self.image.shape[:2]
        return {"split": self.split, "count": self.count, "size": [height, width]}

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        images = counted(self.count, "image")
        return f"ContactSheet({images} of {self.split}, {height} × {width} pixels)"

    def _repr_png_(self) -> bytes:
        return bytes(cv2.imencode(".png", self.image[..., ::-1])[1])


def check_dataset(
    path: str | Path,
    *,
    output: str | Path | None = None,
    reader: Any = "auto",
    invalid_boxes: str = "error",
    image_size: int = 640,
    stride: int = 8,
) -> Report:
    """Check every label and every image of all splits of a dataset, and report all issues.

    Errors are issues that reading and training refuse, warnings are likely mistakes, and notes are
    facts that may surprise.

    Args:
        path: Folder, file or archive of a dataset.
        output: HTML page to write, with the report as JSON beside it; None writes no file.
        reader: Reader of the dataset, as in `vg.read`.
        invalid_boxes: "error" or "drop", as in `vg.read`.
        image_size: Longest side in pixels to which the model's images are scaled.
        stride: Stride of the model's finest feature map in pixels, below which boxes are tiny.

    Returns:
        The report; `ok` is False if there are errors.

    Raises:
        DataError: There is no dataset at `path`, or its format cannot be determined.
        UserError: An argument is not valid.

    Example:
        >>> vg.data.check("cells").ok  # doctest: +SKIP
        True
    """
    report = diagnose(path, reader, None, invalid_boxes, stride, image_size)
    if output is not None:
        page = Path(output).with_suffix(".html")
        write_page(report, page)
        write_json(report, page.with_suffix(".json"))
    return report


def convert_dataset(
    path: str | Path,
    output: str | Path,
    *,
    format: str,
    reader: Any = "auto",
    invalid_boxes: str = "error",
) -> ConversionResult:
    """Write all splits of a dataset in another format, including the images.

    The copy is read back and compared before its folder gets its name. Only COCO and ArrayRecord
    store crowds, areas and unknown keys; every format lists what it cannot store. A writer of your
    own, a registered subclass of `visiongarden.data.Writer`, is found by its `format`.

    Args:
        path: Folder, file or archive of a dataset.
        output: Folder to create.
        format: Format of the copy, that of a registered writer: "coco", "yolo", "voc", "csv",
            "dota" or "arrayrecord" for objects, "folders" for classes, "masks" for semantic masks.
        reader: Reader of the source, as in `vg.read`.
        invalid_boxes: "error" or "drop", as in `vg.read`.

    Returns:
        The folder, and what its format cannot store.

    Raises:
        UserError: The format is unknown or stores other annotations, or the folder exists.
        DataError: The source is invalid, or the copy differs when it is read back.
    """
    lost = convert(path, output, format, reader, invalid_boxes)
    return ConversionResult(Path(output), format, tuple(lost), tuple(lost.summary()))


def show_dataset(
    path: str | Path,
    *overrides: str,
    output: str | Path | None = None,
    split: str = "train",
    reader: Any = "auto",
    invalid_boxes: str = "error",
    image_size: ImageSize | int = 320,
    count: int = 16,
    columns: int = 4,
    plain: bool = False,
    each: bool = False,
    recipe: str | Path | None = None,
    seed: int = 0,
    channels: Any = "auto",
    bands: Sequence[int] | None = None,
) -> ContactSheet:
    """Draw images of a dataset with their annotations, as training sees them.

    Args:
        path: Folder, file or archive of a dataset.
        *overrides: Overrides of the transforms, such as "transforms.HSV.hue=0.1".
        output: Image file to write, .png or .jpg; None writes no file.
        split: Split to show.
        reader: Reader of the dataset, as in `vg.read`.
        invalid_boxes: "error" or "drop", as in `vg.read`.
        image_size: (height, width) of each image in pixels, or the side of a square.
        count: Number of images.
        columns: Images per row.
        plain: Show the images without transforms.
        each: Show each transform alone beside the original, for one image.
        recipe: Recipe file (.yaml) with the transforms to show.
        seed: Seed of order and transforms.
        channels: Channels of the images, see `visiongarden.data.Channels`.
        bands: Channels to show as red, green and blue, such as (3, 2, 1).

    Raises:
        ConfigError: A transform is not valid.
        UserError: `plain` is combined with `recipe` or overrides.
        DataError: The dataset is invalid.
    """
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if plain:
        refuse_plain_transforms(recipe, overrides)
    dataset = read(path, split=split, reader=reader, invalid_boxes=invalid_boxes)
    dataset = dataset.with_channels(channels)
    # Without annotations there is no task, which would have transforms.
    is_plain = plain or not (dataset.fields or recipe or overrides)
    transforms = None if is_plain else transforms_of(dataset, recipe, overrides)
    if each and not transforms:
        raise UserError(
            "there is no transform to show",
            rule="transforms of a recipe, or those of the task if the images have annotations",
            fix=option("recipe", "recipe.yaml"),
        )
    if each:
        samples = loader_of(dataset, size, None).samples
        image = transforms_sheet(
            samples[0],
            transforms or (),
            size=size,
            others=[samples[i] for i in range(1, min(len(samples), _OTHERS + 1))],
            class_map=dataset.class_map,
            label_map=dataset.label_map,
            bands=bands,
            seed=seed,
        )
    else:
        image = contact_sheet(dataset, size, transforms, count, columns, seed, bands)
    sheet = ContactSheet(image, split, 1 if each else count)
    if output is not None:
        sheet.save(output)
    return sheet
