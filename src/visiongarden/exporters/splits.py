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
    producers = {name: node for node in graph.node for name in node.output}
    consumers: dict[str, list[Any]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            consumers[name].append(node)
    graph_outputs = {output.name for output in graph.output}
    changed = 0
    for split in [node for node in graph.node if node.op_type == "Split"]:
        transpose, axis = producers.get(split.input[0]), _attribute(split, "axis")
        back = [consumer for name in split.output for consumer in consumers[name]]
        if (
            transpose is None
            or not _transposes(transpose, _LAST)
            or axis is None
            or axis.i not in (-1, 3)
            # A graph output must keep its name and its layout.
            or graph_outputs & {*split.output, *(node.output[0] for node in back)}
            or not all(_transposes(node, _FIRST) for node in back)
        ):
            continue
        split.input[0] = transpose.input[0]
        axis.i = 1
        for node in back:
            for consumer in consumers[node.output[0]]:
                for place, name in enumerate(consumer.input):
                    if name == node.output[0]:
                        consumer.input[place] = node.input[0]
            graph.node.remove(node)
        # Their recorded shapes still have the channels last.
        _remove_shapes(graph, set(split.output))
        changed += 1
    used = {name for node in graph.node for name in node.input} | graph_outputs
    for node in [n for n in graph.node if n.op_type == "Transpose" and n.output[0] not in used]:
        graph.node.remove(node)
    return changed


def _transposes(node: Any, order: tuple[int, ...]) -> bool:
    perm = _attribute(node, "perm")
    return node.op_type == "Transpose" and perm is not None and tuple(perm.ints) == order


def _attribute(node: Any, name: str) -> Any:
    return next((attribute for attribute in node.attribute if attribute.name == name), None)


def _remove_shapes(graph: Any, names: set[str]) -> None:
    for value in [v for v in graph.value_info if v.name in names]:
        graph.value_info.remove(value)
