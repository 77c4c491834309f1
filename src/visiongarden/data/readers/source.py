"""`from_source`: a dataset on top of a random-access source of records, such as TFDS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.decoding import decode_bytes
from visiongarden.data.error_list import wrong_with
from visiongarden.errors import DataError, UserError
from visiongarden.samples import Boxes, ImageInfo, Instances, Sample
from visiongarden.types import ClassMap


class Records(Protocol):
    """Random-access source of records, such as `tfds.data_source(...)` or a Grain source."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


def from_source(
    source: Records, class_names: Sequence[str], max_boxes: int, split: str = "train"
) -> Dataset:
    """Wrap a random-access source as a dataset whose records are read on demand.

    A record has the structure of TensorFlow Datasets' detection datasets: `image`, uint8 RGB or the
    bytes of an image file, and `objects` with `bbox` (top, left, bottom, right) in fractions of the
    image's height and width, `label`, and optionally `is_crowd`. tensorflow_datasets is not
    required.

    Args:
        source: Object with a length that returns record i as `source[i]`. It must be picklable if
            worker processes are used.
        class_names: Class names in the order of `label`.
        max_boxes: Maximum number of objects per image, for which each batch reserves space.
        split: Name of the split.

    Raises:
        UserError: `max_boxes` is less than 1.
        DataError: When a record is read: it is malformed, or has more than `max_boxes` boxes.
    """
    if max_boxes < 1:
        raise UserError(f"max_boxes is {max_boxes}", rule="at least 1")
    class_map = ClassMap(tuple(class_names))
    return Dataset(class_map, _Records(source, class_map, max_boxes), split)


class _Records(Sequence[Sample]):
    fields = frozenset({"boxes"})

    def __init__(self, source: Records, class_map: ClassMap, max_boxes: int) -> None:
        self.source, self.class_map, self.max_objects = source, class_map, max_boxes

    def __len__(self) -> int:
        return len(self.source)

    def image_path(self, index: int) -> str:
        """Return the location of a record without reading it."""
        return f"record {index}"

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        where = f"record {place}"
        try:
            record = self.source[place]
        except IndexError as error:
            raise DataError(
                f"{where}: the source has no such record",
                rule=f"{len(self)} records, as `len(source)` returns",
                received=str(error),
            ) from error
        if not isinstance(record, Mapping) or not {"image", "objects"} <= record.keys():
            raise DataError(
                f"{where} does not have both `image` and `objects`", received=f"{record!r:.80}"
            )
        image = record["image"]
        if isinstance(image, bytes):
            image = decode_bytes(image, where)
        image = np.asarray(image)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise DataError(
                f"{where}: `image` is not an RGB image",
                rule="uint8 (height, width, 3), or the bytes of an image file",
                received=f"{image.dtype} {image.shape}",
            )
        return self._sample(where, place, image, record["objects"])

    def _sample(self, where: str, place: int, image: np.ndarray, objects: Any) -> Sample:
        height, width = image.shape[:2]
        shares = np.asarray(objects["bbox"], np.float64).reshape(-1, 4)
        # (top, left, bottom, right) fractions -> xyxy pixels.
        boxes = shares[:, [1, 0, 3, 2]] * (width, height, width, height)
        classes = np.asarray(objects["label"], np.int64).reshape(-1)
        crowd = np.asarray(objects.get("is_crowd", np.zeros(len(boxes))), bool).reshape(-1)
        if not len(boxes) == len(classes) == len(crowd) <= self.max_objects:
            raise DataError(
                f"{where} has {len(boxes)} boxes and {len(classes)} labels",
                rule=f"as many labels as boxes, at most max_boxes={self.max_objects}",
            )
        if ((classes < 0) | (classes >= len(self.class_map))).any():
            raise DataError(
                f"{where}: labels {sorted(set(classes.tolist()))} are outside the class map",
                rule=f"0 to {len(self.class_map) - 1}",
            )
        for box in boxes.tolist():
            wrong = wrong_with(box, (height, width))
            if wrong is not None:
                raise DataError(f"{where}: {wrong[1]}")
        inside = np.clip(boxes, 0, (width, height, width, height)).astype(np.float32)
        found = Instances((height, width), Boxes(inside), classes, crowd=crowd)
        return Sample(ImageInfo(place, where, (height, width)), image, found)
