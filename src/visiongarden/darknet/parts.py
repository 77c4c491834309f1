"""Import of Darknet networks as detectors made of visiongarden's parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from keras import ops

from visiongarden.backbones import CSPDarknet53, CSPDarknetTiny, Darknet53, DarknetTiny
from visiongarden.backends.weightless import weightless
from visiongarden.darknet.build import EPSILON
from visiongarden.darknet.cfg import Cfg, parse_cfg
from visiongarden.darknet.geometry import Step, geometry, image_shape
from visiongarden.darknet.trace import Traced, trace
from visiongarden.darknet.weights import collect
from visiongarden.decoders import TinyDecoder, YOLOv3Decoder, YOLOv4Decoder
from visiongarden.errors import ContractError, UserError
from visiongarden.heads import AnchorBased
from visiongarden.models import Detector
from visiongarden.types import ClassMap, ImageSize

_IGNORED = {"nms_kind", "beta_nms", "padding", "before", "shared"}
"""Settings that do not change the outputs, or whose effect shows in the shapes."""

_FAMILIES: tuple[tuple[Any, Any, bool], ...] = (
    (Darknet53, YOLOv3Decoder, True),
    (Darknet53, lambda levels: YOLOv3Decoder(levels=levels, pool_sizes=(13, 9, 5)), True),
    (CSPDarknet53, lambda levels: YOLOv4Decoder(levels=levels, activation="leaky_relu"), True),
    (DarknetTiny, TinyDecoder, False),
    (CSPDarknetTiny, TinyDecoder, False),
)
"""The detectors to compare a cfg with: backbone, decoder, and the head's `hidden_conv`."""


def as_parts(
    cfg: Cfg,
    steps: tuple[Step, ...],
    image_size: ImageSize | None,
    class_map: ClassMap | Sequence[str] | None,
) -> tuple[Detector, Traced]:
    """Build the detector made of parts that computes the same as a cfg.

    Args:
        cfg: The parsed cfg.
        steps: The layers of the cfg.
        image_size: (height, width) in pixels, which replaces the size in the cfg.
        class_map: Class map, or a sequence of class names.

    Returns:
        The detector with new weights, and its variables in the order of the cfg's weights file.

    Raises:
        UserError: If no detector made of parts computes the same. The message names the first layer
            in which each of them differs.
    """
    differences = []
    for backbone, decoder, hidden_conv in _FAMILIES:

        def model(
            backbone: Any = backbone, decoder: Any = decoder, hidden: bool = hidden_conv
        ) -> Any:
            head, levels = _head(steps, hidden)
            parts = backbone(levels=levels), decoder(levels=levels), head
            return Detector(*parts, image_shape(cfg, image_size)[:2], class_map)

        try:
            # Candidates are compared without weights, which would take memory and time.
            with weightless():
                candidate = geometry(parse_cfg(trace(model()).text))
            pairs = paired(steps, candidate)
        except ContractError as error:
            differences.append(error.what)
        except Differs as found:
            differences.append(f"{backbone.__name__}: {found}")
        else:
            detector = model()
            return detector, _in_file_order(trace(detector), steps, pairs)
    raise UserError(
        f"{cfg.file} is not equivalent to a detector made of parts",
        rule="the layers of one of visiongarden's detectors",
        received="; ".join(dict.fromkeys(differences)),
        fix="leave out as_parts; any supported cfg can be imported as a DarknetModel",
    )


def match_epsilon(norms: Sequence[Any]) -> None:
    """Adjust the scales of batch normalization layers whose epsilon differs from Darknet's.

    The new scale keeps gamma / sqrt(variance + epsilon) as Darknet computes it; moving mean and
    variance are not changed.
    """
    for norm in norms:
        gamma = ops.convert_to_numpy(norm.gamma) * _factor(norm)
        norm.gamma.assign(gamma.astype(np.float32))


