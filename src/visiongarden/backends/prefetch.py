"""`Prefetcher`: prepare batches and copy them to the accelerator while a step runs.

**Why.** Without it the accelerator waits before each step until the host has made and copied the
next batch. On a CPU there is nothing to copy, and the workers of the loader run beside the step
anyway. The datasets of TensorFlow prefetch by themselves. **Gain:** on a GPU, the time to make and
copy a batch, wherever it is shorter than a step. **Switch:** `prefetch`, for batches that are made
between the steps.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import keras

DEPTH = 2
"""Number of batches that wait on the device."""

_END = object()


@runtime_checkable
class _Closable(Protocol):
    def close(self) -> None: ...


class Prefetcher:
    """Iterator over batches that a thread prepares and copies to the device.

    An exception of the source is raised where its batch would have been returned. `close` ends the
    thread and closes the source.

    Args:
        batches: Trees of arrays.
        put: Function that copies one batch to the device. Defaults to the backend's.
    """

    def __init__(self, batches: Iterator[Any], put: Callable[[Any], Any] | None = None) -> None:
        self._batches, self._put = batches, put or _COPIERS[keras.backend.backend()]()
        self._queue: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(DEPTH)
        self._stopping, self._exhausted = threading.Event(), False
        self._thread = threading.Thread(target=self._fill, name="prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._exhausted:
            raise StopIteration
        batch, error = self._queue.get()
        if error is not None:
            self._exhausted = True
            raise error
        if batch is _END:
            self._exhausted = True
            raise StopIteration
        return batch() if callable(batch) else batch

    def close(self) -> None:
        """Stop the thread; batches that wait are dropped."""
        self._stopping.set()
        self._exhausted = True
        # The thread may be blocked in `put` of the full queue: taking items lets it see the flag.
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue

    def _fill(self) -> None:
        try:
            for batch in self._batches:
                self._queue.put((self._put(batch), None))
                if self._stopping.is_set():
                    break
            self._queue.put((_END, None))
        except BaseException as error:  # raised again in the training loop, whatever it is
            self._queue.put((None, error))
        finally:
            if self._stopping.is_set() and isinstance(self._batches, _Closable):
                self._batches.close()


def prefetch(batches: Iterator[Any]) -> Iterator[Any]:
    """Yield the batches, copied to the device in advance if there is an accelerator."""
    if not has_accelerator():
        yield from batches
        return
    source = Prefetcher(batches)
    try:
        yield from source
    finally:
        source.close()


def has_accelerator() -> bool:
    """Return whether the backend computes on a device other than the CPU.

    False on TensorFlow, whose datasets prefetch by themselves.
    """
    name = keras.backend.backend()
    if name == "torch":
        import torch

        return torch.cuda.is_available()
    if name == "jax":
        import jax

        return bool(jax.default_backend() != "cpu")
    return False


def _torch_copier() -> Callable[[Any], Any]:
    import torch

    stream = torch.cuda.Stream()

    def put(batch: Any) -> Callable[[], Any]:
        # Only copies from page-locked memory are asynchronous, and only a separate stream lets
        # them overlap with the step.
        pinned = keras.tree.map_structure(lambda x: torch.as_tensor(x).pin_memory(), batch)
        with torch.cuda.stream(stream):
            on_device = keras.tree.map_structure(lambda x: x.to("cuda", non_blocking=True), pinned)
            ready = stream.record_event()

        # Runs in the training thread: its stream must wait for the copy, and the allocator must
        # not reuse the memory while that stream still reads it (`record_stream`).
        def wait() -> Any:
            current = torch.cuda.current_stream()
            current.wait_event(ready)
            for x in keras.tree.flatten(on_device):
                x.record_stream(current)
            return on_device

        return wait

    return put


def _jax_copier() -> Callable[[Any], Any]:
    import jax

    return lambda batch: keras.tree.map_structure(jax.device_put, batch)


_COPIERS: dict[str, Callable[[], Callable[[Any], Any]]] = {
    "torch": _torch_copier,
    "jax": _jax_copier,
}
