"""`ProofSteps`: the callback with which `prove_resume` follows a run in another process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from visiongarden.backends.distribution import is_first


class ProofSteps(keras.callbacks.Callback):
    """Callback that writes the number of each step into a file, and ends the run after the last.

    Args:
        file: File to which a line "step time" is appended after each step; time in seconds.
        steps: Steps after which the process receives SIGTERM, which saves the run.
    """

    def __init__(self, file: str, steps: int) -> None:
        super().__init__()
        self.file, self.steps, self._done = file, steps, 0

    @classmethod
    def steps_of(cls, callbacks: Mapping[str, Any]) -> int:
        """Return the number of steps in the state of the callbacks of a checkpoint."""
        return int(callbacks.get(f"{cls.__name__} 1", {}).get("steps", 0))

    def get_state(self) -> dict[str, Any]:
        """Return the number of steps so far."""
        return {"steps": self._done}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue to count."""
        self._done = int(state["steps"])

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Report the step, and end the run after the last one."""
        self._done += 1
        if not is_first():
            return  # all processes end with the first one
        with Path(self.file).open("a", encoding="utf-8") as stream:
            stream.write(f"{self._done} {time.monotonic()}\n")
        if self._done >= self.steps:
            os.kill(os.getpid(), signal.SIGTERM)
