"""`Segmenter`: image -> a class for each pixel, out of three parts."""

from __future__ import annotations

from typing import ClassVar

from visiongarden.models.joined import Joined
from visiongarden.registry import register


@register
class Segmenter(Joined):
    """Image -> logits of the classes for each pixel; a plain `keras.Model` in all else.

    Takes (batch, height, width, 3) images, float RGB from 0 to 1; returns raw predictions,
    level -> {"classes": (batch, height, width, classes)}, at the size of the image. It is saved,
    reopened, trained and exported as `Detector` is.

    Args:
        backbone: image -> feature maps.
        decoder: feature maps -> the finest of them, with what the others know.
        head: feature maps -> raw predictions; one for segmentation.
        image_size: (height, width) or one number for both; None leaves the size open.
        class_map: names of the classes, background among them, or a sequence of names.
        dtype: Keras dtype policy of every layer; None takes the one in force.
        fused: as `fused()` makes it, with weights of its own.
        name: of the model.

    Raises:
        ContractError: the parts do not fit each other, or the class map; says how to mend it.
        UserError: the image size does not suit the largest stride.

    Example:
        >>> model = vg.Segmenter(
        ...     backbone=vg.backbones.CSPDarknet(levels=("p2", "p3", "p4", "p5")),
        ...     decoder=vg.decoders.SemanticFPN(channels=64),
        ...     head=vg.heads.Segmentation(num_classes=6),
        ... )
    """

    task: ClassVar[str] = "segmentation"
