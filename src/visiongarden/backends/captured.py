"""Captured functions on PyTorch: replay the operations of a call without the Python of the layers.

**Why.** TensorFlow and JAX trace a function once per shape and then run a compiled graph. Keras on
PyTorch runs eagerly, and each call of a layer costs about 0.2 ms of Python, whatever the layer
computes. For a small detector that is 28 ms, a fifth of the inference of eight images of 320
pixels; layers and optimizer together take half of a small training step. On a GPU, requesting some
thousand operations one by one takes several times as long as the device needs to run them.

**How.** `Captured` wraps a function of tensors, such as a forward pass, or a whole training step
with gradients and update.

1. The first calls with the same shapes run the function eagerly.
2. Call number `AFTER` also captures the operations that PyTorch dispatches, as a `torch.fx` graph.
3. The next call also runs both the function and the graph, and compares all outputs and all changed
   variables.
4. From then on the graph runs instead of the function; on a GPU as a CUDA graph, which the device
   replays without Python.

**What breaks without the pieces.** A graph repeats what Python decided during the capture. Where
the function reads a tensor's value, it would use an old number (prevented by `_NoNumbers`, and by
the comparison on other values). The capture would count as a training step (`_Values`). Every step
would wait for the copy of each constant to the device (`_fold`). A CUDA graph would read weights at
addresses that are no longer theirs (`_captured`).

Results never depend on the capture: a function that reads values, or that fails the comparison,
silently runs eagerly from then on and is only slower. Any other failure, such as a private name
that another version of PyTorch lacks, does the same with one warning.
"""

from __future__ import annotations

import threading
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import keras

from visiongarden.backends.memory import give_back
from visiongarden.backends.reuse import reuse_memory
from visiongarden.backends.switches import is_on

AFTER = 16
"""Calls with one shape before its capture, which takes as long as 50 to 100 calls save."""

MAX_GRAPHS = 8
"""Maximum number of captured graphs; the least recently used one is dropped."""

_FOLDED = 2**20
"""Maximum number of elements of a constant that `_fold` stores on the device."""

Run: TypeAlias = Callable[[list[Any]], list[Any]]


