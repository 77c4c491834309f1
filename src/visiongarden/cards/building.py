"""`build`: build a published model by its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from visiongarden.cards.card import Card
from visiongarden.cards.library import load
from visiongarden.errors import UserError
from visiongarden.models import Joined
from visiongarden.tasks import find
from visiongarden.types import ClassMap, ImageSize


def build(
    source: str | Path | Card,
    num_classes: int | None = None,
    image_size: ImageSize | int | None = None,
    class_map: ClassMap | Sequence[str] | None = None,
    **kwargs: Any,
) -> Joined:
    """Build the model that a card describes, with new weights.

    Args:
        source: Name of a model, a card file, or a card.
        num_classes: Number of classes. Defaults to that of `class_map`, else the published one.
        image_size: (height, width) in pixels, or one number for both. Defaults to the published
            size.
        class_map: Names of the classes.
        **kwargs: `dtype` and `name` of the model.

    Raises:
        ConfigError: There is no such card.
        UserError: The card has no parts, or the image size does not suit the model.

    Example:
        >>> model = vg.cards.build("yolov3-tiny", num_classes=3, image_size=416)
    """
    card = source if isinstance(source, Card) else load(source)
    if card.model is None:
        raise UserError(
            f"card {card.name} does not specify the parts of its model",
            rule="model: {backbone: ..., decoder: ..., head: ...}",
        )
    head = card.model.head
    classes = num_classes if num_classes is not None else class_map and len(class_map)
    if classes is not None:
        head = head.replace(num_classes=classes)
    size = card.image_size if image_size is None else image_size
    parts = card.model.with_decoder()
    model: Joined = find(head.task).model(
        backbone=parts.backbone,
        decoder=parts.decoder,
        head=head,
        image_size=size,
        class_map=class_map,
        **kwargs,
    )
    return model
