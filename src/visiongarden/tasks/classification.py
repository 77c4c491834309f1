"""Classification task: scores for each image, evaluated by top-k accuracy."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.data.combined import has_one_class
from visiongarden.errors import UserError
from visiongarden.heads import Classification
from visiongarden.metrics import Metric, TopKAccuracy
from visiongarden.postprocess import Rank
from visiongarden.registry import register
from visiongarden.samples import Sample
from visiongarden.tasks.matching import Match
from visiongarden.tasks.parity import Arrays, Parity, decisions
from visiongarden.tasks.prediction_files import PredictionFiles, listed_classes
from visiongarden.tasks.task import Defaults, invalid_scores, refuse_iou
from visiongarden.tasks.whole_images import (
    WholeImageTask,
    classes_of_labels,
    labels_and_scores,
    refuse_values,
    small_classifier,
)
from visiongarden.transforms import CenterCrop, HorizontalFlip, RandomResizedCrop, Transform
from visiongarden.types import ClassMap, ImageSize, Ranking

_ROUNDING = 1e-3
"""Difference of the sum of labels from 1 that rounding explains."""


class ClassificationFiles(PredictionFiles):
    """Result files of classifications, as JSON and as a table."""

    files = ("classes.json", "classes.csv")

    def row(self, file: Path, found: Ranking) -> dict[str, Any]:
        """Return `classes`, each with class and score, best first."""
        pairs = zip(found.classes, found.scores, strict=True)
        return {"classes": [{"class": self.name(i), "score": round(float(s), 4)} for i, s in pairs]}

    def found(self) -> str:
        """Return the number of images per best class, and the range of the best scores."""
        best = [row["classes"][0] for row in self.rows if row["classes"]]
        scores = [entry["score"] for entry in best]
        if not best:
            return "no classes"
        low = sum(score < self.threshold for score in scores)
        return (
            f"{listed_classes(Counter(entry['class'] for entry in best))}; "
            f"best scores from {min(scores):g} to {max(scores):g}"
            + (f", {low} of them below {self.threshold:g}" if low else "")
        )

    def texts(self) -> dict[str, str]:
        """Return the JSON file, and a CSV file with one column per class.

        A cell is empty if the score of the class is below the threshold.
        """
        names = list(self.class_map.names) if self.class_map else []
        names = names or sorted({c["class"] for row in self.rows for c in row["classes"]})
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["file", "class", *names])
        for row in self.rows:
            scores = {entry["class"]: entry["score"] for entry in row["classes"]}
            best = row["classes"][0]["class"]
            writer.writerow([row["file"], best, *(scores.get(name, "") for name in names)])
        return super().texts() | {"classes.csv": table.getvalue()}


@register
class ClassificationTask(WholeImageTask):
    """Image classification: a score for each class."""

    name = "classification"
    resize = CenterCrop()
    detail = 1.5
    outputs = ("scores",)
    monitor = "top1"
    shown = ("top1", "top5")
    title = "top-k accuracy"

    def matches(self, fields: frozenset[str], dataset: Any = None) -> float:
        """Suit datasets with one class for each image."""
        if "labels" not in fields:
            return 0.0
        return 0.8 if dataset is None or has_one_class(dataset) else 0.0

    def defaults(self) -> Defaults:
        """Return a small CSP backbone, see `small_classifier`."""
        return small_classifier(Classification(num_classes=1))

    def check(self, dataset: Any) -> None:
        """Refuse a dataset whose images have no class each.

        Raises:
            UserError: There are no labels, or they are values or several classes of an image.
        """
        super().check(dataset)
        refuse_values(dataset, "one class for each image")

    def class_map(self, dataset: Any) -> ClassMap:
        """Return the names of the labels."""
        return classes_of_labels(dataset)

    def transforms(
        self, images: int | None = None, epochs: int | None = None
    ) -> tuple[Transform, ...]:
        """Return a random crop and flip, which suit hundreds to thousands of images."""
        return (RandomResizedCrop(), HorizontalFlip())

    def to_targets(self, sample: Sample, capacity: int) -> dict[str, np.ndarray]:
        """Return "labels": float32 (classes,), the probability of each class."""
        labels = np.asarray(sample.labels, np.float32)
        # Mixed images have several classes, whose shares add up to 1.
        if not abs(float(labels.sum()) - 1) < _ROUNDING:
            raise UserError(
                f"the labels of {sample.info.source} are not one class",
                rule="labels that add up to 1",
                received=f"{labels.tolist()!r:.100}",
                fix="one class for each image, or task=multi_label",
            )
        return {"labels": labels}

    def metrics(self, class_map: ClassMap) -> list[Metric]:
        """Create the metric: top-1, top-5 and the mean accuracy per class."""
        return [TopKAccuracy(class_map)]

    def arrays(
        self, y_true: Sequence[Sample], y_pred: Sequence[Ranking]
    ) -> tuple[np.ndarray, np.ndarray, None]:
        """Return the probabilities and the scores of the classes, both (batch, classes)."""
        labels, scores = labels_and_scores(y_true, y_pred)
        return labels, scores, None

    def postprocess(self, model: Any, score: float | None = None, iou: float | None = None) -> Rank:
        """Return a function that ranks the classes by score, best first."""
        refuse_iou(self, iou)
        return Rank(score_threshold=score or 0.0)

    def prediction_files(
        self, class_map: ClassMap | None, threshold: float = 0.0
    ) -> ClassificationFiles:
        """Return the collector of `classes.json` and `classes.csv`."""
        return ClassificationFiles(class_map, threshold)

    def difference(self, expected: Arrays, actual: Arrays, **suppression: Any) -> Parity:
        """Compare the scores and the best class of each image."""
        return decisions(expected["scores"], actual["scores"], "classes")

    def example_targets(
        self, head: Any, levels: Sequence[str], size: ImageSize, batch: int
    ) -> dict[str, np.ndarray]:
        """Return one class per image."""
        classes = (np.arange(batch) + 1) % head.num_classes
        return {"labels": np.eye(head.num_classes, dtype=np.float32)[classes]}

    def match(
        self, targets: Mapping[str, np.ndarray], decoded: Mapping[str, np.ndarray], image: int
    ) -> Match:
        """Compare the best class with that of the image."""
        scores, expected = decoded["scores"][image], int(targets["labels"][image].argmax())
        return Match(
            learned=True,
            correct=int(scores.argmax()) == expected,
            expected=f"class {expected}",
            got=f"class {int(scores.argmax())}",
        )

    def invalid_outputs(
        self, head: Any, decoded: Mapping[str, np.ndarray], size: ImageSize
    ) -> tuple[str, str] | None:
        """Check the scores."""
        return invalid_scores(head, decoded)
