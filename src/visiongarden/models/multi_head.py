"""`MultiHead`: a model with several heads on one backbone and decoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from visiongarden.heads import CombinedHeads
from visiongarden.models.joined import Joined
from visiongarden.parts import Backbone, Decoder, Head
from visiongarden.registry import register
from visiongarden.types import ClassMap, ImageSize


@register
class MultiHead(Joined):
    """Model with several heads, each for a separate task, on one backbone and decoder.

    It returns raw predictions as a dict from each head to those of the head. Targets, terms of the
    loss, arrays of exported files and metrics carry the name of their head: "boxes/classes",
    "boxes/AP". Predictions are `HeadResults`, with the result of each head by its name. Losses are
    summed with weights, and a head whose targets are not in a batch adds exactly 0. Saving,
    loading, training and export work as for `Detector`.

    Args:
        backbone: Part that turns an image into feature maps.
        decoder: Part that turns feature maps into feature maps.
        heads: Heads by name. A name consists of letters, digits and underscores.
        loss_weights: Factor of each head's loss, by name; 1 by default.
        image_size: (height, width) in pixels, or one number for both; None leaves the size open.
        class_map: Class map of the heads with classes, or a sequence of class names.
        dtype: Keras dtype policy of every layer; None uses the global policy.
        **kwargs: `fused`, `name`, `preprocessing` and `resize` of the model, see `Detector`.

    Raises:
        ContractError: If a head does not fit the decoder or the class map.
        ConfigError: If `loss_weights` names no head.
        UserError: If the image size is not compatible with the largest stride.

    Example:
        >>> model = vg.MultiHead(
        ...     backbone=vg.backbones.CSPDarknet(depth=0.33, width=0.25),
        ...     decoder=vg.decoders.FPN(channels=32),
        ...     heads={
        ...         "boxes": vg.heads.AnchorFree(num_classes=3),
        ...         "kind": vg.heads.Classification(num_classes=3),
        ...     },
        ...     loss_weights={"kind": 0.5},
        ...     image_size=64,
        ... )
        >>> model.output["boxes"]["p3"]["classes"].shape
        (None, 8, 8, 3)
        >>> model.output["kind"]["p5"]["classes"].shape
        (None, 3)
    """

    def __init__(
        self,
        backbone: Backbone,
        decoder: Decoder,
        heads: Mapping[str, Head],
        loss_weights: Mapping[str, float] | None = None,
        image_size: ImageSize | int | None = None,
        class_map: ClassMap | Sequence[str] | None = None,
        dtype: str | None = None,
        **kwargs: Any,
    ) -> None:
        head = CombinedHeads(heads=dict(heads), loss_weights=dict(loss_weights or {}))
        super().__init__(backbone, decoder, head, image_size, class_map, dtype, **kwargs)

    @classmethod
    def head_arguments(cls, head: Head) -> dict[str, Any]:
        """Return the arguments `heads` and `loss_weights` for a combined head."""
        if not isinstance(head, CombinedHeads):
            return super().head_arguments(head)
        return {"heads": head.heads, "loss_weights": head.loss_weights}
