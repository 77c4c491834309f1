"""`Recorded`: a function of PyTorch tensors that runs without the layers' Python after a while.

A call of a Keras layer takes PyTorch about 0.2 ms, whatever the layer does: 28 ms for a small
detector, a fifth of its inference of eight images of 320 pixels. TensorFlow and JAX trace a
function once for each shape; here PyTorch does the same with the operations that it runs.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import keras

AFTER = 16
"""Calls with one shape before it is recorded: recording takes about as long as 50 calls save."""

MOST = 8
"""Recordings that are kept; the one that was used longest ago goes."""


class Recorded:
    """Runs a function of tensors; from the `AFTER`-th call with some shapes on from a recording.

    As on TensorFlow and JAX, Python runs once for each shape, and variables that change in place
    are followed. A recording has to give the function's own values and gradients before it is used.
    What cannot be recorded runs as it is for good: a function that reads a tensor's value as a
    number, as random layers do with their seed, or that has a gradient of its own
    (`torch.autograd.Function`, `torch.no_grad`).

    Args:
        function: of tensors, or of lists and dicts of them; returns such.
        state: the variables that a call changes, which recording leaves as they were.
    """

    def __init__(
        self, function: Callable[..., Any], state: Callable[[], Iterable[Any]] = tuple
    ) -> None:
        self._function, self._state = function, state
        self._calls: Counter[Any] = Counter()
        self._kept: OrderedDict[Any, Callable[..., Any]] = OrderedDict()
        self._can = True

    @property
    def recorded(self) -> int:
        """Shapes that run from a recording."""
        return len(self._kept)

    def __call__(self, *given: Any) -> Any:
        """What the function makes of the tensors."""
        import torch

        if not self._can:
            return self._function(*given)
        tensors = keras.tree.flatten(given)
        key = (torch.is_grad_enabled(), *((x.shape, x.dtype, x.device) for x in tensors))
        run = self._kept.get(key)
        if run is None:
            self._calls[key] += 1
            if self._calls[key] < AFTER:
                return self._function(*given)
            run = self._record(given)
            if run is None:
                self._can = False
                return self._function(*given)
            self._kept[key] = run
            if len(self._kept) > MOST:
                # It starts anew: shapes that take turns must not be recorded at every call.
                del self._calls[self._kept.popitem(last=False)[0]]
        self._kept.move_to_end(key)
        return run(tensors)

    def _record(self, given: Any) -> Callable[[list[Any]], Any] | None:
        from torch.fx.experimental.proxy_tensor import make_fx

        before = _Values(self._state())
        tensors = keras.tree.flatten(given)
        made: list[Any] = []

        def flat(tensors: list[Any]) -> list[Any]:
            made[:] = [self._function(*keras.tree.pack_sequence_as(given, tensors))]
            return keras.tree.flatten(made[0])

        def watched(tensors: list[Any]) -> list[Any]:
            with _NoNumbers():
                return flat(tensors)

        try:
            graph: Any = make_fx(watched)(tensors)
            _assign_without_gradient(graph)
            before.restore()
            same = _same(flat, graph, tensors, before)
        except (RuntimeError, TypeError, ValueError, NotImplementedError):
            return None
        finally:
            before.restore()
        structure = keras.tree.map_structure(lambda _: 0, made.pop())
        if not same:
            return None
        return lambda tensors: keras.tree.pack_sequence_as(structure, graph(tensors))


class _Values:
    """What variables hold, to put it back."""

    def __init__(self, variables: Iterable[Any]) -> None:
        self._pairs = [(v.value, v.value.detach().clone()) for v in variables]

    def restore(self) -> None:
        import torch

        with torch.no_grad():
            for value, before in self._pairs:
                value.copy_(before)

    def now(self) -> list[Any]:
        return [value.detach().clone() for value, _ in self._pairs]


def _assign_without_gradient(graph: Any) -> None:
    """Keras assigns to a variable under `no_grad`, which a recording knows nothing of."""
    import torch

    for node in graph.graph.nodes:
        if node.target is torch.ops.aten.copy_.default and node.args[0].op == "get_attr":
            with graph.graph.inserting_before(node):
                value = graph.graph.call_function(torch.ops.aten.detach.default, (node.args[1],))
            node.args = (node.args[0], value, *node.args[2:])
    graph.recompile()


def _same(function: Any, graph: Any, tensors: list[Any], before: _Values) -> bool:
    """Whether both give the same values, leave the same state and have the same gradients."""
    import torch

    found: list[list[Any]] = []
    leaves: list[Any] | None = []
    for number, run in enumerate((function, graph)):
        outputs = run(tensors)
        if not all(isinstance(x, torch.Tensor) for x in outputs):
            return False
        values = [x.detach() for x in outputs] + before.now()
        if number == 0:
            leaves = _leaves(outputs)
        if leaves is None:
            return False
        wanted = [x for x in outputs if x.requires_grad]
        if leaves and wanted:
            random = torch.Generator().manual_seed(0)
            shares = [0.5 + torch.rand(x.shape, generator=random).to(x) for x in wanted]
            gradients = torch.autograd.grad(wanted, leaves, shares, allow_unused=True)
            zeros = (torch.zeros_like(leaf) for leaf in leaves)
            values += [z if g is None else g for g, z in zip(gradients, zeros, strict=True)]
        found.append(values)
        before.restore()
    return len(found[0]) == len(found[1]) and all(map(_close, *found))


def _close(one: Any, other: Any) -> bool:
    import torch

    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if not one.is_floating_point():
        return bool(torch.equal(one, other))
    # The operations are the same ones: what differs is the order of sums on some devices.
    share = torch.finfo(one.dtype).eps ** 0.5
    largest = one.abs().nan_to_num(0.0, 0.0, 0.0).max() if one.numel() else 0.0
    return bool(torch.allclose(one, other, share, share * float(largest), equal_nan=True))


def _leaves(outputs: list[Any]) -> list[Any] | None:
    """Tensors that gradients arrive at; None where a function on the way has its own gradient."""
    import torch

    found: dict[int, Any] = {}
    seen: set[Any] = set()
    waiting = [x.grad_fn for x in outputs if x.grad_fn is not None]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            return None
        if hasattr(node, "variable"):
            found[id(node.variable)] = node.variable
        waiting += [after for after, _ in node.next_functions if after is not None]
    return list(found.values())


def _NoNumbers() -> Any:  # noqa: N802  a class that needs PyTorch to be defined
    from torch.utils._python_dispatch import TorchDispatchMode

    class NoNumbers(TorchDispatchMode):
        """Refuses to turn a tensor into a number, which a recording would repeat for ever."""

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if "_local_scalar_dense" in str(func):
                raise RuntimeError("a tensor's value is read")
            return func(*args, **(kwargs or {}))

    return NoNumbers()
