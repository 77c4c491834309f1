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
        heads: Heads by name, or a `CombinedHeads`. A name consists of letters, digits and
            underscores.
        loss_weights: Factor of each head's loss, by name; 1 by default.
        image_size: (height, width) in pixels, or one number for both; None leaves the size open.
        class_map: Class map of the heads with classes, or a sequence of class names; or one for
            each head by its name. `model.class_map` is then that of the first head with classes,
            and `model.parts.head.class_maps` has the others.
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
        heads: Mapping[str, Head] | CombinedHeads,
        loss_weights: Mapping[str, float] | None = None,
        image_size: ImageSize | int | None = None,
        class_map: ClassMap | Sequence[str] | Mapping[str, Any] | None = None,
        dtype: str | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(heads, CombinedHeads):
            head = heads
        else:
            head = CombinedHeads(heads=dict(heads), loss_weights=dict(loss_weights or {}))
        if isinstance(class_map, Mapping):
            class_map, head = _divided(class_map, head)
        super().__init__(backbone, decoder, head, image_size, class_map, dtype, **kwargs)

    @classmethod
    def head_arguments(cls, head: Head) -> dict[str, Any]:
        """Return the argument `heads` for a combined head."""
        return {"heads": head} if isinstance(head, CombinedHeads) else super().head_arguments(head)


def _divided(
    class_maps: Mapping[str, Any], head: CombinedHeads
) -> tuple[ClassMap | None, CombinedHeads]:
    """Return the class map of the first head with classes, and the heads with the others."""
    listed = {
        name: each if isinstance(each, ClassMap) else ClassMap(tuple(each))
        for name, each in class_maps.items()
    }
    first = next((listed[name] for name in head.heads if name in listed), None)
    others = {name: each.names for name, each in listed.items() if each != first}
    return first, head.replace(class_maps=others)