def in_darknets_epsilon(traced: Traced) -> list[np.ndarray]:
    """Return the arrays of a model for a weights file, with scales adjusted to Darknet's epsilon.

    This is the inverse of `match_epsilon`: the exported network computes the same in Darknet.
    """
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
    """Exception that names the layer in which two networks differ."""


def paired(imported: tuple[Step, ...], candidate: tuple[Step, ...]) -> dict[int, int]:
    """Pair the layers of two networks that compute the same, whatever the order of their layers.

    Both graphs are traversed in parallel from the prediction layers to the image.

    Args:
        imported: Layers of the cfg to import.
        candidate: Layers of a detector made of parts, as a Darknet network.

    Returns:
        Index of a layer in `candidate` by index of the layer in `imported`.

    Raises:
        Differs: If a layer of `imported` has no counterpart. The message names the layer.
    """
    # Prediction layers correspond by the size of their maps, coarsest first.
    heads = [sorted(_heads(each), key=lambda step: step.shape[0]) for each in (imported, candidate)]
    if [step.shape for step in heads[0]] != [step.shape for step in heads[1]]:
        raise Differs("its prediction layers differ")
    open_pairs = [(a.index, b.index) for a, b in zip(*heads, strict=True)]
    pairs: dict[int, int] = {}
    while open_pairs:
        a, b = (
            _origin(each, i)
            for each, i in zip((imported, candidate), open_pairs.pop(), strict=True)
        )
        if pairs.get(a, b) != b:
            raise Differs(f"{imported[a].section.where()} is used differently")
        if a in pairs or a < 0 or b < 0:
            if (a < 0) != (b < 0):
                raise Differs(f"{imported[max(a, 0)].section.where()} differs")
            continue
        if _signature(imported[a]) != _signature(candidate[b]):
            raise Differs(f"{imported[a].section.where()} differs")
        pairs[a] = b
        open_pairs += zip(imported[a].inputs, candidate[b].inputs, strict=True)
    return pairs


def _origin(steps: tuple[Step, ...], index: int) -> int:
    """Return the origin of a layer's output, skipping layers that only pass on their input."""
    while index >= 0 and len(steps[index].inputs) == 1:
        step, above = steps[index], steps[index].inputs[0]
        if step.kind == "route" and step.settings["groups"] > 1:
            # A group of channels of a concatenation is one of the concatenated maps if these have
            # equal shapes.
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
    """Sort the slots of a detector into the order of the weights file of the imported cfg."""
    place = {b: a for a, b in pairs.items()}
    slots = [replace(slot, step=steps[place[slot.step.index]]) for slot in traced.slots]
    slots.sort(key=lambda slot: slot.step.index)  # stable: arrays of a layer keep their order
    return Traced(traced.text, tuple(slots), traced.norms)


def _head(steps: tuple[Step, ...], hidden_conv: bool) -> tuple[AnchorBased, tuple[str, ...]]:
    heads = _heads(steps)
    if not heads or any(step.settings["new_coords"] for step in heads):
        raise UserError(
            f"{steps[0].section.file} is not equivalent to a detector made of parts",
            rule="[yolo] layers without new_coords",
            fix="leave out as_parts; any supported cfg can be imported as a DarknetModel",
        )
    # The coarsest map of these networks has stride 32.
    min_rows = min(step.shape[0] for step in heads)
    levels = [f"p{6 - (step.shape[0] // min_rows).bit_length()}" for step in heads]
    by_level = dict(sorted(zip(levels, (step.settings for step in heads), strict=True)))
    reach = {level: settings["scale_xy"] for level, settings in by_level.items()}
    head = AnchorBased(
        num_classes=heads[0].settings["classes"],
        anchors={level: tuple(settings["anchors"]) for level, settings in by_level.items()},
        scale_xy=reach if len(set(reach.values())) > 1 else heads[0].settings["scale_xy"],
        hidden_conv=hidden_conv,
    )
    return head, tuple(by_level)


def _signature(step: Step) -> tuple[Any, ...]:
    settings = {k: v for k, v in step.settings.items() if k not in _IGNORED}
    return step.kind, len(step.inputs), step.shape, step.arrays, settings
