"""`read_back`: verify a written dataset by reading it again, before it gets its final name."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import visiongarden.data.readers  # noqa: F401 (registers the readers)
from visiongarden.data.dataset import Dataset, as_dataset
from visiongarden.data.error_list import ErrorList
from visiongarden.data.image_samples import ClassSamples, classes_of
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.rows import Row
from visiongarden.data.semantic_samples import SemanticSamples
from visiongarden.data.writers import held
from visiongarden.data.writers.images import Splits
from visiongarden.data.writers.lost import Lost
from visiongarden.errors import DataError
from visiongarden.samples import RotatedBoxes
from visiongarden.samples.unknown_keys import unpack
from visiongarden.types import Polygons

_SHOWN = 3
_USUAL = ("train", "val", "test")
_NUMBERS = {"id", "file_name"}
"""Keys that may change: ids that are not unique are replaced, and so are file names."""
_COMPARED = {"bbox", "keypoints", "num_keypoints"}
"""Keys with original numbers that float32 does not reproduce; the numbers are compared instead."""
_SCHEME = {"keypoints", "skeleton"}


def read_back(
    reader: str,
    folder: Path,
    datasets: Splits,
    lost: Lost,
    hold: Callable[[Row], held.Held],
    exact: bool,
) -> None:
    """Read a dataset that was just written and compare it with the source.

    Boxes, classes, crowd regions, polygons, keypoints, areas and unknown keys must be equal, apart
    from what is listed as dropped. For class folders the classes of the images are compared, for
    mask folders the class of each pixel.

    Args:
        reader: Name of the reader of the format.
        folder: Folder to which it was written.
        datasets: Source datasets by split.
        lost: Collector that the writer filled; contains the names of the written images.
        hold: Function from annotations to what the format stores of them.
        exact: Whether every number must be equal.

    Raises:
        DataError: The written dataset differs from the source.
    """
    problems: list[str] = []
    for split, dataset in datasets.items():
        errors = ErrorList(folder)
        try:
            parts = _parts(reader, Source(folder, None, errors), split)
        except DataError as error:
            if split and split not in _USUAL:
                raise DataError(
                    f"the split {split!r} is not found again in a dataset that {reader} reads",
                    rule=f"splits named {', '.join(_USUAL)}",
                    received=", ".join(datasets),
                    fix="rename the folders or files of the splits, or return these names from "
                    "`splits` of your own reader",
                ) from error
            raise _different(reader, [f"{split}: {error.what}"]) from error
        problems += [str(finding) for finding in errors.found]
        others = {part.class_map.names for part in parts} - {dataset.class_map.names}
        problems += [f"{split}: classes {', '.join(names)[:200]}" for names in others]
        if problems:
            break
        if "semantic" in parts[0].fields:
            problems += list(_of_masks(dataset, lost.names[split], parts))
        elif isinstance(parts[0].samples, ClassSamples):
            problems += _of_classes(dataset, lost.names[split], parts)
        else:
            names = lost.names.get(split)
            problems += list(_of_objects(dataset, parts[0], names, hold, exact))
            problems += list(_of_scheme(split, dataset, parts[0], lost))
    if problems:
        raise _different(reader, problems)


def _different(reader: str, problems: list[str]) -> DataError:
    return DataError(
        f"the dataset is not written; read back by {reader}, it differs from the source",
        rule="every written value is read back unchanged, or listed as dropped",
        received="; ".join(problems[:_SHOWN]) + (f"; {len(problems)} in all" * (len(problems) > 3)),
    )


def _parts(name: str, source: Source, split: str) -> list[Dataset]:
    """Read a split, or all splits of a dataset without split folders."""
    reader = Reader.find(name)()
    splits = [split] if split else list(reader.splits(source))
    return [as_dataset(reader.read(source, part), part) for part in splits]


def _of_objects(
    dataset: Dataset,
    found: Dataset,
    names: list[str] | None,
    hold: Callable[[Row], held.Held],
    exact: bool,
) -> Iterator[str]:
    if len(found) != len(dataset):
        yield f"{dataset.split}: {len(found)} images instead of {len(dataset)}"
        return
    # Most readers sort images by name, so images are matched by name. ArrayRecord has no names
    # (`names` is None) and keeps the order.
    order = {found.image_path(i).name: i for i in range(len(found))} if names else {}
    if exact and (dict(found.extra) != dict(dataset.extra) or _differ(dataset, found)):
        yield f"{dataset.split}: different keys of the file or of its classes"
    for index, row in enumerate(dataset.rows()):
        name = names[index] if names else str(index)
        place = order.get(name) if names else index
        if place is None:
            yield f"{name}: the image is missing"
            continue
        what = _difference(hold(row)[0], found.row(place), exact)
        if what:
            yield f"{name}: {what}"


def _differ(one: Dataset, other: Dataset) -> bool:
    """Return whether the unknown keys of classes differ; the keypoints' are compared elsewhere."""
    rows = [
        [{k: v for k, v in keys.items() if k not in _SCHEME} for keys in dataset.categories]
        for dataset in (one, other)
    ]
    return rows[0] != rows[1] and any(map(any, rows))


