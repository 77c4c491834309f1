"""`connect`: check that three parts fit each other, before any weight is created."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras

from visiongarden.errors import ContractError, UserError, model_field
from visiongarden.parts.part import IMAGE, FeaturePart, Part
from visiongarden.parts.roles import Backbone, Decoder, Head
from visiongarden.types import ClassMap, FeatureSpec, ImageSize


@dataclass(frozen=True)
class Connection:
    """Specs of the feature maps between three parts that fit each other.

    Attributes:
        features: levels that pass from the backbone to the decoder.
        decoded: levels that pass from the decoder to the head.
    """

    features: FeatureSpec
    decoded: FeatureSpec


def connect(
    backbone: Backbone,
    decoder: Decoder,
    head: Head,
    image_size: ImageSize | None = None,
    class_map: ClassMap | None = None,
    draw: Callable[[FeaturePart, FeatureSpec], keras.Model] | None = None,
    images: FeatureSpec = IMAGE,
) -> Connection:
    """Check that three parts fit each other, without creating a weight.

    The checks cover levels, strides, channels, anchors, image size and number of classes.

    Args:
        backbone: image -> feature maps.
        decoder: feature maps -> feature maps.
        head: feature maps -> raw predictions.
        image_size: (height, width) in pixels; None if the model takes any size.
        class_map: names of the classes; None if they are unknown.
        draw: function that returns the model of a part at `image_size`, whose shapes are used; by
            default the parts are traced.
        images: spec of the preprocessed images, see `Preprocessing.output`; by default 3 channels.

    Returns:
        The specs of the feature maps between the parts.

    Raises:
        ContractError: two parts do not fit; names both sides, what one requires, what the other
            provides, and a fix.
        UserError: the image size is not a multiple of the largest stride.

    Example:
        >>> connection = vg.connect(
        ...     vg.backbones.CSPDarknet(),
        ...     vg.decoders.FPN(channels=32),
        ...     vg.heads.AnchorFree(num_classes=3),
        ... )
        >>> connection.decoded
        FeatureSpec(p3: 32 ch /8, p4: 32 ch /16, p5: 32 ch /32)
    """
    # Before tracing: layers inside a part would fail first, with shapes that mean nothing here.
    if image_size is not None:
        check_image_size(image_size, 2 ** max(int(level[1:]) for level in backbone.levels))
    features = backbone.spec(images, image_size, draw and draw(backbone, images))
    features = _match(decoder, decoder.levels, backbone, features)
    decoded = decoder.spec(features, image_size, draw and draw(decoder, features))
    lost = [level for level in decoder.output_levels if level not in decoded]
    if lost:
        raise ContractError(
            f"decoder {decoder} does not return the levels {' '.join(lost)}",
            wants=("levels", " ".join(decoder.output_levels)),
            offered=" ".join(decoded),
            fix="return every level of self.output_levels in wire(); usually these are self.levels",
        )
    decoded = _match(head, head.levels or tuple(decoded), decoder, decoded)
    if class_map is not None:
        head.check_classes(class_map)
    return Connection(features, decoded)


def check_image_size(image_size: ImageSize, stride: int) -> None:
    """Raise an error if the image size is not a multiple of the largest stride.

    Args:
        image_size: (height, width) in pixels.
        stride: largest stride of the model in pixels.

    Raises:
        UserError: lists the nearest valid sizes.
    """
    if all(side > 0 and side % stride == 0 for side in image_size):
        return
    below = tuple(max(side // stride, 1) * stride for side in image_size)
    above = tuple(-(-max(side, 1) // stride) * stride for side in image_size)
    valid = dict.fromkeys((below, above))
    near = " or ".join(f"({h}, {w})" for h, w in valid)
    overrides = [model_field("image_size", h if h == w else [h, w]) for h, w in valid]
    raise UserError(
        f"image size {image_size[0]} × {image_size[1]} is not valid for the model",
        rule=f"height and width are multiples of the largest stride, {stride}",
        received=f"({image_size[0]}, {image_size[1]})",
        fix=f"image_size={near}" if None in overrides else " or ".join(map(str, overrides)),
    )


def _match(
    taker: Part, wants: tuple[str, ...], giver: FeaturePart, offered: FeatureSpec
) -> FeatureSpec:
    sides = f"{taker.role} {taker} cannot follow {giver.role} {giver}"
    # A level coarser than the last one required would have weights that receive no gradient.
    unused = [lv for lv in offered if offered[lv].stride > 2 ** int(wants[-1][1:])]
    if unused or any(level not in offered for level in wants):
        raise ContractError(
            sides,
            wants=("levels", " ".join(wants)),
            offered=" ".join(offered),
            fix=_levels_fix(taker, wants, giver, offered),
        )
    suits = FeatureSpec({level: offered[level] for level in wants})
    taker.check(suits, f"{giver.role} {giver}")
    return suits


def _levels_fix(
    taker: Part, wants: tuple[str, ...], giver: FeaturePart, offered: FeatureSpec
) -> str:
    """Return a fix of the levels: of the backbone if it has them, else of the part that follows."""
    if isinstance(giver, Backbone):
        changed = giver.model_copy(update={"levels": wants})
        try:
            changed.spec()
        except UserError:
            pass
        else:
            return giver.with_fields(levels=wants)
    return taker.with_fields(levels=tuple(offered))
