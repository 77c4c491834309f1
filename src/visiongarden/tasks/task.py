"""`Task`: everything that differs between the problems that models are trained for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from visiongarden.data import Loader
from visiongarden.data.channels import require_rgb
from visiongarden.data.loader import Resize
from visiongarden.data.targets import targets_of
from visiongarden.errors import UserError, option
from visiongarden.samples import Sample
from visiongarden.samples.resizing import cover, letterbox
from visiongarden.transforms import Transform
from visiongarden.types import ImageSize, Placement


class Task:
    """Base class of tasks: data, metric and results of one kind of model; it holds no state.

    Nothing else in the package branches on the task: `fit`, `evaluate`, `predict`, recipes and
    export ask it. Loss and decoding belong to the head (`head.loss()`, `head.decode()`).

    Attributes:
        name: Name of the task, which models and heads state.
        model: Class of its models.
        needs: Annotations that a dataset must have, see `Dataset.fields`.
        resize: How images are brought to the model's input size: "letterbox" or "cover".
        detail: Size at which decoded training images are kept, relative to the model's input.
        outputs: Names of the tensors that the head's `decode` returns, and of the outputs of an
            exported file.
        metrics: Names of the metrics shown during training; the first selects `best.keras`.
        metrics_name: Display name of the metrics.
        score: Default score threshold of predictions, from 0 to 1.
    """

    name: ClassVar[str]
    model: ClassVar[type]
    needs: ClassVar[tuple[str, ...]]
    resize: ClassVar[Resize] = "letterbox"
    detail: ClassVar[float] = 1.0
    outputs: ClassVar[tuple[str, ...]]
    metrics: ClassVar[tuple[str, ...]]
    metrics_name: ClassVar[str]
    score: ClassVar[float] = 0.0

    def check(self, dataset: Any) -> None:
        """Refuse a dataset without the annotations of the task, or with images that are not RGB.

        Raises:
            UserError: The dataset has no such annotations, or the model does not take its images.
            DataError: The images have different channels.
        """
        if len(dataset):
            self.check_fields(dataset.fields, dataset.root)
            require_rgb(dataset)

    def check_fields(self, fields: frozenset[str], root: Any) -> None:
        """Refuse annotations that are not sufficient for the task.

        Args:
            fields: Names of the annotations, see `Dataset.fields`.
            root: Root of the dataset, for messages.

        Raises:
            UserError: Annotations that the task needs are missing.
        """
        missing = [name for name in self.needs if name not in fields]
        if missing:
            raise UserError(
                f"{root} has no {' and no '.join(in_words(missing))}, which {self.name} needs",
                rule=f"a dataset with {' and '.join(in_words(self.needs))}",
                received=f"a dataset with {', '.join(in_words(fields)) or 'no annotations'}",
                fix="another dataset, or a model of another task",
            )

    def transforms(
        self, images: int | None = None, epochs: int | None = None
    ) -> tuple[Transform, ...]:
        """Return the default transforms of training images.

        Args:
            images: Number of images in the training split; None if it is not known.
            epochs: Epochs of the run; None if they are not known.
        """
        return ()

    def loader(
        self,
        dataset: Any,
        image_size: ImageSize,
        batch_size: int,
        transforms: Sequence[Transform] | None = None,
        **options: Any,
    ) -> Loader:
        """Create a loader of batches.

        Args:
            dataset: Dataset with the annotations of the task.
            image_size: (height, width) of the images in pixels.
            batch_size: Images per batch.
            transforms: Transforms of training images, in order; None for evaluation.
            **options: `shuffle`, `seed`, `workers`, `drop_remainder`, `size_step`, `multi_scale`
                and `min_visibility` of the loader.

        Raises:
            UserError: The dataset has other annotations.
        """
        self.check(dataset)
        return Loader(
            dataset,
            image_size,
            batch_size,
            transforms,
            resize=self.resize,
            detail=self.detail,
            targets=self.to_targets,
            **options,
        )

    def to_targets(self, sample: Sample, capacity: int) -> dict[str, np.ndarray]:
        """Return the arrays that the loss needs, with fixed shapes.

        Args:
            sample: Sample whose image is on the canvas of the model.
            capacity: Largest number of objects of an image.
        """
        return targets_of(sample, capacity)

    def place(self, image: np.ndarray, size: ImageSize) -> tuple[np.ndarray, Placement]:
        """Resize an image to the model's input size, as the loader does without transforms.

        Args:
            image: Image (height, width, channels).
            size: (height, width) of the model's input.

        Returns:
            The resized image, and its placement, for `to_original`.
        """
        return (letterbox if self.resize == "letterbox" else cover)(image, size)

    def metric(self, class_map: Any) -> Any:
        """Create a metric with `update(found, ground_truth)`, `result`, `per_class` and `reset`."""
        raise NotImplementedError

    def ground_truth(self, dataset: Any, index: int) -> Sample:
        """Return the annotations of an image in its pixels, as the metric takes them."""
        found: Sample = dataset.annotated(index)
        return found

    def ground_truth_of(
        self, targets: Mapping[str, np.ndarray], row: int, size: ImageSize, index: int
    ) -> Sample:
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


_WORDS = {"rotated": "rotated boxes", "semantic": "semantic masks"}


def in_words(fields: Iterable[str]) -> list[str]:
    """Return the names of annotations, see `Dataset.fields`, as they are written in messages."""
    return sorted(_WORDS.get(name, name) for name in fields)


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
