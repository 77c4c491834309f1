"""`Classifier`: a model that assigns a class to an image, built from a backbone and a head."""

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
    """Image classification model with a backbone, an optional decoder and a head.

    The model is a plain `keras.Model` in every other respect. It takes images of shape
    (batch, height, width, channels) with pixel values as stored (RGB from 0 to 255 by default),
    which its first layer preprocesses, and returns raw predictions: a dict from each level to
    `{"classes": logits}` with logits of shape (batch, classes). Saving, loading, training
    and export work as for `Detector`.

    Args:
        backbone: Part that turns an image into feature maps.
        head: Classification head, which turns feature maps into raw predictions.
        decoder: Part that turns feature maps into feature maps. By default, the backbone's
            coarsest feature map is passed to the head unchanged.
        image_size: (height, width) in pixels, or one number for both; None leaves the size open.
        class_map: Class map, or a sequence of class names; it is saved with the model.
        dtype: Keras dtype policy of every layer; None uses the global policy.
        **kwargs: `fused`, `name`, `preprocessing` and `resize` of the model, see `Detector`.

    Raises:
        ContractError: If the parts or the class map do not fit together. The message contains a
            fix.
        UserError: If the image size is not compatible with the largest stride.

    Example:
        >>> model = vg.Classifier(
        ...     backbone=vg.backbones.ResNet(depth=18, levels=("p5",)),
        ...     head=vg.heads.Classification(num_classes=10),
        ...     image_size=64,
        ... )
        >>> model.output["p5"]["classes"].shape
        (None, 10)
    """

    needs_decoder: ClassVar[bool] = False

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

    classify = Joined.infer
