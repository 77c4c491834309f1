"""What `fix` does to boxes alone: crowds that are objects, labels of equal images, usable boxes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.write.examples import crowd_of
from visiongarden.errors import DataError
from visiongarden.types import Example

_SAME = 1.0
"""Pixels by which two boxes may differ and be the same."""


def different_labels(one: Example, other: Example) -> str:
    """How the boxes of two equal images differ; "" where they do not."""
    if len(one.boxes) != len(other.boxes):
        return f"{len(one.boxes)} boxes there and {len(other.boxes)} here"
    left = list(range(len(other.boxes)))
    for box, index in zip(one.boxes, one.classes, strict=True):
        equal = (
            j
            for j in left
            if other.classes[j] == index and np.abs(other.boxes[j] - box).max() <= _SAME
        )
        match = next(equal, None)
        if match is None:
            return "other boxes or classes"
        left.remove(match)
    return ""


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
            received=f"{len(train)} images, {int(train.counts().sum())} boxes",
            fix=f"visiongarden data check {shlex.quote(root)}",
        )
