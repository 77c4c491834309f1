"""`Collector`: the metrics of a task, from the decoded arrays of one batch after another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from visiongarden.data import Loader
from visiongarden.data.batch_targets import check_targets
from visiongarden.evaluation.class_names import Aligned, aligned, classes_of
from visiongarden.evaluation.evaluator import (
    in_originals,
    measure_batch,
    measure_images,
    metrics_of,
)
from visiongarden.models.epoch_dataset import EpochDataset
from visiongarden.tasks import task_of
from visiongarden.types import ImageSize, Placement

_WHOLE = Placement(scale=(1.0, 1.0), offset=(0.0, 0.0))
"""Placement of images of other data, which fill the model's input."""


class Collector:
    """Metrics of a model's task, for the batches of one evaluation by Keras.

    Args:
        model: The model.
        batches: Batches of a loader. Those of an evaluation, in order and without transforms, are
            compared in pixels of the original images, all others in pixels of the batch.

    Raises:
        UserError: The classes of the model and of the dataset differ.
    """

    def __init__(self, model: Any, batches: EpochDataset | None = None) -> None:
        self._task = task_of(model)
        self._postprocess = self._task.postprocess(model)
        self._count, self._seen = 0, 0
        self._info: Mapping[int, Any] = {} if batches is None else batches.info
        self._class_map = classes_of(model)
        self._classes: Aligned | None = None
        self._dataset = None if batches is None else _in_order(batches.loader)
        if self._dataset is not None:
            self._classes = aligned(model, self._task.class_map(self._dataset))
            self._class_map = self._classes.class_map
        self._measured = metrics_of(self._task, self._class_map, ())

    def update(
        self, outputs: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray], size: np.ndarray
    ) -> None:
        """Add a batch.

        Args:
            outputs: Decoded arrays by name.
            targets: Targets of the batch.
            size: (height, width) of the images of the batch.
        """
        count = len(next(iter(outputs.values())))
        needed = self._task.needed_outputs(tuple(outputs))
        rows = [{name: outputs[name][row] for name in needed} for row in range(count)]
        results = [self._postprocess(**row) for row in rows]
        if self._dataset is None or self._classes is None:
            self._add_batch(results, targets, (int(size[0]), int(size[1])))
        else:
            found = in_originals(self._task, self._classes, results, self._info[self._count])
            measure_images(self._measured, self._task, self._dataset, self._seen, found)
        self._seen += count
        self._count += 1

    def result(self) -> dict[str, float]:
        """Return the main metrics of the task by name."""
        if not self._seen:
            return {}
        found = self._measured.result()
        return {name: found[name] for name in self._task.metric_names if name in found}

    def _add_batch(
        self, results: list[Any], targets: Mapping[str, np.ndarray], size: ImageSize
    ) -> None:
        check_targets(targets, size, len(self._class_map.names), f"batch {self._count}")
        found = [self._task.to_original(result, _WHOLE, size) for result in results]
        measure_batch(self._measured, self._task, targets, size, self._seen, found)


def _in_order(loader: Any) -> Any:
    """Return the dataset of a loader that reads it in order and unchanged, or None."""
    is_plain = isinstance(loader, Loader) and not loader.shuffle and loader.transforms is None
    return loader.dataset if is_plain else None