class Captured:
    """A function of tensors that is captured after `AFTER` calls with the same shapes.

    Variables that the function reads or changes in place stay shared with the captured graph.
    Before a graph is used, it must return the values of the function on the tensors of another
    call, and leave the same state. A function that reads a tensor's value as a number, as random
    layers do with their seed, is never captured.

    A captured graph has no autograd history. If gradients are enabled, the function runs eagerly; a
    function that computes gradients itself is captured with them.

    Args:
        function: function of tensors, or of lists and dicts of tensors, that returns the same.
        state: returns the variables that a call changes; a capture leaves them unchanged.
    """

    def __init__(
        self, function: Callable[..., Any], state: Callable[[], Iterable[Any]] = tuple
    ) -> None:
        self._function, self._state = function, state
        self._calls: Counter[Any] = Counter()
        self._kept: OrderedDict[Any, Callable[[list[Any]], Any]] = OrderedDict()
        self._can, self._lock = True, threading.Lock()
        self._reads_values = False
        self._pool: Any = None
        self._tried: OrderedDict[Any, Any] = OrderedDict()

    @property
    def captured(self) -> int:
        """Number of shapes for which a captured graph is used."""
        return len(self._kept)

    def __call__(self, *given: Any) -> Any:
        """Return the result of the function, from a captured graph if one exists for the shapes."""
        import torch

        if not self._can or torch.is_grad_enabled():
            return self._function(*given)
        tensors = keras.tree.flatten(given)
        key = tuple((x.shape, x.dtype, x.device) for x in tensors)
        failure: Exception | None = None
        # Several threads may predict with one model; captures must not run at the same time.
        with self._lock:
            run = self._kept.get(key)
            if run is not None:
                self._kept.move_to_end(key)
            elif self._can:
                self._calls[key] += 1
                if self._calls[key] >= AFTER:
                    failure = self._advance(key, given, tensors)
        if run is not None:
            return run(tensors)
        outputs = self._function(*given)
        # An error of the function itself was raised again by the line above, and needs no warning.
        if failure is not None:
            _warn(failure)
        return outputs

    def _advance(self, key: Any, given: Any, tensors: list[Any]) -> Exception | None:
        """Capture at one call, and compare at the next one, whose tensors have other values.

        Returns the error that ended the capture, unless the function reads a tensor's value.

        Constants that depend on the values of the first call can only be noticed on other values.
        """
        before = _Values(self._state())
        try:
            if key not in self._tried:
                self._tried[key] = self._record(given, tensors)
                if len(self._tried) > MAX_GRAPHS:
                    del self._calls[self._tried.popitem(last=False)[0]]
                return None
            graph, structure = self._tried.pop(key)
            if not self._same(graph, given, tensors, before):
                self._can = False
                return None
            run = self._quickest(graph, tensors, before)
        except Exception as error:
            # The function may raise any error; the eager call that follows raises it again, from
            # the user's own code. Private names of PyTorch that are missing also end up here.
            self._can = False
            return None if self._reads_values else error
        finally:
            # The eager call that follows is the one that counts: without this, the weights would
            # be updated twice, and the random numbers would differ from an eager run.
            before.restore()
        self._kept[key] = lambda tensors: keras.tree.pack_sequence_as(structure, run(tensors))
        if len(self._kept) > MAX_GRAPHS:
            # The dropped shape must be called `AFTER` times again. Otherwise, if more than
            # `MAX_GRAPHS` shapes alternate, each call would capture one of them.
            del self._calls[self._kept.popitem(last=False)[0]]
        return None

    def _note_read(self) -> None:
        self._reads_values = True

    def _record(self, given: Any, tensors: list[Any]) -> tuple[Any, Any]:
        """Return the graph of the operations of one call, and the structure of its outputs."""
        import torch
        from torch._guards import TracingContext, tracing
        from torch._subclasses.fake_tensor import FakeTensorMode
        from torch.fx.experimental.proxy_tensor import make_fx

        made: list[Any] = []

        def watched(tensors: list[Any]) -> list[Any]:
            # The modes that capture operations are local to a thread, but autograd runs backward
            # passes on a GPU in other threads, where gradients would not be captured.
            with _NoNumbers(self._note_read), torch.autograd.set_multithreading_enabled(False):
                made.append(self._function(*keras.tree.pack_sequence_as(given, tensors)))
            return keras.tree.flatten(made[0])

        # make_fx stores a fake tensor with the shape of each value. Without a mode in the tracing
        # context, it creates a mode with a stack trace for each of them: half of the capture's
        # time. Memory is returned before and after, because a capture needs hundreds of MiB.
        give_back()
        with tracing(TracingContext(FakeTensorMode())):
            graph: Any = make_fx(watched)(tensors)
        _fold(graph)
        if is_on("reused_memory"):
            reuse_memory(graph)
        give_back()
        # Zeros instead of the outputs: only their nesting is needed, and tensors would stay alive.
        return graph, keras.tree.map_structure(lambda _: 0, made.pop())

    def _same(self, graph: Run, given: Any, tensors: list[Any], before: _Values) -> bool:
        """Return whether function and graph give the same outputs and leave the same state."""
        import torch

        found = []
        for run in (lambda _: keras.tree.flatten(self._function(*given)), graph):
            outputs = run(tensors)
            if not all(isinstance(x, torch.Tensor) for x in outputs):
                return False
            found.append([*outputs, *before.now()])
            before.restore()  # both start from the same weights and RNG state
        return len(found[0]) == len(found[1]) and all(map(_close, *found))

    def _quickest(self, graph: Any, tensors: list[Any], before: _Values) -> Run:
        import torch

        if all(x.device.type != "cuda" for x in tensors):
            return graph
        # One memory pool for all CUDA graphs of the function.
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        return _captured(graph, tensors, before, self._pool)


def _warn(failure: Exception) -> None:
    import torch

    text = " ".join(str(failure).split())[:200]
    warnings.warn(
        f"PyTorch {torch.__version__} failed to capture a step "
        f"({type(failure).__name__}: {text}); ordinary steps are used, which are slower",
        UserWarning,
        stacklevel=3,
    )


