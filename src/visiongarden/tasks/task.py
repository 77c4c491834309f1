"""`Task`: everything that differs between the problems that models are trained for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from visiongarden.config import Value
from visiongarden.errors import UserError, option
from visiongarden.types import ImageSize, Placement


class Task:
    """Base class of tasks: data, metric and results of one kind of model; it holds no state.

    Nothing else in the package branches on the task: `fit`, `evaluate`, `predict`, recipes and
    export ask it. Loss and decoding belong to the head (`head.loss()`, `head.decode()`).

    Attributes:
        name: Name of the task, which models and heads state.
        model: Class of its models.
        formats: Names of the data formats that it reads.
        dataset: Class of the datasets that `read` returns.
        loads: Class of its loaders.
        augmentation: Class of the augmentation settings.
        outputs: Names of the tensors that the head's `decode` returns, and of the outputs of an
            exported file.
        metrics: Names of the metrics shown during training; the first selects `best.keras`.
        metrics_name: Display name of the metrics.
        score: Default score threshold of predictions, from 0 to 1.
    """

    name: ClassVar[str]
    model: ClassVar[type]
    formats: ClassVar[tuple[str, ...]]
    dataset: ClassVar[type]
    loads: ClassVar[type]
    augmentation: ClassVar[type[Value]]
    outputs: ClassVar[tuple[str, ...]]
    metrics: ClassVar[tuple[str, ...]]
    metrics_name: ClassVar[str]
    score: ClassVar[float] = 0.0

    def read(
        self,
        path: str | Path,
        format: str = "auto",
        split: str = "train",
        class_names: Sequence[str] | None = None,
        invalid_boxes: str = "error",
    ) -> Any:
        """Read one split of a dataset.

        Args:
            path: Folder, file or archive.
            format: Format of the dataset; "auto" detects it.
            split: Name of the split.
            class_names: Names of the classes, in order.
            invalid_boxes: "error" or "drop"; used for detection only.

        Raises:
            DataError: The dataset cannot be read or is not valid.
        """
        raise NotImplementedError

    def loader(
        self,
        dataset: Any,
        image_size: ImageSize,
        batch_size: int,
        augmentation: Any = None,
        **order: Any,
    ) -> Any:
        """Create a loader of batches.

        Args:
            dataset: Dataset that `read` returned.
            image_size: (height, width) of the images in pixels.
            batch_size: Images per batch.
            augmentation: Augmentation settings; None disables augmentation.
            **order: `shuffle`, `seed`, `workers`, `drop_remainder` and `size_step` of the loader.
        """
        return self.loads(dataset, image_size, batch_size, augmentation, **order)

    def place(self, image: np.ndarray, size: ImageSize) -> tuple[np.ndarray, Placement]:
        """Resize an image to the model's input size, as the loader does without augmentation.

        Args:
            image: Image (height, width, channels).
            size: (height, width) of the model's input.

        Returns:
            The resized image, and its placement, for `to_original`.
        """
        raise NotImplementedError

    def metric(self, class_map: Any) -> Any:
        """Create a metric with `update(found, ground_truth)`, `result`, `per_class` and `reset`."""
        raise NotImplementedError

    def ground_truth(self, dataset: Any, index: int) -> Any:
        """Return the ground truth of an image, as the metric takes it."""
        raise NotImplementedError

    def ground_truth_of(
        self, targets: Mapping[str, np.ndarray], row: int, size: ImageSize, index: int
    ) -> Any:
        """Return the ground truth of one image of a batch, as the metric takes it.

        Args:
            targets: Targets of the batch, as the loss takes them.
            row: Row of the image in the batch.
            size: (height, width) of the image in pixels.
            index: Number of the image among all images of the evaluation.

        Raises:
            UserError: A target is missing.
        """
        raise NotImplementedError

    def postprocess(self, model: Any, score: float | None = None, iou: float | None = None) -> Any:
        """Return a function from one image's decoded arrays to a result in model-input pixels.

        Args:
            model: Model whose head decoded the arrays.
            score: Score threshold; None is for evaluation, where all results count.
            iou: IoU threshold of NMS; None is the default of the task.

        Raises:
            UserError: `iou` is given, but the results of the task are not suppressed.
        """
        raise NotImplementedError

    def to_original(self, found: Any, placement: Placement, size: ImageSize) -> Any:
        """Convert a result from pixels of the model's input to pixels of the original image.

        Args:
            found: Result that `postprocess` returned.
            placement: Placement of the image in the model's input.
            size: (height, width) of the original image.
        """
        raise NotImplementedError


def target(targets: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Return one of a batch's targets.

    Raises:
        UserError: It is missing; the message lists those that exist.
    """
    if name not in targets:
        raise UserError(
            f"the targets have no {name!r}",
            rule="the targets of the model's loss",
            received=", ".join(map(str, targets)) or "no targets",
        )
    return targets[name]


def refuse_iou(task: Task, iou: float | None) -> None:
    """Raise an error if an IoU threshold is given for a task without NMS.

    Raises:
        UserError: `iou` is not None.
    """
    if iou is not None:
        raise UserError(
            f"{option('iou', iou)} has no effect on {task.name}",
            rule="only detections are suppressed",
            fix=f"leave out {option('iou')}",
        )
