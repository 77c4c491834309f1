"""Parts: backbones, decoders and heads as values, and `connect`, which checks that they fit."""

from visiongarden.parts.connection import Connection, check_image_size, connect
from visiongarden.parts.part import IMAGE, FeaturePart, Part
from visiongarden.parts.roles import Backbone, Decoder, Head, OfAnchors, OfClasses

__all__ = [
    "IMAGE",
    "Backbone",
    "Connection",
    "Decoder",
    "FeaturePart",
    "Head",
    "OfAnchors",
    "OfClasses",
    "Part",
    "check_image_size",
    "connect",
]
