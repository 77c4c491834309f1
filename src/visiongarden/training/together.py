"""What the processes of a run do together: compare, stop, and read the files of process 0."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import keras

from visiongarden.backends.distribution import exchanged
from visiongarden.backends.engine import engine
from visiongarden.errors import UserError
from visiongarden.storage import atomic_write
from visiongarden.training.interrupt import StopOnSignal

_SHOWN = 60


class StopTogether(keras.callbacks.Callback):
    """Callback that ends training in all processes after the same step, if it ends in one.

    A process that left alone would keep the others waiting in the sum of their gradients.

    Args:
        stop: Callback that notices signals.
    """

    def __init__(self, stop: StopOnSignal) -> None:
        super().__init__()
        self._stop = stop

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stop if any process stops."""
        self._agree()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stop if any process stops."""
        self._agree()

    def _agree(self) -> None:
        if engine().processes == 1:
            return
        own = [bool(self.model.stop_training), self._stop.received]
        stops, received = json.loads(exchanged(json.dumps(own).encode(), _first_reasons))
        self.model.stop_training = stops or received is not None
        self._stop.received = received


def _first_reasons(messages: Any) -> bytes:
    """Return whether any process stops, and the first signal that one received."""
    flags, signals = zip(*map(json.loads, messages), strict=True)
    received = next((signal for signal in signals if signal is not None), None)
    return json.dumps([any(flags), received]).encode()


def check_agreement(values: Callable[[], Mapping[str, Any]]) -> None:
    """Check that all processes have the same values.

    Args:
        values: Function that returns values of JSON by name, such as parts of the recipe. It is
            called only if there are several processes, since checksums take time.

    Raises:
        UserError: They differ; the same error in every process.
    """
    if engine().processes == 1:
        return
    own = {name: _printed(value) for name, value in values().items()}
    exchanged(json.dumps(own).encode(), lambda messages: _compared(messages))


def _compared(messages: Any) -> bytes:
    first, *others = (json.loads(message) for message in messages)
    for rank, other in enumerate(others, start=1):
        names = [name for name in {**first, **other} if first.get(name) != other.get(name)]
        if names:
            raise UserError(
                f"process {rank} differs from process 0 in {', '.join(names)}",
                rule="the same recipe, data, weights and versions in every process",
                received="; ".join(
                    f"{name}: {first.get(name)} in process 0, {other.get(name)} in process {rank}"
                    for name in names
                ),
                fix="start every process with the same recipe, data and environment",
            )
    return b""


def _printed(value: Any) -> str:
    """Return a value, or the checksum of a long one."""
    text = json.dumps(_without_paths(value), sort_keys=True, default=str)
    if len(text) <= _SHOWN:
        return text
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _without_paths(value: Any) -> Any:
    """Return a value without paths of files, which may differ by host, unlike their content."""
    if isinstance(value, Mapping):
        return {k: _without_paths(each) for k, each in value.items() if k not in ("path", "source")}
    if isinstance(value, list | tuple):
        return [_without_paths(each) for each in value]
    return value


def weights_checksum(model: keras.Model) -> str:
    """Return a checksum of all weights of a model."""
    found = hashlib.sha256()
    for weight in model.weights:
        array = keras.ops.convert_to_numpy(weight.value)
        found.update(f"{weight.path} {array.dtype} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


@contextmanager
def of_first_process(folder: Path, names: tuple[str, ...]) -> Iterator[Path]:
    """Yield a folder with the same files in every process: those of process 0.

    The folder of a run may not exist on the other hosts.

    Args:
        folder: Folder of the run.
        names: Names of the files; those that process 0 lacks are left out.
    """
    active = engine()
    if active.processes == 1:
        yield folder
        return
    own = {name: _checksum(folder / name) for name in names}
    answer = exchanged(json.dumps(own).encode(), _files_to_send)
    sums, differ = json.loads(answer)
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(temporary)
        for name in names:
            if sums[name] is None:
                continue
            if name in differ:
                content = exchanged(b"", partial(_content, folder / name))
                atomic_write(here / name, content, durable=False)
            else:
                shutil.copyfile(folder / name, here / name)
        yield folder if active.rank == 0 else here


def _content(file: Path, _: Any) -> bytes:
    return file.read_bytes()


def _files_to_send(messages: Any) -> bytes:
    first, *others = (json.loads(message) for message in messages)
    differ = [name for name in first if any(each[name] != first[name] for each in others)]
    return json.dumps([first, differ]).encode()


def _checksum(file: Path) -> str | None:
    if not file.is_file():
        return None
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
