"""`Recorded`: a function of PyTorch tensors that runs without the layers' Python after a while.

A call of a Keras layer takes PyTorch about 0.2 ms, whatever the layer does: 28 ms for a small
detector, a fifth of its inference of eight images of 320 pixels. TensorFlow and JAX trace a
function once for each shape; here PyTorch does the same with the operations that it runs. On a GPU
the device itself repeats them, as a CUDA graph: even one Python call for each of some thousand
operations takes several times as long as the operations.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import keras

from visiongarden.backends.memory import give_back

AFTER = 16
"""Calls with one shape before it is recorded: recording takes as long as 50 to 100 calls save."""

MOST = 8
"""Recordings that are kept; the one that was used longest ago goes."""

_FOLDED = 2**20

Run: TypeAlias = Callable[[list[Any]], list[Any]]


class Recorded:
    """Runs a function of tensors; from the `AFTER`-th call with some shapes on from a recording.

    As on TensorFlow and JAX, Python runs once for each shape, and variables that change in place
    are followed. A recording has to give the function's own values for the next call's tensors too,
    and to leave the same state, before it is used. What cannot be recorded runs as it is for good:
    a function that reads a tensor's value as a number, as random layers do with their seed.

    A recording has no gradient. Where gradients are on, the function runs as it is; one that takes
    gradients itself is recorded with them.

    Args:
        function: of tensors, or of lists and dicts of them; returns such.
        state: the variables that a call changes, which recording leaves as they were.
    """

    def __init__(
        self, function: Callable[..., Any], state: Callable[[], Iterable[Any]] = tuple
    ) -> None:
        self._function, self._state = function, state
        self._calls: Counter[Any] = Counter()
        self._kept: OrderedDict[Any, Callable[[list[Any]], Any]] = OrderedDict()
        self._can, self._lock = True, threading.Lock()
        self._pool: Any = None
        self._tried: OrderedDict[Any, Any] = OrderedDict()

    @property
    def recorded(self) -> int:
        """Shapes that run from a recording."""
        return len(self._kept)

    def __call__(self, *given: Any) -> Any:
        """What the function makes of the tensors."""
        import torch

        if not self._can or torch.is_grad_enabled():
            return self._function(*given)
        tensors = keras.tree.flatten(given)
        key = tuple((x.shape, x.dtype, x.device) for x in tensors)
        with self._lock:
            run = self._kept.get(key)
            if run is not None:
                self._kept.move_to_end(key)
            elif self._can:
                self._calls[key] += 1
                if self._calls[key] >= AFTER:
                    self._advance(key, given, tensors)
        return self._function(*given) if run is None else run(tensors)

    def _advance(self, key: Any, given: Any, tensors: list[Any]) -> None:
        """Records at one call, and at the next one, whose numbers are others, compares."""
        before = _Values(self._state())
        try:
            if key not in self._tried:
                self._tried[key] = self._record(given, tensors)
                if len(self._tried) > MOST:
                    del self._calls[self._tried.popitem(last=False)[0]]
                return
            graph, structure = self._tried.pop(key)
            if not self._same(graph, given, tensors, before):
                self._can = False
                return
            run = self._quickest(graph, tensors, before)
        except Exception:  # a person's own function raises whatever it likes, and will once more
            self._can = False
            return
        finally:
            before.restore()
        self._kept[key] = lambda tensors: keras.tree.pack_sequence_as(structure, run(tensors))
        if len(self._kept) > MOST:
            # It starts anew: shapes that take turns must not be recorded at every call.
            del self._calls[self._kept.popitem(last=False)[0]]

    def _record(self, given: Any, tensors: list[Any]) -> tuple[Any, Any]:
        import torch
        from torch._guards import TracingContext, tracing
        from torch._subclasses.fake_tensor import FakeTensorMode
        from torch.fx.experimental.proxy_tensor import make_fx

        made: list[Any] = []

        def watched(tensors: list[Any]) -> list[Any]:
            with _NoNumbers(), torch.autograd.set_multithreading_enabled(False):
                made.append(self._function(*keras.tree.pack_sequence_as(given, tensors)))
            return keras.tree.flatten(made[0])

        # One mode for what is noted of each value's shape; by itself each would make its own, with
        # a trace of Python's stack: half of the time.
        give_back()
        with tracing(TracingContext(FakeTensorMode())):
            graph: Any = make_fx(watched)(tensors)
        _fold(graph)
        give_back()
        return graph, keras.tree.map_structure(lambda _: 0, made.pop())

    def _same(self, graph: Run, given: Any, tensors: list[Any], before: _Values) -> bool:
        """Whether both give the same values and leave the same state."""
        import torch

        found = []
        for run in (lambda _: keras.tree.flatten(self._function(*given)), graph):
            outputs = run(tensors)
            if not all(isinstance(x, torch.Tensor) for x in outputs):
                return False
            found.append([*outputs, *before.now()])
            before.restore()
        return len(found[0]) == len(found[1]) and all(map(_close, *found))

    def _quickest(self, graph: Any, tensors: list[Any], before: _Values) -> Run:
        import torch

        if all(x.device.type != "cuda" for x in tensors):
            return graph
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        return _captured(graph, tensors, before, self._pool)


class _Values:
    """What variables hold and where PyTorch's generators stand, to put it back."""

    def __init__(self, variables: Iterable[Any]) -> None:
        import torch

        self._pairs = [(v.value, v.value.detach().clone()) for v in variables]
        devices = [torch.cuda] if torch.cuda.is_initialized() else []
        self._draws = [(each, each.get_rng_state()) for each in (torch, *devices)]

    def restore(self) -> None:
        import torch

        for generator, state in self._draws:
            generator.set_rng_state(state)
        with torch.no_grad():
            for value, before in self._pairs:
                value.copy_(before)

    def now(self) -> list[Any]:
        return [value.detach().clone() for value, _ in self._pairs]


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


