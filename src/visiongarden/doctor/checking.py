"""Check all images before training, so that a damaged one does not end a run after hours."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.data.copies import Prints, different_labels
from visiongarden.data.dataset import Dataset, as_dataset, crowds_of
from visiongarden.data.error_list import Finding, refuse
from visiongarden.data.image_samples import ClassSamples
from visiongarden.doctor.mask_study import all_of
from visiongarden.errors import DataError
from visiongarden.samples.annotations import Annotations
from visiongarden.storage.damage import is_truncated
from visiongarden.storage.header import MAX_BYTES
from visiongarden.storage.place import read_bytes, read_ends
from visiongarden.types import IGNORE

DECODED = 20_000
"""Number of images above which a split is checked without decoding them."""

_TAIL = 4096


def check(annotations: Annotations, trained_on: bool = False, prints: Prints | None = None) -> None:
    """Check that every image of a dataset can be decoded, or at least is complete.

    In a split of more than `DECODED` images, only the ends of the files are read, which detects
    truncated files in a thousandth of the time. An image that is damaged elsewhere stops training
    when it is read, with the same message. `visiongarden data check` decodes all images.

    Args:
        annotations: images and annotations of one split.
        trained_on: whether the dataset is used for training. If so, a dataset without usable boxes,
            identical images with different boxes, and masks of a single class are refused.
        prints: cache of digests of the image files, which `leaked` can use again.

    Raises:
        DataError: images are missing, truncated or cannot be decoded, or an image is in the folders
            of two classes. The message names all of them.
    """
    dataset = as_dataset(annotations, "train")
    has_objects = bool(dataset.fields & {"boxes", "masks"})
    if trained_on and has_objects:
        no_usable_box(dataset)
    if len(dataset) > DECODED:
        found = _ends(dataset)
    else:
        with ThreadPoolExecutor(4) as pool:
            loaded = list(pool.map(lambda i: _decoded(dataset, i), range(len(dataset))))
        errors = [one for one in loaded if isinstance(one, DataError)]
        found = [Finding.of_error(error, "image") for error in errors]
        seen = {index for one in loaded if isinstance(one, set) for index in one}
        if "semantic" in dataset.fields and trained_on and not found:
            found += _one_class(dataset, seen)
    # Identical images are looked for only if all images can be decoded.
    prints = prints or Prints()
    found = found or list(_two_classes(dataset, prints))
    if trained_on and has_objects:
        found = found or list(_different_boxes(dataset, prints))
    refuse(dataset.root, found)


def no_usable_box(dataset: Dataset) -> None:
    """Refuse a split without usable boxes.

    Raises:
        DataError: the split has no boxes, or only crowds.
    """
    crowds = crowds_of(dataset)
    if crowds is None or not len(dataset) or not crowds.all():
        return
    if len(crowds):
        raise DataError(
            f"{dataset.root}: all {len(crowds)} boxes of {dataset.split} are crowds",
            rule="crowds are neither trained on nor evaluated; CVAT writes iscrowd 1 for each mask",
            fix=_without_crowds(dataset.root),
        )
    raise DataError(
        f"{dataset.root}: {dataset.split} has no box in any of {len(dataset)} images",
        rule="training needs at least one labeled object",
        received="; ".join(dataset.notes) or None,
    )


def _without_crowds(root: Any) -> str:
    if not isinstance(root, Path):
        return 'write "iscrowd": 0 for single objects'
    files = root if root.is_file() else f"$(find {shlex.quote(str(root))} -name '*.json')"
    pattern = shlex.quote('s/"iscrowd": *(1|true)/"iscrowd": 0/g')
    return f"where they are single objects: sed -i -E {pattern} {files}"


def _decoded(dataset: Dataset, index: int) -> DataError | set[int] | None:
    """Return the error of an image that cannot be decoded, or the values of its mask, or None."""
    try:
        loaded = dataset.load(index)
    except DataError as error:
        return error
    return None if loaded.semantic is None else set(np.unique(loaded.semantic).tolist())


def _one_class(dataset: Dataset, seen: set[int]) -> Iterator[Finding]:
    classes = seen - {IGNORE}
    if len(classes) < 2:
        ignored = "; all other pixels are ignored: are they a class?" if IGNORE in seen else ""
        yield Finding(
            "error",
            "constant",
            str(dataset.root),
            all_of(dataset.class_map, sorted(classes)) + ignored,
        )


def _two_classes(dataset: Dataset, prints: Prints) -> Iterator[Finding]:
    samples = dataset.samples
    if not isinstance(samples, ClassSamples):
        return
    for group in prints.equal(dataset):
        names = [dataset.class_map.names[samples.classes[i]] for _, i in group]
        if len(set(names)) > 1:
            where = ", ".join(str(samples.paths[i]) for _, i in group)
            what = f"the same image has the classes {' and '.join(dict.fromkeys(names))}"
            yield Finding("error", "two-labels", where, what)


def _different_boxes(dataset: Dataset, prints: Prints) -> Iterator[Finding]:
    for (_, first), *others in prints.equal(dataset):
        for _, index in others:
            if different := different_labels(dataset.row(first), dataset.row(index)):
                where = f"{dataset.image_path(index)}, {dataset.image_path(first)}"
                what = f"the same image with different labels: {different}"
                yield Finding("error", "two-labels", where, what)


def _ends(dataset: Dataset) -> list[Finding]:
    found = []
    for index in range(len(dataset)):
        # Archives and record shards are complete, as truncated ones cannot be opened.
        path = dataset.image_path(index)
        if not isinstance(path, Path):
            break
        try:
            _check_end(path)
        except DataError as error:
            found.append(Finding.of_error(error, "image"))
    return found


def _check_end(path: Path) -> None:
    # JPEG ends with the marker EOI, PNG with the chunk IEND. Other bytes may follow them, so a file
    # whose last 4 KiB contain no such end is read completely.
    first, last = read_ends(path, 4, _TAIL)
    ends = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND\xaeB`\x82"}
    end = ends.get(first[:2])
    if end is not None and end not in last and is_truncated(read_bytes(path, MAX_BYTES)):
        raise DataError(f"{path}: the image is truncated", fix="copy the file again")
