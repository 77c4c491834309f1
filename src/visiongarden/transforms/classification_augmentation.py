"""`ClassificationAugmentation`: how a classifier's training images vary."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveFloat, field_validator

from visiongarden.config import Value
from visiongarden.errors import ConfigError
from visiongarden.transforms.sizes import MultiScale

Share = Annotated[float, Field(ge=0, le=1)]
_Area = Annotated[float, Field(gt=0, le=1)]


class ClassificationAugmentation(Value):
    """How a classifier's training images vary; the defaults suit some hundred to thousand images.

    Attributes:
        area: least and most share of the image's area that a crop shows (Szegedy et al. 2014,
            section 6, has 0.08 to 1, for millions of images).
        ratio: least and most width / height of a crop.
        flip: share of the images that are mirrored, left to right.
        operations: RandAugment's operations an image (Cubuk et al. 2019); 0 for none.
        magnitude: their strength, 0 to 10.
        mix: share of the images that are mixed with another one.
        mixup: parameter of the beta distribution that mix-up draws its share from (Zhang et al.
            2017); 0 never uses it.
        cutmix: the same for CutMix (Yun et al. 2019). One of both is drawn, in this proportion.
        multi_scale: most change of the batches' own image size, share of it: each batch has one of
            up to five sizes, multiples of the largest stride (Redmon and Farhadi 2017, YOLOv2).
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

    @field_validator("area", "ratio")
    @classmethod
    def _ordered(cls, limits: tuple[float, float]) -> tuple[float, float]:
        if limits[0] > limits[1]:
            raise ConfigError("the least comes before the most", received=str(list(limits)))
        return limits
