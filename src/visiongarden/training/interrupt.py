"""`StopOnInterrupt`: end training after the current step on Ctrl-C."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import keras


class StopOnInterrupt(keras.callbacks.Callback):
    """Callback and context manager that turns the first Ctrl-C into a request to stop.

    Stopping between two steps leaves weights, optimizer and position consistent for the checkpoint.
    The previous handler is restored with the first Ctrl-C, so a second one interrupts immediately.

    Attributes:
        interrupted: Whether Ctrl-C was pressed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.interrupted = False
        self._previous_handler: Any = None

    def __enter__(self) -> StopOnInterrupt:
        # Python allows signal handlers in the main thread only, and delivers Ctrl-C only there.
        if threading.current_thread() is threading.main_thread():
            self._previous_handler = signal.signal(signal.SIGINT, self._request_stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Ask Keras to stop after this step if Ctrl-C was pressed."""
        if self.interrupted:
            self.model.stop_training = True

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = True
        self._restore()

    def _restore(self) -> None:
        if self._previous_handler is not None:
            signal.signal(signal.SIGINT, self._previous_handler)
            self._previous_handler = None
