"""Write a corrected copy of a dataset with a list of all changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from visiongarden.data.dataset import Dataset, as_dataset
from visiongarden.data.error_list import ErrorList
from visiongarden.data.readers import Reader, gather, opened, splits_of
from visiongarden.data.writers import COCOWriter, Writer
from visiongarden.data.writers.splits import write_file
from visiongarden.doctor import images
from visiongarden.doctor.boxes import Boxes
from visiongarden.doctor.conversion import in_one_step
from visiongarden.doctor.images import Look
from visiongarden.doctor.kinds import labeling_of
from visiongarden.doctor.labeling import (
    Labeling,
    id_range,
    of_ids,
    of_maps,
    seen_ids,
    shift_of,
)
from visiongarden.errors import DataError, UserError
from visiongarden.terminal import counted, printable

CHANGES = "changes.txt"
_KEPT_FIRST = ("test", "val", "valid")
_AMBIGUOUS = ("shares", "class-map")
"""Kinds of errors with several possible meanings, which only the user can resolve."""


def fix(
    path: str | Path,
    target: str | Path,
    reader: Any = "auto",
    keep_background: bool = False,
    crowds_as_objects: bool = False,
) -> list[str]:
    """Write a corrected copy of a dataset; the original is not changed.

    The copy has the format of the source, or COCO's if there is no writer for it.

    - Boxes are clipped to the image. Boxes without area, with unknown class ids, or on unreadable
      lines are removed, and so are images that lose all their boxes in this way. If only the
      polygons or the area of an object are invalid, its box is kept.
    - If all boxes of a split are crowds, which are never trained on, they become objects.
    - Duplicate boxes are removed.
    - Images are removed if they are missing, damaged, or of another size than their annotation
      states, if they have no mask, or if their mask contains unknown values.
    - Of identical images one is kept: one with labels before one without, and then one in a split
      for evaluation before one in the training split, so that evaluation splits stay as they were.
      An image in the folders of two classes is removed from both.
    - In class folders, files that are not images, folders without images, and classes without
      training images are removed.
    - Class ids that are all one too high or too low are corrected, if they then are exactly those
      of the class map.

    Args:
        path: folder, file or archive of a dataset.
        target: folder to create. It also contains the list of changes, `changes.txt`.
        reader: reader of the dataset, as in `read`.
        keep_background: keep images that lose all their boxes as images without objects.
        crowds_as_objects: turn every crowd into an object.

    Returns:
        One line for each change.

    Raises:
        UserError: the target exists, or an issue can have several meanings: class ids that may be
            shifted, splits with different classes, identical images with different boxes, or
            fractions where pixels are expected.
        DataError: the dataset cannot be read, nothing would be left to train on, or the copy
            differs when it is read back.
    """
    root, chosen = opened(path, reader)
    changes: list[str] = []
    datasets: dict[str, Dataset] = {}
    errors: dict[str, ErrorList] = {}
    for split in splits_of(root, chosen):
        found, errors[split] = gather(root, chosen, split, repair=True)
        datasets[split] = as_dataset(found, split)
    labeling = labeling_of(datasets, chosen)(reader=chosen)
    if isinstance(labeling, Boxes):
        labeling.crowds_as_objects = crowds_as_objects
    writer = _writer_for(chosen, changes)
    # `images.same` keeps the first of identical images in this order.
    looks = images.look_at({split: datasets[split] for split in _in_order(datasets)})
    _study(labeling, datasets, errors, looks)
    step = shift_of(datasets, errors)
    if step:
        changes.append(_shift(labeling, datasets, errors, chosen, step))
        _study(labeling, datasets, errors, looks)
    _refuse_ambiguous(datasets, errors, str(root))
    for split in datasets:
        changes += [f"[{split}] {line}" for line in errors[split].dropped]
        # Images of classes without training images are listed one by one later, by `settled`.
        invalid = [error for error in errors[split].found if error.kind != "split-class"]
        changes += [f"[{split}] left out: {finding}" for finding in invalid]
        # A COCO copy keeps the numbers of the file, so these boxes do not change there.
        if errors[split].trimmed and not isinstance(writer, COCOWriter):
            trimmed = counted(errors[split].trimmed, "box")
            changes.append(f"[{split}] clipped: {trimmed} less than a pixel outside")
    emptied = _emptied(datasets, errors, keep_background, changes)
    left_out = _left_out(labeling, datasets, looks, emptied, changes)
    fixed = {
        split: labeling.part(
            dataset, [i for i in range(len(dataset)) if (split, i) not in left_out], changes
        )
        for split, dataset in datasets.items()
    }
    settled = labeling.settled(fixed, root, changes)
    fixed = {split: dataset for split, dataset in settled.items() if len(dataset)}
    # "" is the single split of a dataset that a hash divides; see `Labeling.settled`.
    if not fixed or ("train" in datasets and not fixed.keys() & {"train", ""}):
        purpose = " to train on" if fixed else ""
        raise DataError(
            f"{path}: no valid image{purpose} is left", fix=f"visiongarden data check {path}"
        )
    in_one_step(Path(target), lambda folder: _write(labeling, folder, fixed, writer, changes))
    return changes


def _writer_for(reader: Reader, changes: list[str]) -> Writer:
    """Return the writer of the format that a reader reads, or else that of COCO."""
    name = type(reader).__name__
    for kind in Writer.by_name().values():
        if kind.reader == name:
            return kind()
    changes.append(f"written as {COCOWriter.format}, because no writer belongs to {name}")
    return COCOWriter()


def _in_order(splits: Iterable[str]) -> list[str]:
    """Sort evaluation splits first, because the first of identical images is kept.

    The evaluation data then stay comparable, and the copy in the training split is removed.
    """
    return sorted(splits, key=lambda split: split not in _KEPT_FIRST)


def _study(
    labeling: Labeling,
    datasets: Mapping[str, Dataset],
    errors: Mapping[str, ErrorList],
    looks: Sequence[Look],
) -> None:
    for split, dataset in datasets.items():
        split_looks = [look for look in looks if look.split == split]
        labeling.study(dataset, errors[split], split, split_looks)


def _shift(
    labeling: Labeling,
    datasets: dict[str, Dataset],
    errors: Mapping[str, ErrorList],
    reader: Reader,
    step: int,
) -> str:
    """Shift the class ids of all splits in place, and return the line for the list of changes."""
    seen = {i for one in errors.values() for i in seen_ids(one)}
    for split, dataset in datasets.items():
        datasets[split] = labeling.shifted(dataset, errors[split], reader, step)
    now = id_range({i - step for i in seen})
    return f"class ids shifted by {-step:+d}: the labels used {id_range(seen)} and now use {now}"


def _refuse_ambiguous(
    datasets: Mapping[str, Dataset], errors: Mapping[str, ErrorList], root: str
) -> None:
    ambiguous = list(of_maps(datasets, root))
    for split, dataset in datasets.items():
        ambiguous += [finding for finding in errors[split].found if finding.kind in _AMBIGUOUS]
        ids = of_ids(errors[split], dataset.class_map, split)
        ambiguous += [finding for finding in ids if finding.level == "error"]
    if ambiguous:
        raise UserError(
            str(ambiguous[0]),
            rule="it has several possible causes and cannot be fixed automatically",
        )


def _write(
    labeling: Labeling,
    folder: Path,
    fixed: Mapping[str, Dataset],
    writer: Writer,
    changes: list[str],
) -> None:
    changes += labeling.write(writer, fixed, folder)
    text = "".join(f"{line}\n" for line in changes)
    write_file(folder, CHANGES, content=printable(text))


def _emptied(
    datasets: Mapping[str, Dataset], errors: Mapping[str, ErrorList], keep: bool, changes: list[str]
) -> set[tuple[str, int]]:
    """Return (split, index) of the images that lose all labels, or nothing if they are kept."""
    emptied = set()
    for split, dataset in datasets.items():
        lost = errors[split].emptied
        for index in range(len(dataset)) if lost else ():
            path = str(dataset.image_path(index))
            if path in lost:
                emptied.add((split, index))
                how = "kept as background" if keep else "left out"
                changes.append(f"[{split}] {how}: {path}: none of its labels is valid")
    return set() if keep else emptied


def _left_out(
    labeling: Labeling,
    datasets: Mapping[str, Dataset],
    looks: Sequence[Look],
    emptied: set[tuple[str, int]],
    changes: list[str],
) -> set[tuple[str, int]]:
    """Return (split, index) of the images that are invalid, lose all labels, or are duplicates."""
    left_out = set(emptied)
    for look in looks:
        if look.error and (look.split, look.index) not in left_out:
            left_out.add((look.split, look.index))
            changes.append(f"[{look.split}] left out: {look.error}")
    for split in datasets:
        for index, error in labeling.invalid_labels(split):
            left_out.add((split, index))
            changes.append(f"[{split}] left out: {error}")
    valid = [look for look in looks if (look.split, look.index) not in left_out]
    for first, copies in images.same(valid):
        for copy, what in _copies(labeling, datasets, [first, *copies]):
            left_out.add((copy.split, copy.index))
            changes.append(f"[{copy.split}] left out: {copy.path}: {what}")
    return left_out


def _copies(
    labeling: Labeling, datasets: Mapping[str, Dataset], equal: Sequence[Look]
) -> Iterator[tuple[Look, str]]:
    """Yield the images to remove from a group of identical images, with the reason.

    Raises:
        UserError: two of them have different boxes.
    """
    labeled = [labeling.is_labeled(datasets[one.split], one.index) for one in equal]
    first = equal[labeled.index(True)] if any(labeled) else equal[0]
    others = [
        (one, has_labels)
        for one, has_labels in zip(equal, labeled, strict=True)
        if one is not first
    ]
    for other in (one for one, has_labels in others if has_labels):
        different = _between(labeling.conflict, datasets, first, other)
        if different:
            raise UserError(
                f"{other.path} of {other.split} is the same image as {first.path} of "
                f"{first.split}, with different labels: {different}",
                rule="identical images have identical labels; decide which are right",
                fix="delete one of the two images with its labels",
            )
    differences = [_between(labeling.differ, datasets, first, one) for one, _ in others]
    if any(differences) and labeling.contradiction == "error":
        yield from ((one, "the same image has two labels") for one in equal)
        return
    for (one, has_labels), different in zip(others, differences, strict=True):
        reason = different or ("" if has_labels or not any(labeled) else "without labels")
        yield one, f"the same image as {first.path} of {first.split}" + (reason and f", {reason}")


def _between(
    compare: Callable[..., str], datasets: Mapping[str, Dataset], first: Look, copy: Look
) -> str:
    return compare(datasets[first.split], first.index, datasets[copy.split], copy.index)