class _Values:
    """Snapshot of variables and of the RNG states of PyTorch, which can be restored."""

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
    """Return whether two outputs or variables are equal, up to the order of summation."""
    import torch

    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if not one.is_floating_point():
        return bool(torch.equal(one, other))
    # Both run the same operations, but some devices add in varying order. The tolerance is relative
    # to the largest element, since small elements may be differences of large ones.
    share = torch.finfo(one.dtype).eps ** 0.5
    largest = one.abs().nan_to_num(0.0, 0.0, 0.0).max() if one.numel() else 0.0
    return bool(torch.allclose(one, other, share, share * float(largest), equal_nan=True))


def _fold(graph: Any) -> None:
    """Store constants on the device, instead of copying them there at every call.

    Keras creates constants from Python numbers, on the host; the captured copy to the device would
    wait for it at every step. Variables are parameters of PyTorch, whose values may change; they
    are not folded.
    """
    import torch

    aten = torch.ops.aten
    copies = {aten._to_copy.default, aten.lift_fresh_copy.default, aten.detach.default}
    known: dict[Any, Any] = {}
    for node in list(graph.graph.nodes):
        if node.op == "get_attr":
            # PyTorch stores the constants of a graph in attributes with generated names.
            value = getattr(graph, node.target)
            if not isinstance(value, torch.nn.Parameter) and value.numel() <= _FOLDED:
                known[node] = value
        # A copy that is changed in place afterwards must be made at each call.
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
    """Return whether an operation of the graph may change its arguments in place."""
    import torch

    # Any other target is a Python function, which may do anything.
    if not isinstance(node.target, torch._ops.OpOverload):
        return True
    return bool(node.target._schema.is_mutable)


def _captured(graph: Any, tensors: list[Any], before: _Values, pool: Any) -> Run:
    """Return a function that replays the graph as a CUDA graph.

    If the graph contains an operation that the device cannot replay, the graph itself is returned.
    """
    import torch

    inputs = [x.clone() for x in tensors]
    stream, main = torch.cuda.Stream(), torch.cuda.current_stream()
    stream.wait_stream(main)
    with torch.cuda.stream(stream):
        # cuDNN and cuBLAS select kernels and allocate workspaces at their first call, which is not
        # allowed during a capture.
        graph(inputs)
    main.wait_stream(stream)
    before.restore()
    replay = torch.cuda.CUDAGraph()
    try:
        # By default, an allocation by any thread aborts the capture, and another thread may be
        # copying the next batch to the device.
        with torch.cuda.graph(replay, pool=pool, capture_error_mode="thread_local"):
            outputs = graph(inputs)
    except RuntimeError:
        return graph
    weights = list(graph.parameters())
    places = [weight.data_ptr() for weight in weights]
    lock = threading.Lock()

    def run(tensors: list[Any]) -> list[Any]:
        if [weight.data_ptr() for weight in weights] != places:
            # A weight was moved, for example by `model.to`; the CUDA graph would read its old
            # address.
            return list(graph(tensors))
        with lock:
            for here, given in zip(inputs, tensors, strict=True):
                here.copy_(given)
            replay.replay()
            # The next replay overwrites the outputs in place; the caller may still use them.
            return [x.clone() for x in outputs]

    return run


def _NoNumbers(on_read: Callable[[], None]) -> Any:  # noqa: N802  a class that needs PyTorch to be defined
    """Return a dispatch mode that refuses to convert a tensor to a Python number.

    A function, so that PyTorch is imported only when it is the backend. `on_read` is called before
    the mode raises its error.
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    class NoNumbers(TorchDispatchMode):
        """Mode that refuses to convert a tensor to a number, which a graph would repeat forever."""

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if "_local_scalar_dense" in str(func):
                # A flag, since Keras and the function may replace the error by another one.
                on_read()
                raise RuntimeError("a captured function cannot read a tensor's value")
            return func(*args, **(kwargs or {}))

    return NoNumbers()
