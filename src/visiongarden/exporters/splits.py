"""Splits of channels where the channels come first, as ONNX's convolutions have them.

tf2onnx moves transpositions through every operation but those of several outputs, so that each
split of a map would turn it to and fro.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

_LAST, _FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def split_channels_first(graph: Any) -> int:
    """Takes the transpositions around splits of the last axis out of an `onnx.GraphProto`.

    A split is changed where its input was turned to channels last and all that it gives is turned
    back; the numbers are the same.

    Returns:
        How many splits were changed.
    """
    makers = {name: node for node in graph.node for name in node.output}
    users: dict[str, list[Any]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            users[name].append(node)
    shown = {output.name for output in graph.output}
    changed = 0
    for split in [node for node in graph.node if node.op_type == "Split"]:
        turned, axis = makers.get(split.input[0]), _attribute(split, "axis")
        back = [user for name in split.output for user in users[name]]
        if (
            turned is None
            or not _turns(turned, _LAST)
            or axis is None
            or axis.i not in (-1, 3)
            or shown & {*split.output, *(node.output[0] for node in back)}
            or not all(_turns(node, _FIRST) for node in back)
        ):
            continue
        split.input[0] = turned.input[0]
        axis.i = 1
        for node in back:
            for user in users[node.output[0]]:
                for place, name in enumerate(user.input):
                    if name == node.output[0]:
                        user.input[place] = node.input[0]
            graph.node.remove(node)
        _forget_shapes(graph, set(split.output))
        changed += 1
    used = {name for node in graph.node for name in node.input} | shown
    for node in [n for n in graph.node if n.op_type == "Transpose" and n.output[0] not in used]:
        graph.node.remove(node)
    return changed


def _turns(node: Any, order: tuple[int, ...]) -> bool:
    perm = _attribute(node, "perm")
    return node.op_type == "Transpose" and perm is not None and tuple(perm.ints) == order


def _attribute(node: Any, name: str) -> Any:
    return next((attribute for attribute in node.attribute if attribute.name == name), None)


def _forget_shapes(graph: Any, names: set[str]) -> None:
    for value in [v for v in graph.value_info if v.name in names]:
        graph.value_info.remove(value)
