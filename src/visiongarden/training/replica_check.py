"""`ReplicaCheck`: the copies of all weights, compared with each other during training."""

from __future__ import annotations

import json
import zlib
from typing import Any

import keras
import numpy as np

from visiongarden.backends.accumulation import accumulator_of
from visiongarden.backends.distribution import copies, exchanged
from visiongarden.backends.training_state import sync_state
from visiongarden.errors import UserError
from visiongarden.training.record import Record
from visiongarden.training.state import state_variables

_LISTED = 3


class ReplicaCheck(keras.callbacks.Callback):
    """Callback that ends a run whose devices no longer hold the same weights.

    Each device updates a copy of the weights by the same sum of gradients. What changes one copy
    in another way (a layer or an optimizer without that sum, a defective device) raises no error
    anywhere, and files contain the copy of the first device. Checksums are compared after the first
    update and after each epoch, before it is evaluated and saved.

    Args:
        record: Callback that counts the steps of the epoch.
    """

    def __init__(self, record: Record) -> None:
        super().__init__()
        self._record, self._is_due = record, True

    def on_train_begin(self, logs: Any = None) -> None:
        """Compare again after the first update of this `fit`."""
        self._is_due = True

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Keep the number of the epoch for messages."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Compare after the first update.

        Raises:
            UserError: The copies differ; the same error in every process.
        """
        accumulator = accumulator_of(self.model.optimizer)
        if self._is_due and (accumulator is None or accumulator.is_due):
            self._is_due = False
            sync_state(self.model)
            self._compare(self._record.steps_done + 1)  # `record` counts the step after this

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Compare after each epoch.

        Raises:
            UserError: The copies differ; the same error in every process.
        """
        self._compare(self._record.steps_done)

    def _compare(self, step: int) -> None:
        found = {
            name: [_checksum(copy) for copy in copies(variable.value)]
            for name, variable in state_variables(self.model, self.model.optimizer)
        }
        place = f"epoch {self._epoch + 1}, step {step}"
        exchanged(json.dumps(found).encode(), lambda messages: _compared(messages, place))


def _checksum(value: Any) -> int:
    array = np.ascontiguousarray(keras.ops.convert_to_numpy(value))
    return zlib.crc32(array.reshape(-1).view(np.uint8).data)


def _compared(messages: Any, place: str) -> bytes:
    found = [json.loads(message) for message in messages]
    first = {name: sums[0] for name, sums in found[0].items()}
    for rank, sums_of in enumerate(found):
        for copy in range(max(map(len, sums_of.values()), default=0)):
            names = [
                name for name, sums in sums_of.items()
                if copy < len(sums) and sums[copy] != first.get(name)
            ]  # fmt: skip
            if names:
                where = f"device {copy} of process {rank}" if len(found) > 1 else f"device {copy}"
                raise _error(names, len(first), where, place)
    return b""


def _error(names: list[str], total: int, where: str, place: str) -> UserError:
    more = f" and {len(names) - _LISTED} more" if names[_LISTED:] else ""
    return UserError(
        f"{names[0]} is not the same on all devices in {place}",
        rule="devices of one kind, which change the copies of every weight in the same way",
        received=f"{where} differs from the first one in {len(names)} of {total} variables: "
        f"{', '.join(names[:_LISTED])}{more}",
        fix="resume from the last checkpoint on one device; if the weights differ again on several "
        "ones, look for a layer or an optimizer that changes weights by the images of one device",
    )
