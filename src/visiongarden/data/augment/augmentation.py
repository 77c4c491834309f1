"""`Augmentation`: how training images vary."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeInt

from visiongarden.config import Value

Share = Annotated[float, Field(ge=0, le=1)]


class Augmentation(Value):
    """How training images vary; the defaults are those of YOLOv8's published configuration.

    Attributes:
        flip: share of the images that are mirrored, left to right.
        hsv: most change of hue (share of the circle), saturation and value (factors).
        translate: most shift, share of the image's sides.
        scale: most change of size: 0.5 is half to one and a half.
        degrees: most rotation.
        mosaic: share of the images that are made of four (Bochkovskiy et al. 2020, YOLOv4).
        mosaic_off_epochs: how many epochs at the end see whole images only (Ge et al. 2021, YOLOX).
        least_visible: a box keeps its label while at least this share of its area is in view.
    """

    flip: Share = 0.5
    hsv: tuple[Share, Share, Share] = (0.015, 0.7, 0.4)
    translate: Share = 0.1
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.5
    degrees: Annotated[float, Field(ge=0, le=180)] = 0.0
    mosaic: Share = 1.0
    mosaic_off_epochs: NonNegativeInt = 10
    least_visible: Share = 0.1
