"""What a run takes where the recipe says nothing: the model and the rate of each task."""

from __future__ import annotations

from typing import Any

from visiongarden.backbones import CSPDarknet
from visiongarden.decoders import PassOn, PathAggregation, SemanticFPN
from visiongarden.heads import AnchorFree, Classification, Segmentation


def default_model(task: str) -> dict[str, Any]:
    """Fields of a small model for a task; the head's `num_classes` is left to the data.

    Detection: a CSP backbone of depth 0.33 and width 0.25, path aggregation and an anchor-free
    head, 3 million parameters. Classification: the same backbone and its coarsest map.
    Segmentation: the same backbone from p2 on, and a semantic feature pyramid.
    """
    backbone = {"depth": 0.33, "width": 0.25}
    models: dict[str, dict[str, Any]] = {
        "detection": {
            "backbone": CSPDarknet(**backbone),
            "decoder": PathAggregation(depth=0.33),
            "head": AnchorFree(num_classes=1),
        },
        "classification": {
            "backbone": CSPDarknet(levels=("p5",), **backbone),
            "decoder": PassOn(levels=("p5",)),
            "head": Classification(num_classes=1),
            "image_size": [224, 224],
        },
        "segmentation": {
            "backbone": CSPDarknet(levels=("p2", "p3", "p4", "p5"), **backbone),
            "decoder": SemanticFPN(channels=64, pyramid_channels=64),
            "head": Segmentation(num_classes=2),
            "image_size": [256, 256],
        },
    }
    fields = {
        name: value.to_dict() if hasattr(value, "to_dict") else value
        for name, value in models[task].items()
    }
    del fields["head"]["num_classes"]
    return fields


def default_training(task: str) -> dict[str, Any]:
    """Fields of the training that suit a task better than those for all."""
    # Measured on 400 images of ten classes: at 0.002 the loss had hardly moved after 20 epochs.
    return {"learning_rate": 0.001, "weight_decay": 0.02} if task == "classification" else {}
