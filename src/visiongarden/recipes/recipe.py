"""`Recipe`: one complete named run as a value: model, data, augmentation, training."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationInfo, field_validator

from visiongarden.backends.keras_internals import weightless
from visiongarden.config import Value
from visiongarden.models import Joined
from visiongarden.parts import Backbone, Decoder, Head, check_image_size
from visiongarden.tasks import TASKS
from visiongarden.training import Training
from visiongarden.transforms import (
    Augmentation,
    ClassificationAugmentation,
    SegmentationAugmentation,
)
from visiongarden.types import ImageSize, stride_of


class Model(Value):
    """Three parts, and the size of the images they see.

    Attributes:
        backbone: image -> feature maps.
        decoder: feature maps -> feature maps.
        head: feature maps -> raw predictions; its `num_classes` may be left to the data set.
        image_size: (height, width) in pixels, or one number for both.
    """

    backbone: Backbone
    decoder: Decoder
    head: Head
    image_size: ImageSize = (320, 320)

    @field_validator("image_size", mode="before")
    @classmethod
    def _both_sides(cls, size: Any) -> Any:
        return (size, size) if isinstance(size, int) else size

    def check(self) -> None:
        """Raises where the image size does not suit the backbone's largest stride."""
        check_image_size(self.image_size, self.largest_stride)

    @property
    def largest_stride(self) -> int:
        """Pixels a cell of the coarsest level; both sides of an image are multiples of it."""
        return max(map(stride_of, self.backbone.levels))


class Data(Value):
    """Where the images are.

    Attributes:
        path: folder or file of the data set; a relative one counts from the working directory.
        format: of its annotations.
        train: split to train on.
        val: split to judge on after each epoch.
        invalid_boxes: what to do with boxes that cannot be: refuse the data set, or leave them out
            and list them.
        one_based: VOC's corners count from 1, as the original VOC's do; for detection alone.
    """

    path: Path
    format: Literal["auto", "coco", "yolo", "voc", "csv", "arrayrecord", "folders", "masks"] = (
        "auto"
    )
    train: str = "train"
    val: str = "val"
    invalid_boxes: Literal["error", "drop"] = "error"
    one_based: bool = False


class Recipe(Value):
    """One complete run; the same recipe gives the same run.

    Attributes:
        task: what is learned; decides how the augmentation's fields are read.
        model: what is trained.
        data: what it is trained on.
        augmentation: how the training images vary.
        training: optimiser, schedule and length.
    """

    task: Literal["detection", "classification", "segmentation"] = "detection"
    model: Model
    data: Data
    augmentation: Augmentation | ClassificationAugmentation | SegmentationAugmentation = (
        Augmentation()
    )
    training: Training = Training()

    @field_validator("augmentation", mode="before")
    @classmethod
    def _of_the_task(cls, fields: Any, info: ValidationInfo) -> Any:
        # Pydantic would try each kind in turn, and report what is wrong with all of them.
        kind = TASKS[info.data.get("task", "detection")].augmentation
        if fields == Augmentation():
            return kind()
        return fields if isinstance(fields, Value) else kind.model_validate(fields)

    def build(self, **options: Any) -> Joined:
        """The model of the run, with new weights; `options` as `class_map` and `dtype`."""
        parts = self.model
        model: Joined = TASKS[self.task].model(
            backbone=parts.backbone,
            decoder=parts.decoder,
            head=parts.head,
            image_size=parts.image_size,
            **options,
        )
        return model

    def drawn(self) -> Joined:
        """The model without its weights' memory: to be looked at, not to be used."""
        with weightless():
            return self.build()
