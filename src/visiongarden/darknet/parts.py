"""A Darknet network as parts of ours: which cfg is which detector, and its weights there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from keras import ops

from visiongarden.backbones import CSPDarknet53, CSPDarknetTiny, Darknet53, DarknetTiny
from visiongarden.backends.keras_internals import weightless
from visiongarden.darknet.cfg import Cfg, parse_cfg
from visiongarden.darknet.draw import EPSILON
from visiongarden.darknet.geometry import Step, geometry, image_shape
from visiongarden.darknet.trace import Traced, trace
from visiongarden.darknet.weights import collect
from visiongarden.decoders import TinyDecoder, YOLOv3Decoder, YOLOv4Decoder
from visiongarden.errors import ContractError, UserError
from visiongarden.heads import AnchorBased
from visiongarden.models import Detector
from visiongarden.types import ClassMap, ImageSize

_IGNORED = {"nms_kind", "beta_nms", "padding", "before", "shared"}
"""Settings that change no number of the network, or whose effect the sizes show."""

_FAMILIES: tuple[tuple[Any, Any, str], ...] = (
    (Darknet53, YOLOv3Decoder, "conv"),
    (Darknet53, lambda levels: YOLOv3Decoder(levels=levels, pool_sizes=(13, 9, 5)), "conv"),
    (CSPDarknet53, lambda levels: YOLOv4Decoder(levels=levels, activation="leaky_relu"), "conv"),
    (DarknetTiny, TinyDecoder, "nothing"),
    (CSPDarknetTiny, TinyDecoder, "nothing"),
)
"""Backbone, decoder and what stands before the head's 1×1 of the detectors that a cfg may be."""


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
    differences = []
    for backbone, decoder, before in _FAMILIES:

        def model(backbone: Any = backbone, decoder: Any = decoder, before: Any = before) -> Any:
            head, levels = _head(steps, before)
            parts = backbone(levels=levels), decoder(levels=levels), head
            return Detector(*parts, image_shape(cfg, image_size)[:2], class_map)

        try:
            with weightless():
                ours = geometry(parse_cfg(trace(model()).text))
            pairs = paired(steps, ours)
        except ContractError as error:
            differences.append(error.what)
        except Differs as found:
            differences.append(f"{backbone.__name__}: {found}")
        else:
            detector = model()
            return detector, _in_file_order(trace(detector), steps, pairs)
    raise UserError(
        f"{cfg.file} is none of our detectors",
        rule="the same layers as one that is made of parts",
        received="; ".join(dict.fromkeys(differences)),
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


class Differs(Exception):  # noqa: N818
    """Two networks are not the same; says where."""


def paired(theirs: tuple[Step, ...], ours: tuple[Step, ...]) -> dict[int, int]:
    """Layer of theirs -> the layer of ours that computes the same, in whatever order they stand.

    Walks from the prediction layers to the image and compares what is met on the way.

    Raises:
        Differs: names the first layer of theirs that has none.
    """
    heads = [sorted(_heads(each), key=lambda step: step.shape[0]) for each in (theirs, ours)]
    if [step.shape for step in heads[0]] != [step.shape for step in heads[1]]:
        raise Differs("other prediction layers")
    todo = [(a.index, b.index) for a, b in zip(*heads, strict=True)]
    pairs: dict[int, int] = {}
    while todo:
        a, b = (_behind(each, i) for each, i in zip((theirs, ours), todo.pop(), strict=True))
        if pairs.get(a, b) != b:
            raise Differs(f"{theirs[a].section.where()} is used in another way")
        if a in pairs or a < 0 or b < 0:
            if (a < 0) != (b < 0):
                raise Differs(f"{theirs[max(a, 0)].section.where()} differs")
            continue
        if _signature(theirs[a]) != _signature(ours[b]):
            raise Differs(f"{theirs[a].section.where()} differs")
        pairs[a] = b
        todo += zip(theirs[a].inputs, ours[b].inputs, strict=True)
    return pairs


def _behind(steps: tuple[Step, ...], index: int) -> int:
    """The layer itself, or the one that a chain of mere references leads to."""
    while index >= 0 and len(steps[index].inputs) == 1:
        step, above = steps[index], steps[index].inputs[0]
        if step.kind == "route" and step.settings["groups"] > 1:
            # A share of a concatenation is one of what was joined, if those are alike.
            joined = steps[above]
            if joined.kind != "route" or len(joined.inputs) != step.settings["groups"]:
                break
            if {steps[i].shape for i in joined.inputs} != {step.shape}:
                break
            above = joined.inputs[step.settings["group"]]
        elif step.kind not in ("dropout", "route"):
            break
        index = above
    return index


def _heads(steps: tuple[Step, ...]) -> list[Step]:
    return [step for step in steps if step.kind == "yolo"]


def _in_file_order(traced: Traced, steps: tuple[Step, ...], pairs: dict[int, int]) -> Traced:
    """The slots of ours in the order of their file."""
    place = {b: a for a, b in pairs.items()}
    slots = [replace(slot, step=steps[place[slot.step.index]]) for slot in traced.slots]
    slots.sort(key=lambda slot: slot.step.index)  # stable: arrays of a layer keep their order
    return Traced(traced.text, tuple(slots), traced.norms)


def _head(steps: tuple[Step, ...], before: Any) -> tuple[AnchorBased, tuple[str, ...]]:
    heads = _heads(steps)
    if not heads or any(step.settings["new_coords"] for step in heads):
        raise UserError(
            f"{steps[0].section.file} is none of our detectors",
            rule="[yolo] layers without new_coords",
            fix="leave as_parts out: any cfg becomes a Keras graph",
        )
    # The coarsest map of these networks has stride 32.
    least = min(step.shape[0] for step in heads)
    levels = [f"p{6 - (step.shape[0] // least).bit_length()}" for step in heads]
    own = dict(sorted(zip(levels, (step.settings for step in heads), strict=True)))
    reach = {level: settings["scale_xy"] for level, settings in own.items()}
    head = AnchorBased(
        num_classes=heads[0].settings["classes"],
        anchors={level: tuple(settings["anchors"]) for level, settings in own.items()},
        scale_xy=reach if len(set(reach.values())) > 1 else heads[0].settings["scale_xy"],
        before=before,
    )
    return head, tuple(own)


def _signature(step: Step) -> tuple[Any, ...]:
    settings = {k: v for k, v in step.settings.items() if k not in _IGNORED}
    return step.kind, len(step.inputs), step.shape, step.arrays, settings
