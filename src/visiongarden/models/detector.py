"""`Detector`: image -> boxes and classes, out of three parts."""

from __future__ import annotations

from typing import ClassVar

from visiongarden.models.joined import Joined
from visiongarden.registry import register


@register
class Detector(Joined):
    """Image -> raw predictions, out of three parts; a plain `keras.Model` in all else.

    Takes (batch, height, width, 3) images, float RGB from 0 to 1; returns raw predictions, level ->
    name -> tensor, which `parts.head.loss()` judges and `parts.head.decode()` turns into boxes.
    `parts` holds the three values; `backbone`, `decoder` and `head` are the sub-models.

    Args:
        backbone: image -> feature maps.
        decoder: feature maps -> feature maps.
        head: feature maps -> raw predictions; one for detection.
        image_size: (height, width) or one number for both; None leaves the size open.
        class_map: names of the classes, or a sequence of names; written into the file.
        dtype: Keras dtype policy of every layer, as "mixed_bfloat16"; None takes the one in force.
        fused: as `fused()` makes it, with weights of its own.
        name: of the model.

    Raises:
        ContractError: the parts do not fit each other, or the class map; says how to mend it.
        UserError: the image size does not suit the largest stride.

    Example:
        >>> model = vg.Detector(
        ...     backbone=vg.backbones.CSPDarknet(depth=0.33, width=0.25),
        ...     decoder=vg.decoders.PathAggregation(depth=0.33),
        ...     head=vg.heads.AnchorFree(num_classes=3),
        ... )
    """

    task: ClassVar[str] = "detection"
