"""Settings of the augmentation for detection."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeInt

from visiongarden.config import Value
from visiongarden.transforms.sizes import MultiScale

Share = Annotated[float, Field(ge=0, le=1)]


class Augmentation(Value):
    """Augmentation for detection; the defaults are those of YOLOv8's published configuration.

    Boxes and polygons are transformed with their image.

    Attributes:
        flip: probability of a horizontal flip.
        flip_vertical: probability of a vertical flip.
        hsv: largest change of hue (fraction of the color circle), saturation and value (fractions).
        translate: largest shift, as a fraction of the canvas sides.
        scale: largest change of the scale; 0.5 samples factors from 0.5 to 1.5.
        degrees: largest rotation in degrees.
        shear: largest shear along each axis in degrees.
        perspective: largest perspective distortion on each axis, the change of depth from the
            center to the border; 0.1 is strong.
        crop: probability of enlarging a random crop of the image instead of the whole image.
        min_crop: smallest side of such a crop, as a fraction of the image's side.
        mosaic: probability of a mosaic of four images (Bochkovskiy et al. 2020, YOLOv4).
        mosaic9: probability that a mosaic has nine images instead of four.
        mosaic_off_epochs: number of epochs at the end of training without mosaics, mix-up and
            copy-paste (Ge et al. 2021, YOLOX).
        mixup: probability of blending with another image, keeping the labels of both (Zhang et al.
            2018). The ratio is sampled from Beta(32, 32), as in YOLOv4 to YOLOv8.
        copy_paste: probability of pasting objects of another image (Ghiasi et al. 2021). Only
            objects with polygons are pasted.
        cutout: probability of hiding a gray square (DeVries and Taylor 2017).
        max_cutout: largest side of that square, as a fraction of the image's shorter side.
        multi_scale: largest change of the image size between batches, as a fraction of it. Each
            batch has one of up to five sizes, multiples of the largest stride (Redmon and Farhadi
            2017, YOLOv2).
        min_visibility: smallest visible fraction of a box's area with which its label is kept.
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
    min_crop: Annotated[float, Field(gt=0, le=1)] = 0.5
    mosaic: Share = 1.0
    mosaic9: Share = 0.0
    mosaic_off_epochs: NonNegativeInt = 10
    mixup: Share = 0.0
    copy_paste: Share = 0.0
    cutout: Share = 0.0
    max_cutout: Annotated[float, Field(gt=0, le=1)] = 0.3
    multi_scale: MultiScale = 0.0
    min_visibility: Share = 0.1
