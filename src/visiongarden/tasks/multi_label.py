"""Multi-label task: any number of classes for each image, evaluated by mAP and F1."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np

from visiongarden.drawing.results import draw_ranking
from visiongarden.heads import MultiLabel
from visiongarden.metrics import Metric, MultiLabelScores
from visiongarden.postprocess import Rank
from visiongarden.postprocess.nms import Share
from visiongarden.registry import register
from visiongarden.samples import Sample
from visiongarden.tasks.classification import ClassificationFiles
from visiongarden.tasks.matching import Match
from visiongarden.tasks.parity import Arrays, Parity, applying
from visiongarden.tasks.prediction_files import listed_classes
from visiongarden.tasks.task import Defaults, invalid_scores, refuse_iou
from visiongarden.tasks.whole_images import (
    WholeImageTask,
    classes_of_labels,
    labels_and_scores,
    refuse_values,
    small_classifier,
)
from visiongarden.transforms import HSV, Affine, HorizontalFlip, Transform
from visiongarden.types import ClassMap, ImageSize, Ranking


class MultiLabelFiles(ClassificationFiles):
    """Result files of multi-label classifications, as JSON and as a table."""

    files = ("labels.json", "labels.csv")

    def found(self) -> str:
        """Return the number of images of each class."""
        images = Counter(entry["class"] for row in self.rows for entry in row["classes"])
        none = sum(not row["classes"] for row in self.rows)
        listed = [listed_classes(images)] if images else []
        return ", ".join([*listed, *([f"no class in {none}"] if none else [])])

    def texts(self) -> dict[str, str]:
        """Return the JSON file, and a CSV file with the score of each class that applies."""
        names = list(self.class_map.names) if self.class_map else []
        names = names or sorted({c["class"] for row in self.rows for c in row["classes"]})
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["file", "classes", *names])
        for row in self.rows:
            scores = {entry["class"]: entry["score"] for entry in row["classes"]}
            applying = ", ".join(map(str, scores))
            writer.writerow([row["file"], applying, *(scores.get(name, "") for name in names)])
        return {"labels.json": self.as_json(), "labels.csv": text.getvalue()}


@register
class MultiLabelTask(WholeImageTask):
    """Multi-label classification: any number of classes for each image.

    Attributes:
        score: Score from which a class applies; that of the head, `threshold`.
    """

    name = "multi_label"
    outputs = ("scores",)
    monitor = "mAP"
    shown = ("mAP", "F1")
    title = "average precision and F1"
    score: Share = 0.5

    @classmethod
    def of_head(cls, head: Any) -> Self:
        """Return the task with the threshold of the head, if it has one."""
        threshold = dict(head).get("threshold")
        return cls() if threshold is None else cls(score=threshold)

    def matches(self, fields: frozenset[str], dataset: Any = None) -> float:
        """Suit datasets whose images may have several classes, or none."""
        if "labels" not in fields or (dataset is not None and dataset.label_map is not None):
            return 0.0
        return 0.1 if dataset is None else 0.5

    def defaults(self) -> Defaults:
        """Return a small CSP backbone, see `small_classifier`."""
        return small_classifier(MultiLabel(num_classes=1))

    def check(self, dataset: Any) -> None:
        """Refuse a dataset whose labels are values.

        Raises:
            UserError: There are no labels, or they are values.
        """
        super().check(dataset)
        refuse_values(dataset, "labels 1, 0, or NaN for unknown, for each class")

    def class_map(self, dataset: Any) -> ClassMap:
        """Return the names of the labels."""
        return classes_of_labels(dataset)

    def transforms(
        self, images: int | None = None, epochs: int | None = None
    ) -> tuple[Transform, ...]:
        """Return small changes of scale and position, which keep what the labels name, and a flip.

        A random crop might remove it.
        """
        return (Affine(scale=(0.8, 1.25), translate=0.05), HorizontalFlip(), HSV())

    def to_targets(self, sample: Sample, capacity: int) -> dict[str, np.ndarray]:
        """Return "labels": float32 (classes,), 1, 0, or NaN for unknown."""
        labels = np.asarray(sample.labels, np.float32)
        if sample.known_classes is not None:
            labels = np.where(sample.known_classes, labels, np.float32(np.nan))
        return {"labels": labels}

    def metrics(self, class_map: ClassMap) -> list[Metric]:
        """Create the metric: mAP, and F1 at the threshold."""
        return [MultiLabelScores(class_map, self.score)]

    def arrays(
        self, y_true: Sequence[Sample], y_pred: Sequence[Ranking]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return labels and scores, both (batch, classes).

        An image with an unknown label weighs 0.
        """
        labels, scores = labels_and_scores(y_true, y_pred)
        known = ~np.isnan(labels)
        weights = np.asarray(known.all(axis=1), np.float32)
        return np.where(known, labels, 0), scores, weights

    def ground_truth(self, dataset: Any, index: int) -> Sample:
        """Return the labels of an image; those of classes that are not annotated are unknown."""
        sample = super().ground_truth(dataset, index)
        return replace(sample, labels=self.to_targets(sample, 0)["labels"])

    def postprocess(self, model: Any, score: float | None = None, iou: float | None = None) -> Rank:
        """Return a function that ranks the classes that apply, best first."""
        refuse_iou(self, iou)
        return Rank(score_threshold=score or 0.0, keep_best=False)

    def draw(self, image: np.ndarray, result: Any, class_map: ClassMap | None = None) -> np.ndarray:
        """List all classes that apply."""
        return draw_ranking(image, result, class_map, count=len(result))

    def prediction_files(
        self, class_map: ClassMap | None, threshold: float = 0.0
    ) -> MultiLabelFiles:
        """Return the collector of `labels.json` and `labels.csv`."""
        return MultiLabelFiles(class_map, threshold)

    def difference(self, expected: Arrays, actual: Arrays, **suppression: Any) -> Parity:
        """Compare the scores, and the classes that apply."""
        return applying(expected["scores"], actual["scores"], self.score)

    def example_targets(
        self, head: Any, levels: Sequence[str], size: ImageSize, batch: int
    ) -> dict[str, np.ndarray]:
        """Return every second class, and one that is unknown."""
        places = np.arange(batch)[:, None] + np.arange(head.num_classes)
        labels = (places % 2).astype(np.float32)
        labels[:, -1] = np.nan if head.num_classes > 1 else labels[:, -1]
        return {"labels": labels}

    def empty_targets(self, head: Any, targets: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return labels all of which are unknown."""
        return {"labels": np.full_like(targets["labels"], np.nan)}

    def match(
        self, targets: Mapping[str, np.ndarray], decoded: Mapping[str, np.ndarray], image: int
    ) -> Match:
        """Compare the classes that apply with the known labels."""
        labels = targets["labels"][image]
        known = ~np.isnan(labels)
        found = decoded["scores"][image] >= self.score
        return Match(
            learned=True,
            correct=bool((found == (labels >= 0.5))[known].all()),
            expected=f"the classes {np.flatnonzero(labels >= 0.5).tolist()}",
            got=f"the classes {np.flatnonzero(found & known).tolist()}",
        )

    def invalid_outputs(
        self, head: Any, decoded: Mapping[str, np.ndarray], size: ImageSize
    ) -> tuple[str, str] | None:
        """Check the scores."""
        return invalid_scores(head, decoded)
