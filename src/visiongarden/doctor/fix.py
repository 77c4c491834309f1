"""`fix`: a corrected copy of a data set, and a list of what is different in it."""

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
"""Kinds of errors of which only a person can say what was meant."""


def fix(
    path: str | Path,
    target: str | Path,
    format: str = "auto",
    keep_background: bool = False,
    crowds_as_objects: bool = False,
) -> list[str]:
    """Writes a corrected copy of a data set in its own format; the original stays as it is.

    - Boxes that leave the image are cut at its border; those without area, with ids outside the
      class map, or on lines that cannot be read are left out, and so are images that lose all
      their boxes in this way. Of an invalid polygon or area the box is kept.
    - Where all boxes of a split are marked as crowds, which are never trained on, they are objects.
    - Boxes that are there twice are kept once.
    - Images that are missing, damaged or of another size than their labels say are left out, as are
      images without a mask, and masks that hold what is in no class.
    - Images that are there twice are kept once, one that has labels where another has none; where a
      copy is in the training split and one in a split that judges, the former is left out. An image
      in the folders of two classes is left out wherever it is.
    - In class folders, what is no image, folders without one, and classes of which the training
      split has none are left out.
    - Class ids that are all one too high or too low are put right where they are then exactly those
      of the class map.

    Args:
        path: the data set.
        target: a folder that is not there yet; it holds the list as `changes.txt` too.
        format: of the annotations, or "auto" to look.
        keep_background: keep images that lose all their boxes, as images without an object.
        crowds_as_objects: take every box that is marked as a crowd for an object.

    Returns:
        One line a change.

    Raises:
        UserError: there is something at the target; the class ids seem to be shifted, but could be
            meant otherwise; splits have different classes, equal images different boxes, or shares
            stand where pixels belong: a person must say what was meant.
        DataError: the data set cannot be read at all, nothing usable would be left to train on, or
            the copy would not be read back the same.
    """
    root, format = opened(path, format)
    labelling = labelling_of(format)()
    if isinstance(labelling, Boxes):
        labelling.crowds_as_objects = crowds_as_objects
    changes: list[str] = []
    datasets, faults = {}, {}
    for split in splits_of(root, format):
        datasets[split], faults[split] = gather(root, format, split, mend=True)
    looks = images.look_at({split: datasets[split] for split in _in_order(datasets)})
    _study(labelling, datasets, faults, looks)
    step = shift_of(datasets, faults)
    if step:
        changes.append(_shift(labelling, datasets, faults, format, step))
        _study(labelling, datasets, faults, looks)
    _refuse_doubtful(datasets, faults, str(root))
    for split in datasets:
        changes += [f"[{split}] {line}" for line in faults[split].dropped]
        # What cannot be learned is listed image by image once it is known what is left.
        found = [fault for fault in faults[split].found if fault.kind != "split-class"]
        changes += [f"[{split}] left out: {finding}" for finding in found]
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
    if not fixed or ("train" in datasets and not fixed.keys() & {"train", ""}):
        of = " to train on" if fixed else ""
        raise DataError(f"{path}: no image{of} is sound", fix=f"visiongarden data check {path}")
    in_one_step(Path(target), lambda folder: _write(labelling, folder, fixed, format, changes))
    return changes


def _in_order(splits: Iterable[str]) -> list[str]:
    """Judging first, so that the copy that is kept is not the one that is trained on."""
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
    """Puts all splits right, and says so."""
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
    """(split, index) of images none of whose labels could be kept, unless they are to be kept."""
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
    """(split, index) of images that are not sound, have lost their labels, or are there already."""
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
    """Those of equal images that are left out, and why.

    Raises:
        UserError: two have different boxes.
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
