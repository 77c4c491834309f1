"""Validation of annotations, whichever reader they come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from visiongarden.data.dataset import Bounded, Dataset
from visiongarden.data.error_list import ErrorList
from visiongarden.data.image_samples import UNKNOWN_SIZE, ClassSamples
from visiongarden.data.rows import Row, selected
from visiongarden.data.sample_table import SampleTable
from visiongarden.data.semantic_samples import SemanticSamples
from visiongarden.errors import DataError
from visiongarden.samples import Boxes, RotatedBoxes, Sample, unknown_keys
from visiongarden.types import ClassMap

_CHUNK = 2**20


def validated(found: Dataset, errors: ErrorList, reader: str) -> Dataset:
    """Check the annotations of a split, and add what is wrong to `errors`.

    Boxes that exceed the image by at most one pixel are clipped, and invalid boxes are removed if
    `errors` drops them.

    Args:
        found: What the reader returned.
        errors: Collector of errors.
        reader: Name of the reader.

    Returns:
        The same annotations if nothing had to be changed.

    Raises:
        DataError: A sample is not a `Sample`, or the class map is no `ClassMap`.
    """
    if not isinstance(found.class_map, ClassMap):
        raise _not_a("class map", "visiongarden.ClassMap", found.class_map, reader)
    samples = found.samples
    if isinstance(samples, (ClassSamples, SemanticSamples)) or _is_on_demand(samples):
        # Images of folders have no boxes, and records that are read on demand are checked then.
        return found
    if isinstance(samples, SampleTable) and _is_valid(samples, found):
        return found
    kept: dict[int, _Kept | None] = {}
    places: list[int] = []
    for index in range(len(found)):
        sample = found[index]
        if not isinstance(sample, Sample):
            raise _not_a(f"sample {index}", "visiongarden.samples.Sample", sample, reader)
        wrong = next(_wrong_fields(sample, found), None)
        if wrong is not None:
            errors.add(found.location(index), wrong, "reader")
            continue
        places.append(index)
        kept[index] = _checked(sample, found, index, errors)
    if not any(kept.values()) and len(places) == len(found):
        return found
    if isinstance(samples, SampleTable):
        # Rows keep the lines of the objects and the unknown keys.
        return found.with_rows(_of_row(found.row(i), kept[i]) for i in places)
    return replace(found, samples=[_of_sample(found[i], kept[i]) for i in places])


def chosen(found: Dataset, indices: Sequence[int]) -> Dataset:
    """Return the annotations of the images at `indices`."""
    return found if len(indices) == len(found) else found.part(indices)


def _not_a(what: str, expected: str, received: Any, reader: str) -> DataError:
    return DataError(
        f"{what} of the reader {reader} is of type {type(received).__name__}",
        rule=f"a {expected}",
        received=f"{received!r:.80}",
        fix=f"return a {expected} from {reader}.read",
    )


def _is_on_demand(samples: Any) -> bool:
    # Samples that are read on demand state their largest number of objects.
    return isinstance(samples, Bounded)


def _is_valid(table: SampleTable, found: Dataset) -> bool:
    """Return whether all columns of a table are valid; checked without building a sample."""
    arrays = table.arrays
    classes, points, labels = arrays["classes"], arrays["keypoints"], arrays["labels"]
    if len(classes) and not 0 <= classes.min() <= classes.max() < len(found.class_map):
        return False
    if len(labels) and labels.shape[1] != _width_of_labels(found):
        return False
    if len(points) and not (np.isin(points[..., 2], (0, 1, 2)).all() and np.isfinite(points).all()):
        return False
    if len(arrays["starts"]) > 1 and not (arrays["sizes"] > 0).all():
        return len(classes) == 0
    boxes, objects = arrays["boxes"], np.diff(arrays["starts"])
    for start in range(0, len(boxes), _CHUNK):
        part = boxes[start : start + _CHUNK]
        owners = np.searchsorted(arrays["starts"], np.arange(start, start + len(part)), "right") - 1
        if not _are_inside(part, arrays["sizes"][owners]):
            return False
    return int(objects.sum()) == len(boxes)


def _are_inside(boxes: np.ndarray, sizes: np.ndarray) -> bool:
    """Return whether all boxes are valid without clipping; NaN is not."""
    limits = sizes[:, ::-1]
    if boxes.shape[1] == 5:
        center, sides = boxes[:, :2], boxes[:, 2:4]
        inside = (center >= 0).all() and (center <= limits).all() and (sides > 0).all()
        return bool(inside and np.isfinite(boxes).all())
    low, high = boxes[:, :2], boxes[:, 2:]
    return bool((low >= 0).all() and (high <= limits).all() and (high > low).all())


def _width_of_labels(found: Dataset) -> int:
    return len(found.class_map if found.label_map is None else found.label_map)


def _wrong_fields(sample: Sample, found: Dataset) -> Iterator[str]:
    """Yield what is wrong with a sample, apart from its boxes."""
    size, objects = sample.info.original_size, sample.instances
    count, known = len(objects), len(found.class_map)
    if len(size) != 2 or min(size) < 0 or (tuple(size) == UNKNOWN_SIZE and count):
        yield f"`info.original_size` is {size!r:.40}; expected (height, width) of the image"
    if count and tuple(objects.size) != tuple(size):
        yield (
            f"`instances.size` is {objects.size!r:.40}; expected `info.original_size`, {size!r:.40}"
        )
    if count and objects.classes is None:
        yield "the objects have no classes; expected `classes`, indices into the class map"
    elif count and objects.classes is not None:
        strange = sorted({i for i in objects.classes.tolist() if not 0 <= i < known})
        if strange:
            yield f"class indices {strange[:5]} are outside the class map of {known} classes"
    if count and objects.boxes is None and objects.masks is None and objects.keypoints is None:
        yield "the objects have neither boxes, masks nor keypoints"
    if sample.labels is not None and len(sample.labels) != _width_of_labels(found):
        each = "class" if found.label_map is None else "name of the label map"
        yield (
            f"`labels` has {len(sample.labels)} values; expected {_width_of_labels(found)}, one "
            f"for each {each}"
        )


class _Kept(NamedTuple):
    """Objects of an image that are valid.

    Attributes:
        rows: Bool (n,), which objects are valid.
        boxes: Float32 (valid, 4) or (valid, 5), their boxes, clipped to the image.
    """

    rows: np.ndarray
    boxes: np.ndarray


def _checked(sample: Sample, found: Dataset, index: int, errors: ErrorList) -> _Kept | None:
    """Return the objects whose boxes are valid; None if all are, without clipping."""
    objects, size = sample.instances, sample.info.original_size
    boxes = None if objects.boxes is None else np.asarray(objects.boxes)
    if boxes is None or not len(boxes):
        return None
    if _are_inside(boxes, np.array([size] * len(boxes))):
        return None
    rows: list[Any] = []
    for row, box in enumerate(boxes.tolist()):
        where = found.location(index, row)
        if len(box) == 5:
            rows.append(box if errors.rotated_box(where, box, size) else None)
        else:
            rows.append(errors.box(where, box, size))
    kept = np.array([row is not None for row in rows], bool)
    if not kept.any():
        errors.emptied.add(str(sample.info.source))
    valid = [row for row in rows if row is not None]
    return _Kept(kept, np.array(valid, np.float32).reshape(-1, boxes.shape[1]))


def _of_row(row: Row, kept: _Kept | None) -> Row:
    return row if kept is None else replace(selected(row, kept.rows), boxes=kept.boxes)


def _of_sample(sample: Sample, kept: _Kept | None) -> Sample:
    if kept is None:
        return sample
    info = sample.info
    unknown = unknown_keys.part(info.unknown, kept.rows.tolist())
    boxes = RotatedBoxes(kept.boxes) if kept.boxes.shape[1] == 5 else Boxes(kept.boxes)
    instances = sample.instances[kept.rows].replace(boxes=boxes)
    return replace(sample, info=replace(info, unknown=unknown), instances=instances)
