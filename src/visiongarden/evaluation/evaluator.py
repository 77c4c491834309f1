"""Evaluation of a model on a dataset with the metrics of its task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden import markup
from visiongarden.data.readers import opened as opened_data
from visiongarden.errors import DataError
from visiongarden.evaluation.class_names import Aligned, aligned
from visiongarden.evaluation.predictor import Predictor
from visiongarden.models import load
from visiongarden.tasks import COCO_NMS, task_of
from visiongarden.terminal import table
from visiongarden.types import Placement

_METRICS_PER_ROW = 6
_LISTED_CLASSES = 100
_FORMATS_WITHOUT_CLASS_LIST = ("voc", "csv", "folders")
"""Formats whose files name the class of each object, usually without a list of all classes."""


@dataclass(frozen=True)
class Result:
    """Metrics of a model on a dataset; `str()` is a table of classes, then the metrics of all.

    Attributes:
        metrics: Metrics of the model's task by name, 0 to 1; NaN if the dataset has nothing to
            compute a metric from. Detection: COCO's twelve; "AP" is the mean over IoU 0.50 to 0.95.
            Classification: "top1", "top5", "balanced". Segmentation: "mIoU", "accuracy",
            "balanced".
        per_class: Metrics of each class, by class name.
        images: Number of images.
        metrics_name: Name of the metrics, for the heading of the table.
        note: How the classes of model and dataset were matched, if their names differ.
    """

    metrics: dict[str, float]
    per_class: dict[str, dict[str, float]]
    images: int
    metrics_name: str = "COCO metrics"
    note: str = ""

    def __str__(self) -> str:
        columns = list(next(iter(self.per_class.values()), {}))
        per_class = [
            (name, *(_shown(metrics[column]) for column in columns))
            for name, metrics in self.per_class.items()
        ]
        totals = [_shown(self.metrics[n]) if n in self.metrics else "" for n in columns]
        listed = [f"{name:>5} {_shown(value)}" for name, value in self.metrics.items()]
        rows = [
            "  ".join(listed[i : i + _METRICS_PER_ROW])
            for i in range(0, len(listed), _METRICS_PER_ROW)
        ]
        notes = [self.note] if self.note else []
        heading = f"{self.metrics_name} on {self.images} images"
        classes = table(("class", *columns), [*per_class, ("all", *totals)], right=columns)
        return "\n".join([heading, *notes, "", classes, "", *rows])

    def _repr_html_(self) -> str:
        columns = list(next(iter(self.per_class.values()), {}))
        per_class = [
            (name, *(_shown(metrics[column]) for column in columns))
            for name, metrics in self.per_class.items()
        ]
        return markup.section(
            f"{self.metrics_name} on {self.images} images",
            markup.paragraph(self.note) if self.note else "",
            markup.table(list(self.metrics), [[_shown(value) for value in self.metrics.values()]]),
            markup.table(("class", *columns), per_class, limit=_LISTED_CLASSES),
        )


def evaluate(
    model: Any,
    dataset: Any,
    batch_size: int = 16,
    predictor: Predictor | None = None,
    class_names: str | None = None,
) -> Result:
    """Evaluate a model with the metrics of its task, in pixels of the original images.

    Classes of model and dataset are matched by name and may have different orders.

    Args:
        model: A `Detector`, `Classifier`, `Segmenter` or `DarknetModel`.
        dataset: Annotated images of the model's task.
        batch_size: Number of images per step.
        predictor: Predictor to use; by default one at the model's image size that keeps every
            detection the protocol counts.
        class_names: "model" or "data": match class i of the model with class i of the dataset
            whatever the names are, and show the names of this side.

    Raises:
        UserError: The classes of model and dataset differ.
        DataError: An image cannot be decoded.
    """
    classes = aligned(model, dataset.class_map, class_names)
    if hasattr(model, "detect"):
        return _evaluate_imported(model, dataset, classes)
    task = task_of(model)
    predictor = predictor or Predictor(model, postprocess=task.postprocess(model))
    metric = task.metric(classes.class_map)
    loader = task.loader(dataset, predictor.image_size, min(batch_size, max(len(dataset), 1)))
    seen = 0
    for batch in loader.epoch(0):
        count = len(batch.images)
        # The last batch of an epoch may be shorter; rows of padding are dropped again.
        for row, found in enumerate(predictor(filled(batch.images, loader.batch_size))[:count]):
            height, width = (int(side) for side in batch.sizes[row])
            result = task.to_original(found, placement_of(batch, row), (height, width))
            metric.update(classes.found(result), task.ground_truth(dataset, seen))
            seen += 1
    return Result(metric.result(), metric.per_class(), seen, task.metrics_name, classes.note)


def _evaluate_imported(model: Any, dataset: Any, classes: Aligned) -> Result:
    """Evaluate an imported network, which does its own resizing and suppression."""
    task = task_of(model)
    metric = task.metric(classes.class_map)
    for index in range(len(dataset)):
        example = dataset.load(index)
        found = model.detect(example.image, COCO_NMS.score_threshold, clip=True)
        metric.update(classes.found(found), example)
    return Result(
        metric.result(), metric.per_class(), len(dataset), task.metrics_name, classes.note
    )


def make_validator(dataset: Any, batch_size: int = 16) -> Callable[[Any], dict[str, float]]:
    """Return a function that evaluates a model on a dataset, for `fit`.

    Args:
        dataset: Annotated images.
        batch_size: Number of images per step.

    Returns:
        A function that takes a model and returns the main metrics of its task by name.
    """

    def validate(model: Any) -> dict[str, float]:
        metrics = evaluate(model, dataset, batch_size).metrics
        return {name: metrics[name] for name in task_of(model).metrics if name in metrics}

    return validate


def evaluate_file(
    model: str | Path,
    data: str | Path,
    format: str = "auto",
    split: str = "val",
    invalid_boxes: str = "error",
    batch_size: int = 16,
    class_names: str | None = None,
) -> Result:
    """Evaluate a model file on a dataset folder.

    Class names of the dataset are compared with those of the model. If the format of the dataset
    only names classes that occur (VOC, CSV, class folders) and the model knows all of them, the
    class map of the model is used. For a dataset without class names (YOLO), `class_names="model"`
    uses those of the model.

    Args:
        model: Path of a model file.
        data: Path of the dataset.
        format: Format of the dataset; "auto" detects it.
        split: Name of the split.
        invalid_boxes: What to do with invalid boxes; as in `visiongarden.data.readers.read`.
        batch_size: Number of images per step.
        class_names: As in `evaluate`.

    Raises:
        UserError: The classes of model and dataset differ.
        DataError: The dataset cannot be read.
    """
    opened = load(model)
    task, own = task_of(opened), opened.class_map
    try:
        dataset = task.read(data, format, split, None, invalid_boxes)
    except DataError:
        if class_names != "model" or own is None:
            raise
        dataset = task.read(data, format, split, own.names, invalid_boxes)
    # A class that does not occur in the split is absent from the dataset's class map, so the class
    # ids would shift against those of the model.
    missing = own is not None and set(dataset.class_map.names) < set(own.names)
    if missing and _format(data, format) in _FORMATS_WITHOUT_CLASS_LIST:
        dataset = task.read(data, format, split, own.names, invalid_boxes)
    return evaluate(opened, dataset, batch_size, class_names=class_names)


def _format(data: str | Path, format: str) -> str:
    return opened_data(data)[1] if format == "auto" else format


def placement_of(batch: Any, row: int) -> Placement:
    """Return the scale and offset of one image of a batch on its canvas."""
    (sx, sy), (x, y) = batch.scales[row].tolist(), batch.offsets[row].tolist()
    return Placement((sx, sy), (x, y))


def filled(images: np.ndarray, batch_size: int) -> np.ndarray:
    """Pad the last batch with black images.

    All batches have the same size then, so the model is compiled once.
    """
    missing = batch_size - len(images)
    if not missing:
        return images
    return np.concatenate([images, np.zeros((missing, *images.shape[1:]), np.uint8)])


def _shown(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"
