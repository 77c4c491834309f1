"""`Augmentation`: how training images vary."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeInt

from visiongarden.config import Value
from visiongarden.transforms.sizes import MultiScale

Share = Annotated[float, Field(ge=0, le=1)]


class Augmentation(Value):
    """How training images vary; the defaults are those of YOLOv8's published configuration.

    Boxes, outlines and classes move with what they belong to.

    Attributes:
        flip: share of the images that are mirrored, left to right.
        flip_vertical: share of the images that are mirrored, top to bottom.
        hsv: most change of hue (share of the circle), saturation and value (factors).
        translate: most shift, share of the image's sides.
        scale: most change of size: 0.5 is half to one and a half.
        degrees: most rotation.
        shear: most slant, degrees, along each axis.
        perspective: most change of depth towards the borders, on each axis; 0.1 is strong.
        crop: share of the images of which a random part is seen, enlarged.
        crop_least: least share of the sides that such a part has.
        mosaic: share of the images that are made of four (Bochkovskiy et al. 2020, YOLOv4).
        mosaic9: share of these that are made of nine instead.
        mosaic_off_epochs: how many epochs at the end see whole images only (Ge et al. 2021, YOLOX);
            mix-up and copy-paste stop with the mosaics.
        mixup: share of the images that are blended with another, with the labels of both (Zhang et
            al. 2018; the ratio from Beta(32, 32), as YOLOv4 to YOLOv8 draw it).
        copy_paste: share of the images into which outlined objects of another are pasted (Ghiasi et
            al. 2021); objects without an outline stay where they are.
        cutout: share of the images where a grey square hides something (DeVries and Taylor 2017).
        cutout_most: largest side of that square, share of the shorter side.
        multi_scale: most change of the batches' own image size, share of it: each batch has one of
            up to five sizes, multiples of the largest stride (Redmon and Farhadi 2017, YOLOv2).
        least_visible: a box keeps its label while at least this share of its area is in view.
    """

    flip: Share = 0.5
    flip_vertical: Share = 0.0
    hsv: tuple[Share, Share, Share] = (0.015, 0.7, 0.4)
    translate: Share = 0.1
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.5
    degrees: Annotated[float, Field(ge=0, le=180)] = 0.0
    shear: Annotated[float, Field(ge=0, le=45)] = 0.0
    perspective: Annotated[float, Field(ge=0, le=0.4)] = 0.0
    crop: Share = 0.0
    crop_least: Annotated[float, Field(gt=0, le=1)] = 0.5
    mosaic: Share = 1.0
    mosaic9: Share = 0.0
    mosaic_off_epochs: NonNegativeInt = 10
    mixup: Share = 0.0
    copy_paste: Share = 0.0
    cutout: Share = 0.0
    cutout_most: Annotated[float, Field(gt=0, le=1)] = 0.3
    multi_scale: MultiScale = 0.0
    least_visible: Share = 0.1
