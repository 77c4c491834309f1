"""`fix`: a corrected copy of a data set, and a list of what is different in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from visiongarden.data.augment.tile import keep
from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.doctor import images, labels
from visiongarden.data.read import gather, opened, splits_of
from visiongarden.data.write import in_one_step
from visiongarden.data.write.formats import WRITERS, Lost
from visiongarden.errors import DataError, UserError
from visiongarden.types import Example

CHANGES = "changes.txt"
_JUDGED_FIRST = ("test", "val", "valid")


def fix(path: str | Path, target: str | Path, format: str = "auto") -> list[str]:
    """Writes a corrected copy of a data set in its own format; the original stays as it is.

    - Boxes that leave the image are cut at its border; those without area, with ids outside the
      class map, or on lines that cannot be read are left out.
    - Boxes that are there twice are kept once.
    - Images that are missing, damaged or of another size than their labels say are left out.
    - Images that are there twice are kept once; where a copy is in the training split and one in a
      split that judges, the former is left out.

    Args:
        path: the data set.
        target: a folder that is not there yet; it holds the list as `changes.txt` too.
        format: of the annotations, or "auto" to look.

    Returns:
        One line a change.

    Raises:
        UserError: there is something at the target; the class ids seem to be shifted, or shares
            stand where pixels belong: a person must say what was meant.
        DataError: the data set cannot be read at all.
    """
    root, format = opened(path, format)
    changes: list[str] = []
    datasets: dict[str, DetectionDataset] = {}
    for split in splits_of(root, format):
        dataset, faults = gather(root, format, split, mend=True)
        shifted = (
            [] if format in ("voc", "csv") else labels.of_ids(faults, dataset.class_map, split)
        )
        doubtful = [f for f in (*shifted, *faults.found) if f.kind in ("off-by-one", "shares")]
        if any(finding.level == "error" for finding in doubtful):
            raise UserError(str(doubtful[0]), rule="what was meant, a person must say")
        changes += [f"[{split}] {line}" for line in faults.dropped]
        changes += [f"[{split}] left out: {finding}" for finding in faults.found]
        datasets[split] = dataset
    left_out = _images_left_out(datasets, changes)
    fixed = {
        split: _fixed(split, dataset, left_out, changes) for split, dataset in datasets.items()
    }
    fixed = {split: dataset for split, dataset in fixed.items() if len(dataset)}
    if not fixed:
        raise DataError(f"{path}: no image is sound", fix=f"visiongarden data check {path}")
    in_one_step(Path(target), lambda folder: _write(folder, fixed, format, changes))
    return changes


def _write(
    folder: Path, fixed: Mapping[str, DetectionDataset], format: str, changes: list[str]
) -> None:
    lost = Lost()
    WRITERS[format](fixed, folder, lost)
    changes += lost
    text = "".join(f"{line}\n" for line in changes)
    (folder / CHANGES).write_text(text, encoding="utf-8", errors="backslashreplace")


def _images_left_out(
    datasets: Mapping[str, DetectionDataset], changes: list[str]
) -> set[tuple[str, int]]:
    # Judging first, so that the copy that is kept is not the one that is trained on.
    order = sorted(datasets, key=lambda split: split not in _JUDGED_FIRST)
    looks = images.look_at({split: datasets[split] for split in order})
    left_out = set()
    for look in looks:
        if look.fault:
            left_out.add((look.split, look.index))
            changes.append(f"[{look.split}] left out: {look.fault}")
    for first, copies in images.same([look for look in looks if not look.fault]):
        for copy in copies:
            left_out.add((copy.split, copy.index))
            line = f"{copy.path}: the same image as {first.path} of {first.split}"
            changes.append(f"[{copy.split}] left out: {line}")
    return left_out


def _fixed(
    split: str,
    dataset: DetectionDataset,
    left_out: set[tuple[str, int]],
    changes: list[str],
) -> DetectionDataset:
    examples: list[Example] = []
    for index, example in enumerate(dataset):
        if (split, index) in left_out:
            continue
        kept = np.ones(len(example.boxes), bool)
        for later, first in labels.duplicates(example.boxes):
            if example.classes[later] == example.classes[first]:
                kept[later] = False
                changes.append(
                    f"[{split}] left out: {example.path}: box {later} equals box {first}"
                )
        examples.append(keep(example, kept))
    return replace(dataset, examples=tuple(examples))
