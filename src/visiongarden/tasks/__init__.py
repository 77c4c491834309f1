"""Tasks: what a model needs to be trained and judged, one a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from visiongarden.errors import DataError, UserError, nearest
from visiongarden.tasks.classification import Classification
from visiongarden.tasks.detection import COCO_NMS, Detection
from visiongarden.tasks.segmentation import Segmentation
from visiongarden.tasks.task import Task

# In the order in which data is looked at: `images` beside `masks` may hold a data.yaml too.
TASKS: dict[str, Task] = {
    task.name: task for task in (Segmentation(), Detection(), Classification())
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
    """The task that a data set is for, by its format or else by its shape.

    Args:
        path: folder or file.
        format: of the data; "auto" looks at the folder.

    Raises:
        DataError: there is no such data set, or it looks like none.
        UserError: no task reads the format.
    """
    if format != "auto":
        formats = {name: task for task in TASKS.values() for name in task.formats}
        if format not in formats:
            raise UserError(f"unknown format {format!r}", fix=nearest(format, [*formats, "auto"]))
        return formats[format]
    path = Path(path)
    if not path.exists():
        raise DataError(f"there is no data set {path}", fix="check the path")
    try:
        found = next((task for task in TASKS.values() if task.looks_like(path)), None)
    except OSError as error:
        raise DataError(f"{path} cannot be read", received=str(error)[:200]) from error
    if found is None:
        raise DataError(
            f"cannot tell what {path} is for",
            rule="COCO JSON, YOLO txt or Pascal VOC; folders of classes (train/cat/*.jpg); or "
            "images/ beside masks/",
            fix=f"--task {' or '.join(sorted(TASKS))}, or --format",
        )
    return found
