"""Tasks: what a model needs to be trained and judged, one a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from visiongarden.data.readers import opened
from visiongarden.errors import UserError, nearest
from visiongarden.tasks.classification import Classification
from visiongarden.tasks.detection import COCO_NMS, Detection
from visiongarden.tasks.segmentation import Segmentation
from visiongarden.tasks.task import Task

TASKS: dict[str, Task] = {
    task.name: task for task in (Detection(), Segmentation(), Classification())
}

__all__ = [
    "COCO_NMS",
    "TASKS",
    "Classification",
    "Detection",
    "Segmentation",
    "Task",
    "find",
    "task_of",
    "task_of_data",
]


def find(name: str) -> Task:
    """The task of that name.

    Raises:
        UserError: there is none; lists the names.
    """
    if name not in TASKS:
        raise UserError(f"unknown task {name!r}", fix=nearest(name, TASKS))
    return TASKS[name]


def task_of(model: Any) -> Task:
    """The task of a model made of parts."""
    return find(model.task)


def task_of_data(path: str | Path, format: str = "auto") -> Task:
    """The task that a data set is for, by its format.

    Args:
        path: folder, file or archive.
        format: of the data; "auto" looks at the folder.

    Raises:
        DataError: there is no such data set, or it looks like none, or like several.
        UserError: no task reads the format.
    """
    found = format if format != "auto" else opened(path)[1]
    formats = {name: task for task in TASKS.values() for name in task.formats}
    if found not in formats:
        raise UserError(f"unknown format {found!r}", fix=nearest(found, [*formats, "auto"]))
    return formats[found]