def _of_scheme(split: str, dataset: Dataset, found: Dataset, lost: Lost) -> Iterator[str]:
    """Compare the meaning of the keypoints; left and right are listed if they are not read back."""
    if "keypoints" not in found.fields or "keypoints" not in dataset.fields:
        return
    one, other = dataset.scheme, found.scheme
    for what, differ in (
        ("the names of the keypoints", one.names != other.names),
        ("the skeleton of the keypoints", one.skeleton != other.skeleton),
    ):
        if differ and f"{split}: {what}" not in lost:
            yield f"{split}: {what}"
    what = "left and right of the keypoints"
    if one.pairs != other.pairs and f"{split}: {what}" not in lost:
        lost.of(split, [what])


def _difference(one: Row, other: Row, exact: bool) -> str:
    """Describe the difference of two rows; "" if they are equal."""
    if len(one.boxes) != len(other.boxes) or not np.array_equal(one.classes, other.classes):
        return f"{len(other.boxes)} boxes instead of {len(one.boxes)}, or different classes"
    max_difference = 0.0 if exact else held.tolerance(one.size)
    if not _same_boxes(one.boxes, other.boxes, max_difference):
        return "different boxes"
    if not np.array_equal(one.crowd, other.crowd):
        return "different crowd regions"
    if not _same_polygons(one, other, max_difference):
        return "different polygons"
    if not _same_keypoints(one, other, max_difference):
        return "different keypoints"
    if exact and not np.array_equal(held.area_of(one), held.area_of(other), equal_nan=True):
        return "different areas"
    if exact and not _same_labels(one, other):
        return "different labels of the image"
    return "" if _same_keys(one, other, exact) else "different keys"


def _same_boxes(one: np.ndarray, other: np.ndarray, max_difference: float) -> bool:
    if not len(one):
        return True
    if one.shape[1] != other.shape[1]:
        return False
    if one.shape[1] == 4 or not max_difference:
        return np.allclose(one, other, rtol=0, atol=max_difference)
    # The angle of a rotated box that is nearly a square depends on the last digits; the corners do
    # not. Which of them is the first depends on the angle.
    first, second = RotatedBoxes(one).corners(), RotatedBoxes(other).corners()
    off = [np.abs(first - np.roll(second, step, axis=1)).max(axis=(1, 2)) for step in range(4)]
    return bool((np.min(off, axis=0) <= 10 * max_difference).all())


def _same_polygons(one: Row, other: Row, max_difference: float) -> bool:
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


def _same_keypoints(one: Row, other: Row, max_difference: float) -> bool:
    """Compare visibilities, and the coordinates of labeled points; others have no meaning."""
    a, b = one.keypoints, other.keypoints
    if a is None or b is None:
        given = b if a is None else a
        return given is None or not given[..., 2].any()
    if a.shape != b.shape or not np.array_equal(a[..., 2], b[..., 2]):
        return False
    labeled = a[..., 2] > 0
    return np.allclose(a[labeled], b[labeled], rtol=0, atol=max_difference)


def _same_labels(one: Row, other: Row) -> bool:
    if one.labels is None or other.labels is None:
        return one.labels is other.labels
    return np.array_equal(one.labels, other.labels, equal_nan=True)


def _same_keys(one: Row, other: Row, exact: bool) -> bool:
    rows = []
    for row in (one, other):
        image, objects = unpack(row.unknown, len(row.classes))
        rows.append([_without(image), *map(_without, objects)])
    if exact:
        return _text(rows[0]) == _text(rows[1])
    return all(value == b.get(key) for a, b in zip(*rows, strict=True) for key, value in a.items())


def _without(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if key not in _NUMBERS | _COMPARED}


def _text(value: Any) -> str:
    # Compared as text, because NaN is not equal to itself.
    return json.dumps(value, sort_keys=True)


def _of_classes(dataset: Dataset, names: Sequence[str], parts: Sequence[Dataset]) -> list[str]:
    wanted = Counter(zip(names, classes_of(dataset.samples).tolist(), strict=True))
    found = Counter(
        (part.image_path(i).name, index)
        for part in parts
        for i, index in enumerate(classes_of(part.samples).tolist())
    )
    return [f"{name}: not in {dataset.class_map.names[i]}" for name, i in (wanted - found)]


def _of_masks(dataset: Dataset, names: Sequence[str], parts: Sequence[Dataset]) -> Iterator[str]:
    written = {part.image_path(i).name: (part, i) for part in parts for i in range(len(part))}
    for index, name in enumerate(names):
        part, place = written.get(name, (None, 0))
        expected = semantic(dataset, index)
        found = None if part is None else semantic(part, place)
        if found is None or expected is None or not np.array_equal(found, expected):
            yield f"{name}: the mask is missing or different"


def semantic(dataset: Dataset, index: int) -> np.ndarray | None:
    """Return the semantic mask of an image: uint8 class indices, 255 is ignored."""
    if isinstance(dataset.samples, SemanticSamples):
        return dataset.samples.mask(index)
    return dataset.load(index).semantic
