"""`read_back`: verify a written dataset by reading it again, before it gets its final name."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.error_list import ErrorList
from visiongarden.data.labeled_images import ClassificationDataset
from visiongarden.data.masks import SegmentationDataset
from visiongarden.data.readers.gathering import READERS
from visiongarden.data.writers import held
from visiongarden.data.writers.examples import Lost, area_of, crowd_of, size_of
from visiongarden.errors import DataError
from visiongarden.samples.extra import unpack
from visiongarden.types import Example, Polygons

_SHOWN = 3
_NUMBERS = {"id", "file_name"}
"""Keys that may change: ids that are not unique are replaced, and so are file names."""


def read_back(format: str, folder: Path, datasets: Mapping[str, Any], lost: Lost) -> None:
    """Read a dataset that was just written and compare it with the source.

    Boxes, classes, crowd regions, polygons, areas and unused keys must be equal, apart from what is
    listed as dropped. For class folders the classes of the images are compared, for mask folders
    the class of each pixel.

    Args:
        format: Format in which the dataset was written.
        folder: Folder to which it was written.
        datasets: Source datasets by split.
        lost: Collector that the writer filled; contains the names of the written images.

    Raises:
        DataError: The written dataset differs from the source.
    """
    hold = _hold(format, datasets)
    problems: list[str] = []
    for split, dataset in datasets.items():
        errors = ErrorList(folder)
        try:
            parts = [
                READERS[format].read(folder, part, None, errors)
                for part in _splits(format, folder, split)
            ]
        except DataError as error:
            raise _different(format, [f"{split}: {error.what}"]) from error
        problems += [str(finding) for finding in errors.found]
        others = {part.class_map.names for part in parts} - {dataset.class_map.names}
        problems += [f"{split}: classes {', '.join(names)[:200]}" for names in others]
        if problems:
            break
        if isinstance(dataset, DetectionDataset):
            names = lost.names.get(split)
            problems += list(_of_boxes(format, dataset, parts[0], names, hold))
        elif isinstance(dataset, ClassificationDataset):
            problems += _of_classes(dataset, parts)
        else:
            problems += list(_of_masks(dataset, parts))
    if problems:
        raise _different(format, problems)


def _different(format: str, problems: list[str]) -> DataError:
    return DataError(
        f"the dataset is not written; read back as {format}, it differs from the source",
        rule="every written value is read back unchanged, or listed as dropped",
        received="; ".join(problems[:_SHOWN]) + (f"; {len(problems)} in all" * (len(problems) > 3)),
    )


def _hold(format: str, datasets: Mapping[str, Any]) -> Callable[[Example], held.Held]:
    if format == "coco":
        return lambda example: (held.with_areas(example), [])
    if format == "yolo":
        return partial(held.shares, points=held.shape_of_keypoints(datasets))
    return {"voc": held.elements, "csv": held.columns}.get(format, held.everything)


def _splits(format: str, folder: Path, split: str) -> list[str]:
    """Return the split, or all splits of a dataset without split folders."""
    return [split] if split else list(READERS[format].splits(folder))


def _of_boxes(
    format: str,
    dataset: DetectionDataset,
    found: DetectionDataset,
    names: list[str] | None,
    hold: Callable[[Example], held.Held],
) -> Iterator[str]:
    if len(found) != len(dataset):
        yield f"{dataset.split}: {len(found)} images instead of {len(dataset)}"
        return
    # Most readers sort images by name, so images are matched by name. ArrayRecord has no names
    # (`names` is None) and keeps the order.
    order = {found.image_path(i).name: i for i in range(len(found))} if names else {}
    exact = format in ("coco", "arrayrecord")
    if exact and (dict(found.extra) != dict(dataset.extra) or _differ(dataset, found)):
        yield f"{dataset.split}: different keys of the file or of its classes"
    for index, example in enumerate(dataset):
        name = names[index] if names else str(index)
        place = order.get(name) if names else index
        if place is None:
            yield f"{name}: the image is missing"
            continue
        what = _difference(hold(example)[0], found[place], exact)
        if what:
            yield f"{name}: {what}"


def _differ(one: DetectionDataset, other: DetectionDataset) -> bool:
    rows = [list(map(dict, dataset.categories)) for dataset in (one, other)]
    return rows[0] != rows[1] and any(map(any, rows))


def _difference(one: Example, other: Example, exact: bool) -> str:
    """Describe the difference of two examples; "" if they are equal."""
    if len(one.boxes) != len(other.boxes) or not np.array_equal(one.classes, other.classes):
        return f"{len(other.boxes)} boxes instead of {len(one.boxes)}, or different classes"
    max_difference = 0.0 if exact else held.tolerance(size_of(one))
    if not np.allclose(one.boxes, other.boxes, rtol=0, atol=max_difference):
        return "different boxes"
    if not np.array_equal(crowd_of(one), crowd_of(other)):
        return "different crowd regions"
    if not _same_polygons(one, other, max_difference):
        return "different polygons"
    if exact and not np.array_equal(area_of(one), area_of(other), equal_nan=True):
        return "different areas"
    return "" if _same_keys(one, other, exact) else "different keys"


def _same_polygons(one: Example, other: Example, max_difference: float) -> bool:
    count = len(one.boxes)
    pairs = zip(one.polygons or [None] * count, other.polygons or [None] * count, strict=True)
    for a, b in pairs:
        if a is None or b is None:
            if a is not b:
                return False
        elif not _same_points(a, b, max_difference):
            return False
    return True


def _same_points(one: Polygons, other: Polygons, max_difference: float) -> bool:
    if [len(ring) for ring in one] != [len(ring) for ring in other]:
        return False
    return np.allclose(np.concatenate(one), np.concatenate(other), rtol=0, atol=max_difference)


def _same_keys(one: Example, other: Example, exact: bool) -> bool:
    rows = []
    for example in (one, other):
        image, objects = unpack(example)
        rows.append([_without(image), *map(_without, objects)])
    if exact:
        return _text(rows[0]) == _text(rows[1])
    return all(
        _same_value(key, value, b.get(key))
        for a, b in zip(*rows, strict=True)
        for key, value in a.items()
    )


def _without(keys: Mapping[str, Any]) -> dict[str, Any]:
    # `bbox` holds original numbers that float32 does not reproduce; boxes are compared separately.
    return {key: value for key, value in keys.items() if key not in _NUMBERS | {"bbox"}}


def _text(value: Any) -> str:
    # Compared as text, because NaN is not equal to itself.
    return json.dumps(value, sort_keys=True)


def _same_value(key: str, one: Any, other: Any) -> bool:
    if key == "keypoints" and other is not None:  # written as fractions, so digits are lost
        return len(one) == len(other) and np.allclose(one, other, rtol=1e-6, atol=1e-3)
    return bool(one == other)


def _of_classes(dataset: ClassificationDataset, parts: Sequence[Any]) -> list[str]:
    wanted, found = (
        Counter(
            (path.name, index)
            for one in some
            for path, index in zip(one.paths, one.classes, strict=True)
        )
        for some in ([dataset], parts)
    )
    return [f"{name}: not in {dataset.class_map.names[i]}" for name, i in (wanted - found)]


def _of_masks(dataset: SegmentationDataset, parts: Sequence[Any]) -> Iterator[str]:
    written = {part.images[i].name: (part, i) for part in parts for i in range(len(part))}
    for index, image in enumerate(dataset.images):
        part, place = written.get(image.name, (None, 0))
        if part is None or not np.array_equal(part.mask(place), dataset.mask(index)):
            yield f"{image.name}: the mask is missing or different"
