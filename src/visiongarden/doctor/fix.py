"""Write a corrected copy of a dataset with a list of all changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from visiongarden.data.faults import Faults
from visiongarden.data.readers import gather, opened, splits_of
from visiongarden.data.writers.examples import Lost
from visiongarden.data.writers.read_back import read_back
from visiongarden.data.writers.splits import write_file
from visiongarden.doctor import images
from visiongarden.doctor.boxes import Boxes
from visiongarden.doctor.convert import in_one_step
from visiongarden.doctor.images import Look
from visiongarden.doctor.kinds import labelling_of
from visiongarden.doctor.labelling import (
    Labelling,
    id_range,
    of_ids,
    of_maps,
    seen_ids,
    shift_of,
)
from visiongarden.errors import DataError, UserError
from visiongarden.terminal import printable

CHANGES = "changes.txt"
_JUDGED_FIRST = ("test", "val", "valid")
_DOUBTFUL = ("shares", "class-map")
"""Kinds of errors with several possible meanings, which only the user can resolve."""


def fix(
    path: str | Path,
    target: str | Path,
    format: str = "auto",
    keep_background: bool = False,
    crowds_as_objects: bool = False,
) -> list[str]:
    """Write a corrected copy of a dataset in the same format; the original is not changed.

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
        format: format of the annotations; "auto" detects it.
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
    root, format = opened(path, format)
    labelling = labelling_of(format)()
    if isinstance(labelling, Boxes):
        labelling.crowds_as_objects = crowds_as_objects
    changes: list[str] = []
    datasets, faults = {}, {}
    for split in splits_of(root, format):
        datasets[split], faults[split] = gather(root, format, split, mend=True)
    # `images.same` keeps the first of identical images in this order.
    looks = images.look_at({split: datasets[split] for split in _in_order(datasets)})
    _study(labelling, datasets, faults, looks)
    step = shift_of(datasets, faults)
    if step:
        changes.append(_shift(labelling, datasets, faults, format, step))
        _study(labelling, datasets, faults, looks)
    _refuse_doubtful(datasets, faults, str(root))
    for split in datasets:
        changes += [f"[{split}] {line}" for line in faults[split].dropped]
        # Images of classes without training images are listed one by one later, by `settled`.
        found = [fault for fault in faults[split].found if fault.kind != "split-class"]
        changes += [f"[{split}] left out: {finding}" for finding in found]
        # A COCO copy keeps the numbers of the file, so these boxes do not change there.
        if faults[split].trimmed and format != "coco":
            many = faults[split].trimmed
            changes.append(f"[{split}] {many} boxes less than a pixel over the border: cut there")
    emptied = _emptied(datasets, faults, keep_background, changes)
    left_out = _left_out(labelling, datasets, looks, emptied, changes)
    fixed = {
        split: labelling.part(
            dataset, [i for i in range(len(dataset)) if (split, i) not in left_out], changes
        )
        for split, dataset in datasets.items()
    }
    settled = labelling.settled(fixed, root, changes)
    fixed = {split: dataset for split, dataset in settled.items() if len(dataset)}
    # "" is the single split of a dataset that a hash divides; see `Labelling.settled`.
    if not fixed or ("train" in datasets and not fixed.keys() & {"train", ""}):
        of = " to train on" if fixed else ""
        raise DataError(f"{path}: no image{of} is sound", fix=f"visiongarden data check {path}")
    in_one_step(Path(target), lambda folder: _write(labelling, folder, fixed, format, changes))
    return changes


def _in_order(splits: Iterable[str]) -> list[str]:
    """Sort evaluation splits first, because the first of identical images is kept.

    The evaluation data then stay comparable, and the copy in the training split is removed.
    """
    return sorted(splits, key=lambda split: split not in _JUDGED_FIRST)


def _study(
    labelling: Labelling,
    datasets: Mapping[str, Any],
    faults: Mapping[str, Faults],
    looks: Sequence[Look],
) -> None:
    for split, dataset in datasets.items():
        own = [look for look in looks if look.split == split]
        labelling.study(dataset, faults[split], split, own)


