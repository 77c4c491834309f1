"""`StopOnSignal`: end training after the current step on Ctrl-C, SIGTERM or SIGUSR1."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import keras

from visiongarden.progress import LOGGER

_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1")  # Windows has no SIGUSR1


class Stopped(KeyboardInterrupt):
    """Raised after a signal of the system has ended a run, whose state is saved.

    A `KeyboardInterrupt`: whatever handles Ctrl-C handles a preemption as well.

    Attributes:
        signal: The signal: SIGTERM or SIGUSR1.
    """

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(f"stopped by {self.signal.name}")


class StopOnSignal(keras.callbacks.Callback):
    """Callback and context manager that turns the first signal into a request to stop.

    Stopping between two steps leaves weights, optimizer and position consistent for the checkpoint.
    The previous handler of Ctrl-C is restored with the first signal, so that Ctrl-C then interrupts
    immediately. Further signals of a system that ends a job (SIGTERM after SIGUSR1) change nothing.

    Attributes:
        received: The first signal that was received, if any.
    """

    def __init__(self) -> None:
        super().__init__()
        self.received: int | None = None
        self._is_noted = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopOnSignal:
        # Python allows signal handlers in the main thread only, and runs them only there.
        if threading.current_thread() is threading.main_thread():
            for name in _NAMES:
                number = getattr(signal, name, None)
                if number is not None:
                    self._previous[number] = signal.signal(number, self._request_stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number in list(self._previous):
            self._restore(number)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Ask Keras to stop after this step if a signal was received."""
        if self.received is not None:
            if not self.model.stop_training and not self._is_noted:
                self._is_noted = True
                # Not in the handler, which may interrupt another line that is being written.
                name = signal.Signals(self.received).name
                LOGGER.warning(f"{name}: the run is saved and ends; Ctrl-C ends it immediately")
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Ask Keras to stop after this epoch if a signal was received during its evaluation."""
        self.on_train_batch_end(0, logs)

    def raise_interrupt(self) -> None:
        """Raise what ends the run, after a signal.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed.
            Stopped: Another signal was received.
        """
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        if self.received is not None:
            raise Stopped(self.received)

    def is_second(self, error: BaseException) -> bool:
        """Return whether an error is the second Ctrl-C, after which nothing is waited for."""
        return isinstance(error, KeyboardInterrupt) and self.received is not None

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = number
        self._restore(signal.SIGINT)

    def _restore(self, number: int) -> None:
        if number in self._previous:
            # None: a handler that was not set by Python, and cannot be restored.
            signal.signal(number, self._previous.pop(number) or signal.SIG_DFL)
