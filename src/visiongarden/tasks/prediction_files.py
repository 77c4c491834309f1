"""`PredictionFiles`: the results of `predict` on image files, as text and further images."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.terminal import counted
from visiongarden.types import ClassMap

_LISTED = 10
"""Maximum number of classes in a summary."""


class PredictionFiles:
    """Collector of one row per image; a task's subclass defines the rows.

    Attributes:
        files: Names of the files about all images.
        header: Start of those that are tables, by which they are recognized.

    Args:
        class_map: Names of the classes; without it, rows contain class indices.
        threshold: Minimum score of a prediction.
    """

    files: tuple[str, ...] = ("predictions.json",)
    header: str = "file,class"

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
        return f"{counted(len(self.rows), 'image')}: {self.found()}"

    def found(self) -> str:
        """Summarize the predictions for all images."""
        return f"results in {self.files[0]}"

    def row(self, file: Path, found: Any) -> dict[str, Any]:
        """Convert the prediction for an image into plain objects, for JSON."""
        values: dict[str, Any] = found.to_dict()
        return values

    def pictures(self, file: Path, found: Any) -> dict[str, np.ndarray]:
        """Return the images to write besides the annotated image, by file name."""
        return {}

    def picture_names(self, file: Path) -> list[str]:
        """Return the file names of `pictures`."""
        return []

    def texts(self) -> dict[str, str]:
        """Return the contents of the files about all images, by file name."""
        return {self.files[0]: self.as_json()}

    def as_json(self) -> str:
        """Return the rows as JSON."""
        return json.dumps(self.rows, indent=1)

    def name(self, index: int) -> Any:
        """Return the name of a class, or its index if names are unknown."""
        return self.class_map.names[int(index)] if self.class_map else int(index)


def listed_classes(images: Counter[Any]) -> str:
    """List classes with their number of images, most frequent first."""
    listed = [f"{name} in {count}" for name, count in images.most_common(_LISTED)]
    more = len(images) - _LISTED
    return ", ".join(listed) + (f" and {more} more classes" if more > 0 else "")