def _shift(
    labelling: Labelling,
    datasets: dict[str, Any],
    faults: Mapping[str, Faults],
    format: str,
    step: int,
) -> str:
    """Shift the class ids of all splits in place, and return the line for the list of changes."""
    seen = {i for one in faults.values() for i in seen_ids(one)}
    for split, dataset in datasets.items():
        datasets[split] = labelling.shifted(dataset, faults[split], format, step)
    now = id_range({i - step for i in seen})
    return f"class ids moved by {-step:+d}: the labels used {id_range(seen)}, now {now}"


def _refuse_doubtful(datasets: Mapping[str, Any], faults: Mapping[str, Faults], root: str) -> None:
    doubtful = list(of_maps(datasets, root))
    for split, dataset in datasets.items():
        doubtful += [finding for finding in faults[split].found if finding.kind in _DOUBTFUL]
        ids = of_ids(faults[split], dataset.class_map, split)
        doubtful += [finding for finding in ids if finding.level == "error"]
    if doubtful:
        raise UserError(str(doubtful[0]), rule="what was meant, a person must say")


def _write(
    labelling: Labelling,
    folder: Path,
    fixed: Mapping[str, Any],
    format: str,
    changes: list[str],
) -> None:
    lost = Lost()
    labelling.write(format, fixed, folder, lost)
    read_back(format, folder, fixed, lost)
    changes += lost
    text = "".join(f"{line}\n" for line in changes)
    write_file(folder, CHANGES, content=printable(text))


def _emptied(
    datasets: Mapping[str, Any], faults: Mapping[str, Faults], keep: bool, changes: list[str]
) -> set[tuple[str, int]]:
    """Return (split, index) of the images that lose all labels, or nothing if they are kept."""
    emptied = set()
    for split, dataset in datasets.items():
        lost = faults[split].emptied
        for index in range(len(dataset)) if lost else ():
            place = str(dataset.image_path(index))
            if place in lost:
                emptied.add((split, index))
                how = "kept as background" if keep else "left out"
                changes.append(f"[{split}] {how}: {place}: none of its labels can be used")
    return set() if keep else emptied


def _left_out(
    labelling: Labelling,
    datasets: Mapping[str, Any],
    looks: Sequence[Look],
    emptied: set[tuple[str, int]],
    changes: list[str],
) -> set[tuple[str, int]]:
    """Return (split, index) of the images that are invalid, lose all labels, or are duplicates."""
    left_out = set(emptied)
    for look in looks:
        if look.fault and (look.split, look.index) not in left_out:
            left_out.add((look.split, look.index))
            changes.append(f"[{look.split}] left out: {look.fault}")
    for split in datasets:
        for index, fault in labelling.unsound(split):
            left_out.add((split, index))
            changes.append(f"[{split}] left out: {fault}")
    sound = [look for look in looks if (look.split, look.index) not in left_out]
    for first, copies in images.same(sound):
        for copy, what in _copies(labelling, datasets, [first, *copies]):
            left_out.add((copy.split, copy.index))
            changes.append(f"[{copy.split}] left out: {copy.path}: {what}")
    return left_out


def _copies(
    labelling: Labelling, datasets: Mapping[str, Any], equal: Sequence[Look]
) -> Iterator[tuple[Look, str]]:
    """Yield the images to remove from a group of identical images, with the reason.

    Raises:
        UserError: two of them have different boxes.
    """
    labeled = [labelling.is_labeled(datasets[one.split], one.index) for one in equal]
    first = equal[labeled.index(True)] if any(labeled) else equal[0]
    others = [(one, known) for one, known in zip(equal, labeled, strict=True) if one is not first]
    for other in (one for one, known in others if known):
        different = _between(labelling.conflict, datasets, first, other)
        if different:
            raise UserError(
                f"{other.path} of {other.split} is the same image as {first.path} of "
                f"{first.split}, with different labels: {different}",
                rule="equal images have equal labels; what was meant, a person must say",
                fix="delete one of the two, and its labels",
            )
    how = [_between(labelling.differ, datasets, first, one) for one, _ in others]
    if any(how) and labelling.contradiction == "error":
        yield from ((one, "the same image has two labels") for one in equal)
        return
    for (one, known), different in zip(others, how, strict=True):
        less = different or ("" if known or not any(labeled) else "without labels")
        yield one, f"the same image as {first.path} of {first.split}" + (less and f", {less}")


def _between(
    compare: Callable[..., str], datasets: Mapping[str, Any], first: Look, copy: Look
) -> str:
    return compare(datasets[first.split], first.index, datasets[copy.split], copy.index)
