"""A Darknet network as parts of ours: which cfg is which detector, and its weights there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from visiongarden.backbones import Darknet53
from visiongarden.decoders import YOLOv3Decoder
from visiongarden.errors import ContractError, UserError
from visiongarden.heads import AnchorBased
from visiongarden.layers.keras_internals import weightless
from visiongarden.models import Detector
from visiongarden.types import ClassMap, ImageSize
from visiongarden.weights.darknet.cfg import Cfg, parse_cfg
from visiongarden.weights.darknet.draw import EPSILON
from visiongarden.weights.darknet.geometry import Step, geometry, image_shape
from visiongarden.weights.darknet.trace import Traced, trace
from visiongarden.weights.darknet.weights import collect

_FAMILIES: tuple[tuple[Any, Any], ...] = ((Darknet53, YOLOv3Decoder),)
"""Backbone and decoder of the detectors that a cfg is compared with."""

_IGNORED = {"nms_kind", "beta_nms", "padding", "shared"}
"""Settings that change no number of the network, or whose effect the sizes show."""


def as_parts(
    cfg: Cfg,
    steps: tuple[Step, ...],
    image_size: ImageSize | None,
    class_map: ClassMap | Sequence[str] | None,
) -> tuple[Detector, Traced]:
    """The detector that computes the same as the cfg, and where its weights lie.

    Raises:
        UserError: no detector of ours is the same; says in which layer the nearest one differs.
    """
    head, levels = _head(steps)
    differences = []
    for backbone, decoder in _FAMILIES:

        def model(backbone: Any = backbone, decoder: Any = decoder) -> Detector:
            parts = backbone(levels=levels), decoder(levels=levels), head
            return Detector(*parts, image_shape(cfg, image_size)[:2], class_map)

        try:
            with weightless():
                text = trace(model()).text
        except ContractError as error:
            differences.append(error.what)
            continue
        found = _difference(steps, geometry(parse_cfg(text)))
        if found is None:
            detector = model()
            return detector, trace(detector)
        differences.append(f"{backbone.__name__} + {decoder.__name__}: {found}")
    raise UserError(
        f"{cfg.file} is none of our detectors",
        rule="the same layers as one that is made of parts",
        received="; ".join(differences),
        fix="leave as_parts out: any cfg becomes a Keras graph",
    )


def match_epsilon(norms: Sequence[Any]) -> None:
    """Makes layers with another epsilon than Darknet's give the same numbers, by their scales.

    scale / sqrt(variance + epsilon) stays; mean and variance keep their meaning.
    """
    for norm in norms:
        gamma = ops.convert_to_numpy(norm.gamma) * _factor(norm)
        norm.gamma.assign(gamma.astype(np.float32))


def in_darknets_epsilon(traced: Traced) -> list[np.ndarray]:
    """The arrays of a traced model, scales changed so that Darknet computes the same."""
    factors = {id(norm.gamma): _factor(norm) for norm in traced.norms}
    arrays = []
    for slot in traced.slots:
        array = collect(slot)
        if id(slot.variable) in factors:
            array = (array / factors[id(slot.variable)]).astype("<f4")
        arrays.append(array)
    return arrays


def _factor(norm: Any) -> np.ndarray:
    variance = ops.convert_to_numpy(norm.moving_variance).astype(np.float64)
    factor: np.ndarray = np.sqrt((variance + norm.epsilon) / (variance + EPSILON))
    return factor


def _head(steps: tuple[Step, ...]) -> tuple[AnchorBased, tuple[str, ...]]:
    rows = steps[0].section  # for messages
    heads = [step for step in steps if step.kind == "yolo"]
    scales = {step.settings["scale_xy"] for step in heads}
    if not heads or len(scales) > 1 or any(step.settings["new_coords"] for step in heads):
        raise UserError(
            f"{rows.file} is none of our detectors",
            rule="[yolo] layers with one scale_x_y, without new_coords",
            fix="leave as_parts out: any cfg becomes a Keras graph",
        )
    finest = max(step.shape[0] for step in heads)
    stride = {step.shape[0]: 8 * finest // step.shape[0] for step in heads}
    by_level = {
        f"p{stride[step.shape[0]].bit_length() - 1}": tuple(step.settings["anchors"])
        for step in heads
    }
    head = AnchorBased(
        num_classes=heads[0].settings["classes"],
        anchors=dict(sorted(by_level.items())),
        scale_xy=scales.pop(),
    )
    return head, tuple(sorted(by_level))


def _difference(theirs: tuple[Step, ...], ours: tuple[Step, ...]) -> str | None:
    for a, b in zip(theirs, ours, strict=False):
        left, right = _signature(a), _signature(b)
        if left != right:
            return f"{a.section.where()} differs"
    if len(theirs) != len(ours):
        return f"{len(theirs)} layers, not {len(ours)}"
    return None


def _signature(step: Step) -> tuple[Any, ...]:
    settings = {k: v for k, v in step.settings.items() if k not in _IGNORED}
    return step.kind, step.inputs, step.shape, step.arrays, settings
