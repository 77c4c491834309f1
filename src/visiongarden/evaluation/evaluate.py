"""`evaluate`: a model on a data set -> the figures of its task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Table

from visiongarden.data.readers import opened as opened_data
from visiongarden.errors import DataError
from visiongarden.evaluation.class_names import Aligned, aligned
from visiongarden.evaluation.predictor import Predictor
from visiongarden.models import load
from visiongarden.tasks import COCO_NMS, task_of
from visiongarden.types import Placement

_A_ROW = 6
_NAMES_THAT_OCCUR = ("voc", "csv", "folders")
"""Formats whose files name each object's class, and list the classes nowhere else as a rule."""


@dataclass(frozen=True)
class Result:
    """What a model reached on a data set.

    Attributes:
        figures: of the model's task, 0 to 1; NaN where a data set has nothing to judge by.
            Detection: COCO's twelve, "AP" is the mean over IoU 0.50 to 0.95. Classification:
            "top1", "top5", "balanced". Segmentation: "mIoU", "accuracy", "balanced".
        per_class: name -> figures of one class.
        images: number of images.
        judged_by: what the figures are.
        note: how the classes of model and data set were matched, where their names differ.
    """

    figures: dict[str, float]
    per_class: dict[str, dict[str, float]]
    images: int
    judged_by: str = "COCO figures"
    note: str = ""

    def table(self) -> Group:
        """All figures for a terminal: the classes, then those of the whole."""
        columns = list(next(iter(self.per_class.values()), {}))
        table = Table("class", *columns, box=None, header_style="bold")
        for name, figures in self.per_class.items():
            table.add_row(name, *(_shown(figures[column]) for column in columns))
        whole = [_shown(self.figures[n]) if n in self.figures else "" for n in columns]
        table.add_row("all", *whole, style="bold")
        listed = [f"{name:>5} {_shown(value)}" for name, value in self.figures.items()]
        rows = ["  ".join(listed[i : i + _A_ROW]) for i in range(0, len(listed), _A_ROW)]
        notes = [self.note] if self.note else []
        return Group(f"{self.judged_by} on {self.images} images", *notes, table, *rows)


def evaluate(
    model: Any,
    dataset: Any,
    batch_size: int = 16,
    predictor: Predictor | None = None,
    class_names: str | None = None,
) -> Result:
    """Judges a model by the protocol of its task, in pixels of the original images.

    Classes of model and data set are matched by name, in whatever order they are.

    Args:
        model: a `Detector`, `Classifier` or `Segmenter`, or a `DarknetModel`.
        dataset: what to judge on, of the model's task.
        batch_size: images a step.
        predictor: by default one at the model's image size that leaves nothing out.
        class_names: "model" or "data": class i of both is the same, whatever the names are, and the
            names of that side are shown.

    Raises:
        UserError: the classes of model and data set differ.
        DataError: an image cannot be decoded.
    """
    classes = aligned(model, dataset.class_map, class_names)
    if hasattr(model, "detect"):
        return _by_itself(model, dataset, classes)
    task = task_of(model)
    predictor = predictor or Predictor(model, postprocess=task.postprocess(model))
    metric = task.metric(classes.class_map)
    loader = task.loader(dataset, predictor.image_size, min(batch_size, max(len(dataset), 1)))
    seen = 0
    for batch in loader.epoch(0):
        count = len(batch.images)
        for row, found in enumerate(predictor(filled(batch.images, loader.batch_size))[:count]):
            height, width = (int(side) for side in batch.sizes[row])
            whole = task.to_original(found, placement_of(batch, row), (height, width))
            metric.update(classes.found(whole), task.truth(dataset, seen))
            seen += 1
    return Result(metric.result(), metric.per_class(), seen, task.judged_by, classes.note)


def _by_itself(model: Any, dataset: Any, classes: Aligned) -> Result:
    """Judges an imported network, which has its own way from pixels to boxes."""
    task = task_of(model)
    metric = task.metric(classes.class_map)
    for index in range(len(dataset)):
        example = dataset.load(index)
        found = model.detect(example.image, COCO_NMS.score_threshold, clip=True)
        metric.update(classes.found(found), example)
    return Result(metric.result(), metric.per_class(), len(dataset), task.judged_by, classes.note)


def judge_on(dataset: Any, batch_size: int = 16) -> Callable[[Any], dict[str, float]]:
    """A function model -> its task's first figures, for `fit`."""

    def judge(model: Any) -> dict[str, float]:
        figures = evaluate(model, dataset, batch_size).figures
        return {name: figures[name] for name in task_of(model).figures if name in figures}

    return judge


def evaluate_file(
    model: str | Path,
    data: str | Path,
    format: str = "auto",
    split: str = "val",
    invalid_boxes: str = "error",
    batch_size: int = 16,
    class_names: str | None = None,
) -> Result:
    """`evaluate` for a model file and a data set's folder.

    The data set's own class names are compared with the model's. Where its files only name the
    classes that occur (VOC, CSV, folders of classes) and all of them are the model's, the model's
    class map holds; where it has no names (YOLO), `class_names="model"` gives it the model's.
    """
    opened = load(model)
    task, own = task_of(opened), opened.class_map
    try:
        dataset = task.read(data, format, split, None, invalid_boxes)
    except DataError:
        if class_names != "model" or own is None:
            raise
        dataset = task.read(data, format, split, own.names, invalid_boxes)
    missing = own is not None and set(dataset.class_map.names) < set(own.names)
    if missing and _format(data, format) in _NAMES_THAT_OCCUR:
        dataset = task.read(data, format, split, own.names, invalid_boxes)
    return evaluate(opened, dataset, batch_size, class_names=class_names)


def _format(data: str | Path, format: str) -> str:
    return opened_data(data)[1] if format == "auto" else format


def placement_of(batch: Any, row: int) -> Placement:
    """Where one image lies on its canvas."""
    (sx, sy), (x, y) = batch.scales[row].tolist(), batch.offsets[row].tolist()
    return Placement((sx, sy), (x, y))


def filled(images: np.ndarray, batch_size: int) -> np.ndarray:
    """The last batch filled up with black, so that a model is compiled for one size only."""
    missing = batch_size - len(images)
    if not missing:
        return images
    return np.concatenate([images, np.zeros((missing, *images.shape[1:]), np.uint8)])


def _shown(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"
