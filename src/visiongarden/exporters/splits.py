"""Removal of transpositions around channel splits in exported ONNX graphs.

ONNX convolutions have channels first, Keras has channels last. tf2onnx moves the transpositions
between them through all operations except those with several outputs, so each split of a feature
map would keep transpositions around it: a twentieth of the inference time of a file.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

_LAST, _FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def split_channels_first(graph: Any) -> int:
    """Remove the transpositions around splits of the last axis in an `onnx.GraphProto`.

    A split is changed if its input is transposed to channels last and all its outputs are
    transposed back. The results are the same numbers.

    Returns:
        The number of changed splits.
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
            # A graph output must keep its name and its layout.
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
        # Their recorded shapes still have the channels last.
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
