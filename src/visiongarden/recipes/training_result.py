"""`TrainingResult`: the files, the metrics and the history of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visiongarden import markup
from visiongarden.evaluation import EvaluationResult
from visiongarden.models import load
from visiongarden.recipes.recipe import Recipe
from visiongarden.training import SKIPPED

_LISTED_EPOCHS = 50


@dataclass(frozen=True, repr=False)
class TrainingResult:
    """Result of `train`; `str()` is a table of metrics and the path of the best model.

    Attributes:
        folder: Folder of the run.
        best: Model file with the best value of the metric `evaluation.monitor`.
        last: Model file after the last step.
        metrics: Evaluation of the best model on the validation split; `metrics["AP"]` is one value.
        history: One dict per epoch with the loss, its terms and the metrics.
        recipe: The recipe that was run, with every default.
    """

    folder: Path
    best: Path
    last: Path
    metrics: EvaluationResult
    history: list[dict[str, float]]
    recipe: Recipe

    def model(self) -> Any:
        """Load and return the best model."""
        return load(self.best)

    def to_dict(self) -> dict[str, Any]:
        """Convert the result to a JSON-serializable dict; NaN becomes None."""
        return {
            "folder": str(self.folder),
            "best": str(self.best),
            "last": str(self.last),
            "metrics": _without_nan(self.metrics.metrics),
            "per_class": {n: _without_nan(row) for n, row in self.metrics.per_class.items()},
            "skipped_images": self.skipped_images,
            "history": [_without_nan(epoch) for epoch in self.history],
            "recipe": self.recipe.to_dict(),
        }

    def __repr__(self) -> str:
        name = self.recipe.evaluation.monitor or self.recipe.kind.monitor
        value = self.metrics.metrics[name]
        epochs = len(self.history)
        return f"TrainingResult(folder={str(self.folder)!r}, epochs={epochs}, {name}={value:.3f})"

    def _repr_html_(self) -> str:
        columns = list(dict.fromkeys(name for epoch in self.history for name in epoch))
        rows = [
            (number, *(f"{epoch[name]:.4g}" if name in epoch else "" for name in columns))
            for number, epoch in enumerate(self.history, start=1)
        ]
        return markup.section(
            f"Best model: {self.best}",
            self.metrics._repr_html_(),
            markup.table(("epoch", *columns), rows, limit=_LISTED_EPOCHS),
        )

    @property
    def skipped_images(self) -> int:
        """Images that could not be decoded in the epoch in which most were skipped."""
        return int(max((epoch.get(SKIPPED, 0) for epoch in self.history), default=0))

    def __str__(self) -> str:
        count = self.skipped_images
        skipped = (
            f"\n{count} training images could not be decoded and were skipped" if count else ""
        )
        return f"{self.metrics}\n\nbest model: {self.best}{skipped}"


def _without_nan(row: dict[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else float(value) for name, value in row.items()}
