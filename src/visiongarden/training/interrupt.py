"""Ctrl-C ends a run after the current step, so that what is saved is whole."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import keras


class StopOnInterrupt(keras.callbacks.Callback):
    """While entered, the first Ctrl-C asks `fit` to stop; a second one stops at once."""

    def __init__(self) -> None:
        super().__init__()
        self.interrupted = False
        self._before: Any = None

    def __enter__(self) -> StopOnInterrupt:
        # Only the main thread may set handlers; elsewhere Ctrl-C does not arrive anyway.
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stops between two steps."""
        if self.interrupted:
            self.model.stop_training = True

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = True
        self._restore()

    def _restore(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
