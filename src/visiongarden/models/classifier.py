"""`Classifier`: image -> one class, out of a backbone and a head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from visiongarden.decoders import PassOn
from visiongarden.models.joined import Joined
from visiongarden.parts import Backbone, Decoder, Head
from visiongarden.registry import register
from visiongarden.types import ClassMap, ImageSize


@register
class Classifier(Joined):
    """Image -> logits of the classes; a plain `keras.Model` in all else.

    Takes (batch, height, width, 3) images, float RGB from 0 to 1; returns raw predictions,
    level -> {"classes": (batch, classes)}. It is saved, reopened, trained and exported as
    `Detector` is.

    Args:
        backbone: image -> feature maps.
        head: feature maps -> raw predictions; one for classification.
        decoder: feature maps -> feature maps; None hands the backbone's coarsest map on.
        image_size: (height, width) or one number for both; None leaves the size open.
        class_map: names of the classes, or a sequence of names; written into the file.
        dtype: Keras dtype policy of every layer; None takes the one in force.
        **kwargs: `fused` and `name` of the model.

    Raises:
        ContractError: the parts do not fit each other, or the class map; says how to mend it.
        UserError: the image size does not suit the largest stride.

    Example:
        >>> model = vg.Classifier(
        ...     backbone=vg.backbones.ResNet(depth=18, levels=("p5",)),
        ...     head=vg.heads.Classification(num_classes=10),
        ... )
    """

    task: ClassVar[str] = "classification"

    def __init__(
        self,
        backbone: Backbone,
        head: Head,
        decoder: Decoder | None = None,
        image_size: ImageSize | int | None = None,
        class_map: ClassMap | Sequence[str] | None = None,
        dtype: str | None = None,
        **kwargs: Any,
    ) -> None:
        if decoder is None:
            decoder = PassOn(levels=backbone.levels[-1:])
        super().__init__(backbone, decoder, head, image_size, class_map, dtype, **kwargs)
