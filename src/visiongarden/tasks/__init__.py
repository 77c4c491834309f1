"""Tasks: everything that differs between detection, classification and segmentation."""

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
    """Return the task of a name.

    Raises:
        UserError: There is no such task; the error lists the names.
    """
    if name not in TASKS:
        raise UserError(f"unknown task {name!r}", fix=nearest(name, TASKS))
    return TASKS[name]


def task_of(model: Any) -> Task:
    """Return the task of a model that is made of parts."""
    return find(model.task)


def task_of_data(path: str | Path, format: str = "auto") -> Task:
    """Return the task of a dataset, which follows from its format.

    Args:
        path: Folder, file or archive.
        format: Format of the dataset; "auto" detects it.

    Raises:
        DataError: There is no such dataset, or its format is unknown or ambiguous.
        UserError: No task reads the format.
    """
    name = format if format != "auto" else opened(path)[1]
    formats = {each: task for task in TASKS.values() for each in task.formats}
    if name not in formats:
        raise UserError(f"unknown format {name!r}", fix=nearest(name, [*formats, "auto"]))
    return formats[name]
