"""`BatchLogs`: the logs of a step, which stay on the device until a callback reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from visiongarden.ops import wide


class BatchLogs(Mapping[str, Any]):
    """Logs of a step as numbers, all of which are read from the device at the first access.

    Args:
        logs: Logs as the step returned them, scalars by name. Dicts of them are flattened, and
            anything else is kept, as Keras does.

    Attributes:
        on_device: The logs as the step returned them.
    """

    def __init__(self, logs: Mapping[str, Any] | None) -> None:
        self.on_device: dict[str, Any] = dict(_flat(logs or {}))
        self._numbers: dict[str, Any] | None = None

    def __getitem__(self, name: str) -> Any:
        if self._numbers is None:
            self._numbers = self._read()
        return self._numbers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.on_device)

    def __len__(self) -> int:
        return len(self.on_device)

    def _read(self) -> dict[str, Any]:
        scalars = {
            k: v for k, v in self.on_device.items() if keras.ops.is_tensor(v) and len(v.shape) == 0
        }
        if not scalars:
            return self.on_device
        # One copy for all scalars, since each one waits for the end of the step.
        values = keras.ops.stack([keras.ops.cast(value, wide()) for value in scalars.values()])
        numbers = keras.ops.convert_to_numpy(values).tolist()
        return self.on_device | dict(zip(scalars, numbers, strict=True))


def _flat(logs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in logs.items():
        if isinstance(value, Mapping):
            yield from _flat(value)
        else:
            yield name, value


class Callbacks(keras.callbacks.CallbackList):
    """List of callbacks that hands on the logs of a step without reading them.

    That of Keras converts each scalar of each step to a number, and so makes the host wait for the
    device several times in a step.
    """

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Call all callbacks with the logs of a step."""
        shared = BatchLogs(logs)
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs=shared)
