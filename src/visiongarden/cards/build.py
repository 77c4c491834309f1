"""`build`: a model by its published name."""

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
    """The model that a card describes, with new weights.

    Args:
        source: a model's name, a card file, or a card.
        num_classes: number of classes; by default that of `class_map`, else the published one.
        image_size: (height, width) or one number for both; by default the published one.
        class_map: names of the classes.
        **kwargs: `dtype` and `name` of the model.

    Raises:
        ConfigError: no such card.
        UserError: the card has no parts, or the image size does not suit.

    Example:
        >>> model = vg.cards.build("yolov3-tiny", num_classes=3, image_size=416)
    """
    card = source if isinstance(source, Card) else load(source)
    if card.model is None:
        raise UserError(
            f"card {card.name} does not say of which parts the model is made",
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
