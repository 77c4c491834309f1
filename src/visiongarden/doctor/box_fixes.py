"""Fixes of boxes: turn crowds into objects, refuse a copy without usable boxes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.errors import DataError
from visiongarden.terminal import counted


def without_crowds(
    datasets: Mapping[str, Dataset], every: bool, changes: list[str]
) -> dict[str, Dataset]:
    """Turn crowds into objects in splits where all boxes are crowds, or everywhere.

    Crowds are neither trained on nor evaluated, so a split of crowds alone is useless. CVAT exports
    each mask with `iscrowd` 1.

    Args:
        datasets: dataset of each split.
        every: turn every crowd into an object, also in splits with other boxes.
        changes: list to which one line is added for each changed split.

    Returns:
        The datasets, with changed copies of the affected splits.
    """
    result = dict(datasets)
    for split, dataset in datasets.items():
        crowds = sum(int(row.crowd.sum()) for row in dataset.rows())
        if not crowds or not (every or crowds == dataset.counts().sum()):
            continue
        why = "" if every else ", because all boxes were crowds; CVAT exports masks as crowds"
        changes.append(f"[{split}] iscrowd of {crowds} boxes is changed to 0{why}")
        objects = (replace(row, crowd=np.zeros_like(row.crowd)) for row in dataset.rows())
        result[split] = dataset.with_rows(objects)
    return result


def refuse_without_boxes(datasets: Mapping[str, Dataset], root: str) -> None:
    """Refuse to write a copy without usable boxes in the training split.

    Raises:
        DataError: the training split has no boxes, or only crowds.
    """
    train = datasets["train"]
    if not any((~row.crowd).any() for row in train.rows()):
        raise DataError(
            f"{root}: no corrected copy is written, because train would have no usable box",
            rule="at least one box that is inside its image, has a known class and is not a crowd",
            received="; ".join(
                [
                    f"{counted(len(train), 'image')}, {counted(int(train.objects().sum()), 'box')}",
                    *train.notes,
                ]
            ),
            fix=f"visiongarden data check {shlex.quote(root)}",
        )