def _fold(graph: Any) -> None:
    """Makes a constant's copy to the device a constant there; at each step it would be waited for.

    Constants are tensors that the function made of numbers, as Keras does. Variables are
    parameters of PyTorch, and stay.
    """
    import torch

    aten = torch.ops.aten
    copies = {aten._to_copy.default, aten.lift_fresh_copy.default, aten.detach.default}
    known: dict[Any, Any] = {}
    for node in list(graph.graph.nodes):
        if node.op == "get_attr":
            value = getattr(graph, node.target)
            if not isinstance(value, torch.nn.Parameter) and value.numel() <= _FOLDED:
                known[node] = value
        elif node.target in copies and node.args[0] in known and not any(map(_mutates, node.users)):
            known[node] = node.target(known[node.args[0]], **node.kwargs)
            name = f"_folded_{node.name}"
            graph.register_buffer(name, known[node])
            with graph.graph.inserting_before(node):
                constant = graph.graph.get_attr(name)
            known[constant] = known[node]
            node.replace_all_uses_with(constant)
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def _mutates(node: Any) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is None or schema.is_mutable


def _captured(graph: Any, tensors: list[Any], before: _Values, pool: Any) -> Run:
    """The recording as a CUDA graph; as it is, where it has what the device cannot repeat."""
    import torch

    inputs = [x.clone() for x in tensors]
    stream, main = torch.cuda.Stream(), torch.cuda.current_stream()
    stream.wait_stream(main)
    with torch.cuda.stream(stream):
        graph(inputs)  # libraries choose their kernels outside the capture
    main.wait_stream(stream)
    before.restore()
    replay = torch.cuda.CUDAGraph()
    try:
        # Other threads may bring the next images meanwhile.
        with torch.cuda.graph(replay, pool=pool, capture_error_mode="thread_local"):
            outputs = graph(inputs)
    except RuntimeError:
        return graph
    weights = list(graph.parameters())
    places = [weight.data_ptr() for weight in weights]
    lock = threading.Lock()

    def run(tensors: list[Any]) -> list[Any]:
        if [weight.data_ptr() for weight in weights] != places:
            return list(graph(tensors))  # the device would read where weights were
        with lock:
            for here, given in zip(inputs, tensors, strict=True):
                here.copy_(given)
            replay.replay()
            return [x.clone() for x in outputs]

    return run


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
