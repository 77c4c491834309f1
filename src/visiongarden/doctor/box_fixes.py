"""What `fix` does to boxes alone: crowds that are objects, labels of equal images, usable boxes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.writers.examples import crowd_of
from visiongarden.errors import DataError


def without_crowds(
    datasets: Mapping[str, DetectionDataset], every: bool, changes: list[str]
) -> dict[str, DetectionDataset]:
    """Boxes that are marked as crowds as objects, where all of a split are, or `every` one.

    A split of crowds alone can be neither trained on nor evaluated; CVAT marks every mask so.
    """
    found = dict(datasets)
    for split, dataset in datasets.items():
        crowds = sum(int(crowd_of(example).sum()) for example in dataset)
        if not crowds or not (every or crowds == dataset.counts().sum()):
            continue
        why = "" if every else ", as all of the split were crowds; CVAT marks masks so"
        changes.append(f"[{split}] iscrowd of {crowds} boxes is 0 now{why}")
        plain = (replace(e, crowd=np.zeros(len(e.boxes), bool)) for e in dataset)
        found[split] = replace(dataset, examples=tuple(plain))
    return found


def refuse_without_boxes(datasets: Mapping[str, DetectionDataset], root: str) -> None:
    """Refuses a copy that nothing could be learned from.

    Raises:
        DataError: the training split has no box, or crowds alone.
    """
    train = datasets["train"]
    if not any((~crowd_of(example)).any() for example in train):
        raise DataError(
            f"{root}: no corrected copy is written: train would have no usable box",
            rule="one box at least that is inside its image, of a known class, and no crowd",
            received="; ".join(
                [f"{len(train)} images, {int(train.counts().sum())} boxes", *train.notes]
            ),
            fix=f"visiongarden data check {shlex.quote(root)}",
        )
