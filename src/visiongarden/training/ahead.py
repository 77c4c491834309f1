"""`Ahead`: the next batches are brought to the accelerator while a step runs."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras

DEPTH = 2
"""Batches that wait on the device."""

_END = object()


class Ahead:
    """Iterates over batches that a thread of its own makes, and puts on the device.

    An exception of the source comes out where its batch would have come. `close` ends the thread;
    the source is then closed too.

    Args:
        batches: trees of arrays.
        put: brings one batch to the device; by default what suits the backend.
    """

    def __init__(self, batches: Iterator[Any], put: Callable[[Any], Any] | None = None) -> None:
        self._batches, self._put = batches, put or _PUTS[keras.backend.backend()]()
        self._queue: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(DEPTH)
        self._closed, self._done = threading.Event(), False
        self._thread = threading.Thread(target=self._fill, name="batches ahead", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._done:
            raise StopIteration
        batch, error = self._queue.get()
        if error is not None:
            self._done = True
            raise error
        if batch is _END:
            self._done = True
            raise StopIteration
        return batch() if callable(batch) else batch

    def close(self) -> None:
        """Stops; batches that wait are dropped."""
        self._closed.set()
        self._done = True
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue

    def _fill(self) -> None:
        try:
            for batch in self._batches:
                self._queue.put((self._put(batch), None))
                if self._closed.is_set():
                    break
            self._queue.put((_END, None))
        except BaseException as error:  # whatever it is, the training loop is told
            self._queue.put((None, error))
        finally:
            close = getattr(self._batches, "close", None)
            if self._closed.is_set() and close is not None:
                close()


def ahead(batches: Iterator[Any]) -> Iterator[Any]:
    """The batches, brought to the device ahead where that is another than the processor."""
    if not accelerated():
        yield from batches
        return
    source = Ahead(batches)
    try:
        yield from source
    finally:
        source.close()


def accelerated() -> bool:
    """Whether the backend computes elsewhere than on the processor."""
    name = keras.backend.backend()
    if name == "torch":
        import torch

        return torch.cuda.is_available()
    if name == "jax":
        import jax

        return bool(jax.default_backend() != "cpu")
    return False  # TensorFlow's own data sets run ahead


def _torch_put() -> Callable[[Any], Any]:
    import torch

    stream = torch.cuda.Stream()

    def put(batch: Any) -> Callable[[], Any]:
        # Page-locked memory, so that the copy runs beside the step.
        pinned = keras.tree.map_structure(lambda x: torch.as_tensor(x).pin_memory(), batch)
        with torch.cuda.stream(stream):
            there = keras.tree.map_structure(lambda x: x.to("cuda", non_blocking=True), pinned)
            ready = stream.record_event()

        def take() -> Any:
            main = torch.cuda.current_stream()
            main.wait_event(ready)
            for x in keras.tree.flatten(there):
                x.record_stream(main)
            return there

        return take

    return put


def _jax_put() -> Callable[[Any], Any]:
    import jax

    return lambda batch: keras.tree.map_structure(jax.device_put, batch)


_PUTS: dict[str, Callable[[], Callable[[Any], Any]]] = {
    "torch": _torch_put,
    "jax": _jax_put,
}
