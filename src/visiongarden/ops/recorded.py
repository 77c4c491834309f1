"""`Recorded`: a function of PyTorch tensors that runs without the layers' Python after a while.

A call of a Keras layer takes PyTorch about 0.2 ms, whatever the layer does: 28 ms for a small
detector, a fifth of its inference of eight images of 320 pixels. TensorFlow and JAX trace a
function once for each shape; here PyTorch does the same with the operations that it runs.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

AFTER = 16
"""Calls with one shape before it is recorded: recording takes about as long as 50 calls save."""

MOST = 8
"""Recordings that are kept; the one that was used longest ago goes."""


class Recorded:
    """Runs a function of one tensor; from the `AFTER`-th call with a shape on from a recording.

    As on TensorFlow and JAX, Python runs once for each shape, and variables that change in place
    are followed. A function that reads a tensor's value as a number, as random layers do with their
    seed, or that cannot be recorded, runs as it is for good.

    Args:
        function: of a tensor; returns a tensor, or tuples and dicts of them.
        state: the variables that a call changes, which recording leaves as they were.
    """

    def __init__(
        self, function: Callable[[Any], Any], state: Callable[[], Iterable[Any]] = tuple
    ) -> None:
        self._function, self._state = function, state
        self._calls: Counter[Any] = Counter()
        self._kept: OrderedDict[Any, Callable[[Any], Any]] = OrderedDict()
        self._can = True

    @property
    def recorded(self) -> int:
        """Shapes that run from a recording."""
        return len(self._kept)

    def __call__(self, x: Any) -> Any:
        """What the function makes of the tensor."""
        import torch

        if not self._can:
            return self._function(x)
        key = (tuple(x.shape), x.dtype, x.device, torch.is_grad_enabled())
        run = self._kept.get(key)
        if run is None:
            self._calls[key] += 1
            if self._calls[key] < AFTER:
                return self._function(x)
            run = self._record(x)
            if not self._can:
                return run(x)
            self._kept[key] = run
            if len(self._kept) > MOST:
                # It starts anew: shapes that take turns must not be recorded at every call.
                del self._calls[self._kept.popitem(last=False)[0]]
        self._kept.move_to_end(key)
        return run(x)

    def _record(self, x: Any) -> Callable[[Any], Any]:
        import torch
        from torch.fx.experimental.proxy_tensor import make_fx

        variables = list(self._state())
        before = [variable.value.detach().clone() for variable in variables]

        def watched(tensor: Any) -> Any:
            with _NoNumbers():
                return self._function(tensor)

        try:
            graph: Callable[[Any], Any] = make_fx(watched)(x)
        except (RuntimeError, TypeError, ValueError, NotImplementedError):
            self._can, graph = False, self._function
        with torch.no_grad():
            for variable, value in zip(variables, before, strict=True):
                variable.value.copy_(value)
        return graph


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
