"""Writer of folders of images and semantic masks; files are copied unchanged."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from visiongarden.config import dump_yaml
from visiongarden.data.dataset import Dataset
from visiongarden.data.semantic_samples import SemanticSamples
from visiongarden.data.writers.checked import CheckedWriter
from visiongarden.data.writers.images import Splits, image_bytes, name_of, stem_of, with_ending
from visiongarden.data.writers.lost import Lost
from visiongarden.data.writers.read_back import semantic
from visiongarden.data.writers.splits import one_map, parts_of, write_file
from visiongarden.errors import UserError
from visiongarden.registry import register
from visiongarden.storage.header import MAX_BYTES
from visiongarden.storage.place import read_bytes


@register
class MaskFoldersWriter(CheckedWriter):
    """Writer of `images/<split>/`, `masks/<split>/` and `classes.yaml`.

    Attributes:
        step: Number that is subtracted from the ids in masks and class map; 0 copies the masks
            unchanged.
    """

    format: ClassVar[str] = "masks"
    reader: ClassVar[str] = "MaskFolders"
    fields: ClassVar[frozenset[str]] = frozenset({"semantic"})

    step: int = 0

    def fill(self, splits: Splits, folder: Path, lost: Lost) -> None:
        """Write the files; see `CheckedWriter.fill`."""
        one_map(splits)
        first = next(iter(splits.values()))
        write_file(folder, "classes.yaml", content=_classes(first, self.step))
        for split, dataset in splits.items():
            written = lost.names.setdefault(split, [])
            for index in range(len(dataset)):
                row = dataset.row(index)
                raw = image_bytes(row)
                name = with_ending(name_of(row, index), raw)
                written.append(name)
                write_file(folder, "images", *parts_of(split), name, content=raw)
                mask, ending = _mask(dataset, index, self.step)
                mask_name = f"{stem_of(name)}{ending}"
                write_file(folder, "masks", *parts_of(split), mask_name, content=mask)
                if len(row.classes):
                    lost.of(name, ["the objects of the image"])


def _classes(dataset: Dataset, step: int) -> str:
    samples = dataset.samples
    ignored: dict[str, Any] = {}
    values: list[Any] = list(range(len(dataset.class_map)))
    if isinstance(samples, SemanticSamples):
        if samples.colors is not None:
            values = [list(color) for color in samples.colors]
            ignored = {"ignore": [list(c) for c in samples.ignored if not isinstance(c, int)]}
            ignored = ignored if ignored["ignore"] else {}
        else:
            values = [i - step for i in dataset.class_map.ids]
            ignored = {"ignore": [value for value in samples.ignored if value not in values]}
    return dump_yaml({"classes": dict(zip(dataset.class_map.names, values, strict=True))} | ignored)


def _mask(dataset: Dataset, index: int, step: int) -> tuple[bytes, str]:
    """Return the bytes of a mask file and its extension."""
    samples = dataset.samples
    if not isinstance(samples, SemanticSamples):
        found = semantic(dataset, index)
        if found is None:
            raise UserError(f"{dataset.location(index)} has no semantic mask")
        return _png(found), ".png"
    if not step:
        place = samples.masks[index]
        return bytes(read_bytes(place, MAX_BYTES)), place.suffix
    values = samples.values(index)
    # Only ids of classes are shifted; ignored values keep their number.
    return _png(np.where(np.isin(values, dataset.class_map.ids), values - step, values)), ".png"


def _png(values: np.ndarray) -> bytes:
    kind = np.uint8 if values.max(initial=0) < 256 else np.uint16
    stream = io.BytesIO()
    Image.fromarray(values.astype(kind)).save(stream, format="PNG")
    return stream.getvalue()
