"""`CheckpointWriter`: write checkpoints in a thread, while training goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from visiongarden.training.checkpoints import FILE, write_checkpoint
from visiongarden.training.run_place import RunPlace

Arrays = Mapping[str, np.ndarray]


class CheckpointWriter:
    """Writer of the checkpoints of one run, one at a time.

    Args:
        place: Folder of the run.
        check: Function that raises an error if arrays must not be saved.
        resumed_from: Checkpoint from which the run continues, if any.
    """

    def __init__(
        self,
        place: RunPlace,
        check: Callable[[Arrays], None] = lambda arrays: None,
        resumed_from: Path | None = None,
    ) -> None:
        self._place, self._check = place, check
        # A newest file that is damaged must not replace the good one before it.
        self._keeps_newest = resumed_from is None or resumed_from.name == FILE
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._thread is not None and self._thread.is_alive()

    def write(self, arrays: Arrays) -> None:
        """Write a checkpoint in the thread, after the one that is being written.

        Args:
            arrays: Arrays by name, which nobody changes from now on.

        Raises:
            OSError: The last checkpoint could not be written.
            UserError: It must not be saved, or the folder is gone.
        """
        self.wait()
        # A daemon: a second Ctrl-C ends the process immediately. What is half written is a draft.
        self._thread = threading.Thread(
            target=self._write, args=(arrays,), name="checkpoint", daemon=True
        )
        self._thread.start()

    def wait(self) -> None:
        """Wait until the checkpoint is written.

        Raises:
            OSError: It could not be written.
            UserError: It must not be saved, or the folder is gone.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.raise_error()

    def raise_error(self) -> None:
        """Raise the error of the last checkpoint, if there was one."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _write(self, arrays: Arrays) -> None:
        try:
            self._check(arrays)
            self._place.check()
            try:
                write_checkpoint(self._place.folder, arrays, self._keeps_newest)
            except OSError:
                self._place.check()  # the folder may be gone since
                raise
            self._keeps_newest = True
        except BaseException as error:  # raised again in the training loop, whatever it is
            self._error = error
