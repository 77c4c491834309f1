"""`WholeImageTask`: what the tasks with one vector per image share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from visiongarden.backbones import CSPDarknet
from visiongarden.decoders import PassOn
from visiongarden.errors import UserError, option
from visiongarden.models import Classifier
from visiongarden.parts import Head
from visiongarden.samples import ImageInfo, Sample
from visiongarden.tasks.task import Defaults, Task, model_fields, target
from visiongarden.types import ClassMap, ImageSize, Placement


class WholeImageTask(Task):
    """Base class of tasks whose results describe an image as a whole.

    Attributes:
        target_name: Name of the only target.
    """

    model = Classifier
    needs = ("labels",)
    has_places = False
    target_name: ClassVar[str] = "labels"

    def ground_truth_of(
        self, targets: Mapping[str, np.ndarray], row: int, size: ImageSize, index: int
    ) -> Sample:
        """Return the labels of the image."""
        labels = target(targets, self.target_name)[row]
        return Sample(ImageInfo(index, None, size), labels=labels)

    def to_original(self, found: Any, placement: Placement, size: ImageSize) -> Any:
        """Return the result unchanged; it contains no pixels."""
        return found


def classes_of_labels(dataset: Any) -> ClassMap:
    """Return what the labels of whole images name: as the dataset states, else its classes."""
    if dataset.label_map is None:
        found: ClassMap = dataset.class_map
        return found
    return ClassMap(dataset.label_map.names)


def small_classifier(head: Head, image_size: int = 224) -> Defaults:
    """Return a CSP backbone of depth 0.33 and width 0.25, of which the coarsest level is used.

    Measured on 400 images of ten classes: with a learning rate of 0.002 the loss had hardly
    decreased after 20 epochs. Where the backbone is frozen, only the dense layer of the head is
    trained, and 0.001 is too low: see the section about fine-tuning in `benchmarks/RESULTS.md`.

    Args:
        head: Head of the model.
        image_size: Height and width of the images in pixels.
    """
    return Defaults(
        model_fields(
            CSPDarknet(levels=("p5",), depth=0.33, width=0.25), PassOn(levels=("p5",)), head,
            image_size=image_size,
        ),
        training={"optimizer": {"learning_rate": {"peak": 0.001}, "weight_decay": 0.02}},
        frozen={"optimizer": {"learning_rate": {"peak": 0.003}, "weight_decay": 0.02}},
    )  # fmt: skip


def refuse_values(dataset: Any, rule: str) -> None:
    """Raise an error if the labels of a dataset are values of a regression.

    Labels beside boxes may have names of their own, if they are 0 to 1 and have no unit.

    Args:
        dataset: Dataset with labels.
        rule: What the labels must be.

    Raises:
        UserError: They are values.
    """
    if dataset.label_map is not None and not _are_probabilities(dataset):
        raise UserError(
            f"the labels of {dataset.root} are values: {', '.join(dataset.label_map.names)}",
            rule=rule,
            fix=option("task", "regression"),
        )


def _are_probabilities(dataset: Any) -> bool:
    if "boxes" not in dataset.fields or any(dataset.label_map.units):
        return False
    labels = [dataset.annotated(index).labels for index in range(len(dataset))]
    return all(x is None or not ((x < 0) | (x > 1)).any() for x in labels)


def labels_and_scores(
    y_true: Sequence[Sample], y_pred: Sequence[Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and scores of rankings, both float32 (batch, classes).

    Args:
        y_true: Samples with labels.
        y_pred: Rankings; a class that is not listed has the score 0.
    """
    labels = np.stack([np.asarray(sample.labels, np.float32) for sample in y_true])
    scores = np.zeros_like(labels)
    for row, found in zip(scores, y_pred, strict=True):
        row[found.classes] = found.scores
    return labels, scores
