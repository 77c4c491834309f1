"""Reports on predictions: summary line and result files of each task."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.samples import Instances
from visiongarden.types import ClassMap, Ranking, Segments

_LISTED = 10
"""Maximum number of classes in a summary."""


class Report:
    """Base class of reports, which collect one row per image; subclasses define the rows.

    Args:
        class_map: Names of the classes; without it, rows contain class indices.
        threshold: Minimum score of a prediction.
    """

    files: tuple[str, ...] = ()

    def __init__(self, class_map: ClassMap | None, threshold: float = 0.0) -> None:
        self.class_map, self.threshold = class_map, threshold
        self.rows: list[dict[str, Any]] = []
        self.best: list[float] = []

    def add(self, file: Path, found: Any, best: float = 0.0) -> None:
        """Add an image.

        Args:
            file: Path of the image.
            found: Prediction for the image.
            best: Best score in the image, which may be below the threshold.
        """
        self.rows.append({"file": str(file)} | self.row(file, found))
        self.best.append(best)

    def summary(self) -> str:
        """Return the number of images and a summary of their predictions, on one line."""
        return f"{_number(len(self.rows), 'image')}: {self.found()}"

    def found(self) -> str:
        """Summarize the predictions for all images."""
        raise NotImplementedError

    def row(self, file: Path, found: Any) -> dict[str, Any]:
        """Convert the prediction for an image into plain objects, for JSON."""
        raise NotImplementedError

    def pictures(self, file: Path, found: Any) -> dict[str, np.ndarray]:
        """Return the images to write besides the annotated image, by file name."""
        return {}

    def picture_names(self, file: Path) -> list[str]:
        """Return the file names of `pictures`."""
        return []

    def texts(self) -> dict[str, str]:
        """Return the contents of the files about all images, by file name."""
        return {self.files[0]: json.dumps(self.rows, indent=1)}

    def name(self, index: int) -> Any:
        """Return the name of a class, or its index if names are unknown."""
        return self.class_map.names[int(index)] if self.class_map else int(index)


class DetectionReport(Report):
    """Report on detections: boxes with classes and scores."""

    files = ("detections.json",)

    def row(self, file: Path, found: Instances) -> dict[str, Any]:
        """Return `detections`, each with class, score and box (xyxy in pixels).

        Rotated boxes, masks, keypoints and further columns are those of `Instances.to_dict`.
        """
        rows = []
        for row in found.to_dict()["detections"]:
            named = {"class": self.name(row.pop("class_index")), "score": round(row["score"], 4)}
            for name in ("box", "rotated_box"):
                if name in row:
                    row[name] = [round(value, 2) for value in row[name]]
            rows.append(named | {key: row[key] for key in row if key not in named})
        return {"detections": rows}

    def found(self) -> str:
        """Return the number of detections, or the best score if all are below the threshold."""
        counts = [len(row["detections"]) for row in self.rows]
        if sum(counts):
            where = _number(sum(map(bool, counts)), "image")
            return f"{_number(sum(counts), 'detection')} in {where}"
        return (
            f"no detection with a score above {self.threshold:g}; the best score is "
            f"{max(self.best, default=0.0):.3g}"
        )


class ClassificationReport(Report):
    """Report on classifications, as JSON and as a table."""

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
            f"{_counted(Counter(entry['class'] for entry in best))}; "
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


class SegmentationReport(Report):
    """Report on segmentations: masks, and the fraction of pixels of each class."""

    files = ("segments.json",)

    def row(self, file: Path, found: Segments) -> dict[str, Any]:
        """Return the `mask` file and `segments`: the classes and their shares, largest first."""
        counts = np.bincount(found.classes.ravel())
        order = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
        shares = [
            {"class": self.name(i), "share": round(counts[i] / found.classes.size, 4)}
            for i in order
        ]
        return {"mask": self._mask(file), "segments": shares}

    def found(self) -> str:
        """Return the number of images in which each class appears."""
        return _counted(Counter(e["class"] for row in self.rows for e in row["segments"]))

    def picture_names(self, file: Path) -> list[str]:
        """Return the file name of the mask."""
        return [self._mask(file)]

    def pictures(self, file: Path, found: Segments) -> dict[str, np.ndarray]:
        """Return the mask, a gray image of class indices."""
        return {self._mask(file): found.classes}

    def _mask(self, file: Path) -> str:
        return f"masks/{file.stem}.png"


_REPORTS: dict[str, type[Report]] = {
    "detection": DetectionReport,
    "classification": ClassificationReport,
    "segmentation": SegmentationReport,
}


def report_on(model: Any, threshold: float = 0.0) -> Report:
    """Return an empty report for a model's task."""
    return _REPORTS[model.task](model.class_map, threshold)


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _counted(images: Counter[Any]) -> str:
    """List classes with their number of images, most frequent first."""
    listed = [f"{name} in {count}" for name, count in images.most_common(_LISTED)]
    more = len(images) - _LISTED
    return ", ".join(listed) + (f" and {more} more classes" if more > 0 else "")
