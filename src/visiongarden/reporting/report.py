"""What is written about predictions: one report for each task."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.types import ClassMap, Detections, Ranking, Segments

_LISTED = 10
"""Classes in a summary."""


class Report:
    """Base: collects one row an image; subclasses say what a row holds.

    Args:
        class_map: names of the classes; without it their numbers are written.
        threshold: least score that counts.
    """

    files: tuple[str, ...] = ()

    def __init__(self, class_map: ClassMap | None, threshold: float = 0.0) -> None:
        self.class_map, self.threshold = class_map, threshold
        self.rows: list[dict[str, Any]] = []
        self.best: list[float] = []

    def add(self, file: Path, found: Any, best: float = 0.0) -> None:
        """Adds an image, and the best score in it, also one below the threshold."""
        self.rows.append({"file": str(file)} | self.row(file, found))
        self.best.append(best)

    def summary(self) -> str:
        """Number of images, and of what was found in them, on one line."""
        return f"{_number(len(self.rows), 'image')}: {self.found()}"

    def found(self) -> str:
        """What was found in all images together."""
        raise NotImplementedError

    def row(self, file: Path, found: Any) -> dict[str, Any]:
        """What was found in an image, as plain objects."""
        raise NotImplementedError

    def pictures(self, file: Path, found: Any) -> dict[str, np.ndarray]:
        """Name -> pixels of what is written besides the annotated picture."""
        return {}

    def picture_names(self, file: Path) -> list[str]:
        """Names of `pictures`."""
        return []

    def texts(self) -> dict[str, str]:
        """Name -> content of the files about all images."""
        return {self.files[0]: json.dumps(self.rows, indent=1)}

    def name(self, index: int) -> Any:
        """Name of a class."""
        return self.class_map.names[int(index)] if self.class_map else int(index)


class DetectionReport(Report):
    """Boxes with classes and scores."""

    files = ("detections.json",)

    def row(self, file: Path, found: Detections) -> dict[str, Any]:
        """`detections`: class, score, box."""
        rows = [
            {
                "class": self.name(index),
                "score": round(float(score), 4),
                "box": [round(float(v), 2) for v in box],
            }
            for box, score, index in zip(found.boxes, found.scores, found.classes, strict=True)
        ]
        return {"detections": rows}

    def found(self) -> str:
        """Number of detections; without any, the best score that was below the threshold."""
        counts = [len(row["detections"]) for row in self.rows]
        if sum(counts):
            where = _number(sum(map(bool, counts)), "image")
            return f"{_number(sum(counts), 'detection')} in {where}"
        return (
            f"no detection with a score above {self.threshold:g}; the best score is "
            f"{max(self.best, default=0.0):.3g}"
        )


class ClassificationReport(Report):
    """Classes with scores, also as a table."""

    files = ("classes.json", "classes.csv")

    def row(self, file: Path, found: Ranking) -> dict[str, Any]:
        """`classes`: class, score, best first."""
        pairs = zip(found.classes, found.scores, strict=True)
        return {"classes": [{"class": self.name(i), "score": round(float(s), 4)} for i, s in pairs]}

    def found(self) -> str:
        """How many images have each class as their best, and the range of their scores."""
        best = [row["classes"][0] for row in self.rows if row["classes"]]
        scores = [entry["score"] for entry in best]
        if not best:
            return "no class"
        low = sum(score < self.threshold for score in scores)
        return (
            f"{_counted(Counter(entry['class'] for entry in best))}; "
            f"best scores from {min(scores):g} to {max(scores):g}"
            + (f", {low} of them below {self.threshold:g}" if low else "")
        )

    def texts(self) -> dict[str, str]:
        """JSON, and CSV with a column a class; empty where a score was too low to be listed."""
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


class SegmentationReport(Report):
    """Masks, and how much of an image each class has."""

    files = ("segments.json",)

    def row(self, file: Path, found: Segments) -> dict[str, Any]:
        """`mask`: its file; `segments`: class, share of the pixels, largest first."""
        counts = np.bincount(found.classes.ravel())
        order = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
        shares = [
            {"class": self.name(i), "share": round(counts[i] / found.classes.size, 4)}
            for i in order
        ]
        return {"mask": self._mask(file), "segments": shares}

    def found(self) -> str:
        """In how many images each class appears."""
        return _counted(Counter(e["class"] for row in self.rows for e in row["segments"]))

    def picture_names(self, file: Path) -> list[str]:
        """The mask's."""
        return [self._mask(file)]

    def pictures(self, file: Path, found: Segments) -> dict[str, np.ndarray]:
        """The mask itself: grey, class indices."""
        return {self._mask(file): found.classes}

    def _mask(self, file: Path) -> str:
        return f"masks/{file.stem}.png"


_REPORTS: dict[str, type[Report]] = {
    "detection": DetectionReport,
    "classification": ClassificationReport,
    "segmentation": SegmentationReport,
}


def report_on(model: Any, threshold: float = 0.0) -> Report:
    """A new report for a model's task."""
    return _REPORTS[model.task](model.class_map, threshold)


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _counted(images: Counter[Any]) -> str:
    """Classes with their numbers of images, most first."""
    listed = [f"{name} in {count}" for name, count in images.most_common(_LISTED)]
    more = len(images) - _LISTED
    return ", ".join(listed) + (f" and {more} more classes" if more > 0 else "")
