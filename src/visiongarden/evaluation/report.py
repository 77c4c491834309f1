"""What is written about predictions: one report for each task."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.types import ClassMap, Detections, Ranking, Segments


class Report:
    """Base: collects one row an image; subclasses say what a row holds.

    Args:
        class_map: names of the classes; without it their numbers are written.
    """

    file = ""

    def __init__(self, class_map: ClassMap | None) -> None:
        self.class_map = class_map
        self.rows: list[dict[str, Any]] = []

    def add(self, file: Path, found: Any) -> None:
        """Adds an image."""
        self.rows.append({"file": str(file)} | self.row(file, found))

    def row(self, file: Path, found: Any) -> dict[str, Any]:
        """What was found in an image, as plain objects."""
        raise NotImplementedError

    def pictures(self, file: Path, found: Any) -> dict[str, np.ndarray]:
        """Name -> pixels of what is written besides the annotated picture."""
        return {}

    def texts(self) -> dict[str, str]:
        """Name -> content of the files about all images."""
        return {self.file: json.dumps(self.rows, indent=1)}

    def name(self, index: int) -> Any:
        """Name of a class."""
        return self.class_map.names[int(index)] if self.class_map else int(index)


class DetectionReport(Report):
    """Boxes with classes and scores."""

    file = "detections.json"

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


class ClassificationReport(Report):
    """Classes with scores, also as a table."""

    file = "classes.json"

    def row(self, file: Path, found: Ranking) -> dict[str, Any]:
        """`classes`: class, score, best first."""
        pairs = zip(found.classes, found.scores, strict=True)
        return {"classes": [{"class": self.name(i), "score": round(float(s), 4)} for i, s in pairs]}

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

    file = "segments.json"

    def row(self, file: Path, found: Segments) -> dict[str, Any]:
        """`mask`: its file; `segments`: class, share of the pixels, largest first."""
        counts = np.bincount(found.classes.ravel())
        order = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
        shares = [
            {"class": self.name(i), "share": round(counts[i] / found.classes.size, 4)}
            for i in order
        ]
        return {"mask": self._mask(file), "segments": shares}

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


def report_on(model: Any) -> Report:
    """A new report for a model's task."""
    return _REPORTS[model.task](model.class_map)
