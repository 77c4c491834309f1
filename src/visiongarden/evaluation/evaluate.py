"""`evaluate`: a model on a data set -> COCO's figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Table

from visiongarden.data import DetectionDataset, Loader, read
from visiongarden.errors import UserError
from visiongarden.evaluation.predictor import COCO_NMS, Predictor
from visiongarden.metrics import CocoMeanAveragePrecision
from visiongarden.models import load
from visiongarden.postprocess import to_original
from visiongarden.types import Batch, ClassMap, Placement


@dataclass(frozen=True)
class Result:
    """What a model reached on a data set.

    Attributes:
        figures: COCO's twelve, 0 to 1; "AP" is the mean over IoU 0.50 to 0.95; NaN where a data
            set has nothing to judge by.
        per_class: name -> {"AP", "AP50"}.
        images: number of images.
    """

    figures: dict[str, float]
    per_class: dict[str, dict[str, float]]
    images: int

    def table(self) -> Group:
        """All figures for a terminal: the classes, then COCO's twelve."""
        table = Table("class", "AP", "AP50", box=None, header_style="bold")
        for name, figures in self.per_class.items():
            table.add_row(name, _shown(figures["AP"]), _shown(figures["AP50"]))
        table.add_row("all", *(_shown(self.figures[n]) for n in ("AP", "AP50")), style="bold")
        twelve = [f"{name:>5} {_shown(value)}" for name, value in self.figures.items()]
        rows = ["  ".join(twelve[i : i + 6]) for i in (0, 6)]
        return Group(f"COCO figures on {self.images} images", table, *rows)


def evaluate(
    model: Any,
    dataset: DetectionDataset,
    batch_size: int = 16,
    predictor: Predictor | None = None,
) -> Result:
    """Judges a detector by COCO's protocol, in pixels of the original images.

    Args:
        model: a `Detector`, or a `DarknetModel`.
        dataset: what to judge on.
        batch_size: images a step.
        predictor: one that is compiled already; by default COCO's NMS at the model's image size.

    Raises:
        UserError: the classes of model and data set differ.
        DataError: an image cannot be decoded.
    """
    _same_classes(model.class_map, dataset.class_map)
    if hasattr(model, "detect"):
        return _by_itself(model, dataset)
    predictor = predictor or Predictor(model, nms=COCO_NMS)
    metric = CocoMeanAveragePrecision(dataset.class_map)
    loader = Loader(dataset, predictor.image_size, min(batch_size, max(len(dataset), 1)))
    seen = 0
    for batch in loader.epoch(0):
        count = len(batch.images)
        for row, found in enumerate(predictor(filled(batch.images, loader.batch_size))[:count]):
            example = dataset[seen]
            placement, size = placement_of(batch, row), (int(v) for v in batch.sizes[row])
            metric.update(to_original(found, placement, tuple(size)), example)  # type: ignore[arg-type]
            seen += 1
    return Result(metric.result(), metric.per_class(), seen)


def _by_itself(model: Any, dataset: DetectionDataset) -> Result:
    """Judges an imported network, which has its own way from pixels to boxes."""
    metric = CocoMeanAveragePrecision(dataset.class_map)
    for index in range(len(dataset)):
        example = dataset.load(index)
        metric.update(model.detect(example.image, COCO_NMS.score_threshold, clip=True), example)
    return Result(metric.result(), metric.per_class(), len(dataset))


def judge_on(dataset: DetectionDataset, batch_size: int = 16) -> Callable[[Any], dict[str, float]]:
    """A function model -> {"AP", "AP50"} for `fit`; compiles each model once, not each epoch."""
    predictors: dict[int, Predictor] = {}

    def judge(model: Any) -> dict[str, float]:
        if id(model) not in predictors:
            predictors[id(model)] = Predictor(model, nms=COCO_NMS)
        figures = evaluate(model, dataset, batch_size, predictors[id(model)]).figures
        return {name: figures[name] for name in ("AP", "AP50")}

    return judge


def evaluate_file(
    model: str | Path,
    data: str | Path,
    format: str = "auto",
    split: str = "val",
    invalid_boxes: str = "error",
    batch_size: int = 16,
) -> Result:
    """`evaluate` for a model file and a data set's folder; the model's class map is the data's."""
    opened = load(model)
    names = opened.class_map.names if opened.class_map else None
    dataset = read(data, format, split, names, invalid_boxes)
    return evaluate(opened, dataset, batch_size)


def placement_of(batch: Batch, row: int) -> Placement:
    """Where one image lies on its canvas."""
    (sx, sy), (x, y) = batch.scales[row].tolist(), batch.offsets[row].tolist()
    return Placement((sx, sy), (x, y))


def filled(images: np.ndarray, batch_size: int) -> np.ndarray:
    """The last batch filled up with black, so that a model is compiled for one size only."""
    missing = batch_size - len(images)
    if not missing:
        return images
    return np.concatenate([images, np.zeros((missing, *images.shape[1:]), np.uint8)])


def _same_classes(model: ClassMap | None, data: ClassMap) -> None:
    if model is not None and model.names != data.names:
        raise UserError(
            "the model and the data set have different classes",
            rule=f"the model's: {', '.join(model.names)}",
            received=f"the data set's: {', '.join(data.names)}",
        )


def _shown(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"
