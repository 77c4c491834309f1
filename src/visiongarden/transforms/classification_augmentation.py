"""Settings of the augmentation for classification."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, field_validator, model_validator

from visiongarden.config import Value
from visiongarden.errors import ConfigError
from visiongarden.transforms.sizes import MultiScale

Share = Annotated[float, Field(ge=0, le=1)]
_Area = Annotated[float, Field(gt=0, le=1)]


class ClassificationAugmentation(Value):
    """Augmentation for classification; the defaults suit hundreds to thousands of images.

    Attributes:
        area: smallest and largest fraction of the image's area in a random crop. Szegedy et al.
            2014, section 6, use 0.08 to 1 for millions of images.
        ratio: smallest and largest aspect ratio (width / height) of a random crop.
        flip: probability of a horizontal flip.
        operations: number of RandAugment operations for each image (Cubuk et al. 2019).
        magnitude: strength of these operations, 0 to 10.
        mix: probability of mixing an image with another one.
        mixup: parameter of the beta distribution of mix-up's ratio (Zhang et al. 2017); 0 disables
            mix-up.
        cutmix: parameter of the beta distribution of CutMix's ratio (Yun et al. 2019); 0 disables
            CutMix. Each mixed image uses one of the two, with probabilities in proportion to
            `mixup` and `cutmix`.
        multi_scale: largest change of the image size between batches, as a fraction of it. Each
            batch has one of up to five sizes, multiples of the largest stride (Redmon and Farhadi
            2017, YOLOv2).
    """

    area: tuple[_Area, _Area] = (0.5, 1.0)
    ratio: tuple[PositiveFloat, PositiveFloat] = (0.75, 1.3333)
    flip: Share = 0.5
    operations: Annotated[int, Field(ge=0, le=10)] = 0
    magnitude: Annotated[float, Field(ge=0, le=10)] = 5.0
    mix: Share = 0.0
    mixup: NonNegativeFloat = 0.2
    cutmix: NonNegativeFloat = 1.0
    multi_scale: MultiScale = 0.0

    @model_validator(mode="after")
    def _mix_has_a_method(self) -> Self:
        if self.mix and not self.mixup and not self.cutmix:
            raise ConfigError(
                f"mix is {self.mix}, but mixup and cutmix are 0",
                rule="images are mixed by mix-up or by CutMix",
                fix="mix=0, or mixup=0.2",
            )
        return self

    @field_validator("area", "ratio")
    @classmethod
    def _ordered(cls, limits: tuple[float, float]) -> tuple[float, float]:
        if limits[0] > limits[1]:
            raise ConfigError(
                "the limits are in the wrong order",
                rule="[minimum, maximum]",
                received=str(list(limits)),
            )
        return limits
