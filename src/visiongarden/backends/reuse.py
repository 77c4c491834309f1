"""`reuse_memory`: write results of a captured graph into memory that is no longer needed (PyTorch).

**Why.** Keras computes without side effects: each addition returns a new tensor. For an optimizer
that updates all weights as one vector, these are a dozen tensors of 14 MB in a step of a small
detector, each in new pages of memory. Code written for PyTorch adds in place. **Gain:** half of the
new pages of a step (benchmarks/RESULTS.md, Speed). **Switch:** `reused_memory`.

An elementwise operation writes into one of its arguments, if the graph made that tensor itself and
nothing reads it, or a view of it, afterwards.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

_MIN_ELEMENTS = 2**12
"""Elements below which a new tensor costs nothing: the C library keeps small blocks."""


def reuse_memory(graph: Any) -> int:
    """Change a graph of `torch.fx` in place; return the number of operations that reuse memory.

    Args:
        graph: graph module without functions other than operators of PyTorch, with the values of
            `make_fx` in the metadata of its nodes.
    """
    nodes = list(graph.graph.nodes)
    memory = _Memory(nodes)
    count = 0
    for position, node in enumerate(nodes):
        writing = _writing_overload(node)
        if writing is None:
            continue
        overload, name = writing
        for argument in node.all_input_nodes:
            if memory.is_free(argument, node, position):
                node.target = overload
                node.kwargs = {**node.kwargs, name: argument}
                memory.join(node, argument)
                count += 1
                break
    if count:
        graph.recompile()
    return count


class _Memory:
    """Which tensors of a graph share memory, and the position at which it is last read."""

    def __init__(self, nodes: list[Any]) -> None:
        # From a node to another one with the same memory; the owner leads to itself.
        self._leads = {node: node for node in nodes}
        for node in nodes:
            for other in _shared(node):
                self._leads[self._owner(other)] = self._owner(node)
        # The owner is the first of the nodes that share memory: the one that allocated it.
        first: dict[Any, Any] = {}
        for node in nodes:
            first.setdefault(self._owner(node), node)
        self._leads = {node: first[self._owner(node)] for node in nodes}
        places = {node: position for position, node in enumerate(nodes)}
        self._last = dict.fromkeys(nodes, 0)
        for node in nodes:
            owner = self._leads[node]
            for user in node.users:
                read = places[user] if user.op == "call_function" else _END
                self._last[owner] = max(self._last[owner], read)

    def is_free(self, argument: Any, node: Any, position: int) -> bool:
        """Return whether a node may write its result into the memory of an argument."""
        owner = self._owner(argument)
        if not _allocates(owner) or self._last[owner] > position:
            return False
        others = [other for other in node.all_input_nodes if other is not argument]
        if any(self._owner(other) is owner for other in others):
            return False  # another view of the same memory, which may be read in another order
        own, result, whole = (_tensor(x) for x in (argument, node, owner))
        if own is None or result is None or whole is None:
            return False
        return (
            result.numel() >= _MIN_ELEMENTS
            and own.numel() == whole.numel()
            and _layout(own) == _layout(result)
            and _is_dense(own)
        )

    def join(self, node: Any, argument: Any) -> None:
        """Record that a node writes its result into the memory of an argument."""
        mine, owner = self._owner(node), self._owner(argument)
        self._leads[mine] = owner
        self._last[owner] = max(self._last[owner], self._last[mine])

    def _owner(self, node: Any) -> Any:
        while self._leads[node] is not node:
            node = self._leads[node]
        return node


_END = 2**62
"""Position of reads after the graph."""

_NEW = (
    *("bmm", "cat", "clone", "convolution", "convolution_backward", "gather", "index_select"),
    *("max_pool2d_with_indices_backward", "mm", "native_batch_norm_backward", "sum"),
    *("upsample_bilinear2d_backward", "upsample_nearest2d_backward"),
)
"""Operations that return new memory, besides the elementwise ones."""

_MAY_RETURN_ARGUMENT = ("_reshape_alias", "_unsafe_view", "lift", "lift_fresh", "native_dropout")
"""Operations that may return the memory of their argument without declaring it."""


def _shared(node: Any) -> list[Any]:
    """Return the arguments that may share memory with the results of a node."""
    import torch

    if node.op != "call_function":
        return []
    target = node.target
    if target is operator.getitem:
        # The results of one operation do not overlap, unless they are views of its argument.
        return [] if _allocates(node) else [node.args[0]]
    if not isinstance(target, torch._ops.OpOverload) or _name(target) in _MAY_RETURN_ARGUMENT:
        return list(node.all_input_nodes)
    aliases = {
        name
        for each in target._schema.returns
        if each.alias_info is not None
        for name in each.alias_info.before_set
    }
    return [
        found
        for argument, value in _arguments(node)
        if argument.alias_info is not None
        and ("*" in aliases or argument.alias_info.before_set & aliases)
        for found in _nodes(value)
    ]


def _allocates(node: Any) -> bool:
    """Return whether a result is new memory of the graph, and not that of an argument."""
    import torch

    if node.target is operator.getitem:
        node = node.args[0]
    target = node.target
    if not isinstance(target, torch._ops.OpOverload) or target._schema.is_mutable:
        return False
    return _name(target) in _NEW or _is_elementwise(target)


def _is_elementwise(overload: Any) -> bool:
    import torch

    is_view = any(each.alias_info is not None for each in overload._schema.returns)
    return torch.Tag.pointwise in overload.tags and not is_view


def _name(overload: Any) -> str:
    return str(overload._schema.name.split("::")[1])


def _arguments(node: Any) -> Iterable[tuple[Any, Any]]:
    """Yield each argument of a node: its declaration in the schema, and its value."""
    for number, argument in enumerate(node.target._schema.arguments):
        if number < len(node.args):
            yield argument, node.args[number]
        elif argument.name in node.kwargs:
            yield argument, node.kwargs[argument.name]


def _nodes(value: Any) -> list[Any]:
    import torch

    values = value if isinstance(value, (list, tuple)) else [value]
    return [each for each in values if isinstance(each, torch.fx.Node)]


def _writing_overload(node: Any) -> tuple[Any, str] | None:
    """Return the overload of an elementwise operation with an output argument, and its name."""
    import torch

    target, result = node.target, _tensor(node)
    if not isinstance(target, torch._ops.OpOverload) or target._schema.is_mutable or result is None:
        return None
    if not _is_elementwise(target):
        return None
    wanted = [(each.name, str(each.type)) for each in target._schema.arguments]
    for name in target.overloadpacket.overloads():
        overload = getattr(target.overloadpacket, name)  # where PyTorch stores its variants
        declared = overload._schema.arguments
        given = [(each.name, str(each.type)) for each in declared if not each.is_out]
        written = [each.name for each in declared if each.is_out]
        # Variants without a kernel of their own compute a new tensor, and copy it.
        if given == wanted and len(written) == 1 and _has_kernel(overload, result.device.type):
            return overload, written[0]
    return None


def _has_kernel(overload: Any, device: str) -> bool:
    import torch

    key = {"cpu": "CPU", "cuda": "CUDA"}.get(device)
    return key is not None and torch._C._dispatch_has_kernel_for_dispatch_key(overload.name(), key)


def _tensor(node: Any) -> Any:
    """Return the tensor that `make_fx` recorded as the result of a node, or None."""
    import torch

    value = node.meta.get("val")
    return value if isinstance(value, torch.Tensor) else None


def _layout(x: Any) -> tuple[Any, ...]:
    return tuple(x.shape), tuple(x.stride()), x.dtype, x.device


def _is_dense(x: Any) -> bool:
    """Return whether the elements of a tensor fill its memory, each with one place."""
    expected = 1
    for stride, size in sorted(zip(x.stride(), x.shape, strict=True)):
        if size == 1:
            continue
        if stride != expected:
            return False
        expected *= size
    return True
