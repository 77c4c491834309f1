"""`Engine`: training on several devices and hosts, by the engine of each backend.

**Why.** Each backend divides a batch among devices in a different way: on JAX the program is
global, TensorFlow runs a copy of the step for each device, PyTorch a process for each. What a step
has to add over the copies, and what the processes tell each other, is the same. **Gain:** one place
that differs by backend; losses, optimizers and layers call `summed`. **Switch:** none; with one
device nothing is added and nothing sent.

`distributed` starts an engine. Without one, every function here returns what it was given.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras

from visiongarden.backends.engine import SINGLE, Engine, activate, engine
from visiongarden.backends.host_channel import HostChannel, silent_error
from visiongarden.backends.launcher import Launch, launched
from visiongarden.errors import UserError, option

_ALIVE = 15.0
"""Seconds in which a process that still runs answers, after a collective failed."""


_of_process: Engine | None = None
"""Engine of the processes that a launcher started, which lasts as long as the process."""


def is_first() -> bool:
    """Return whether this process writes the files of the run."""
    return engine().rank == 0


def is_first_of_launcher() -> bool:
    """Return whether this process is the first one of its launcher, also after a run."""
    return _of_process is None or _of_process.rank == 0


def summed(tensors: Iterable[Any]) -> list[Any]:
    """Return the sum of each tensor over all replicas of a training step, with its gradient."""
    return engine().summed(list(tensors))


def replicas() -> int:
    """Return the number of replicas of a training step over which `summed` adds."""
    return engine().replicas


def is_synchronized() -> bool:
    """Return whether a layer has to add its statistics over the replicas of a training step."""
    return engine().synchronizes and engine().replicas > 1


@contextlib.contextmanager
def training_steps(model: keras.Model, batch_norm: str | None = None) -> Iterator[None]:
    """Run the training steps of a model on all devices.

    Args:
        model: The model.
        batch_norm: "per_device" or "synchronized"; None for the default of the engine.
    """
    active = engine()
    active.synchronizes = (batch_norm or active.norms[0]) == "synchronized"
    try:
        with active.steps(model):
            yield
    finally:
        active.synchronizes = False


def local(value: Any) -> Any:
    """Return the value of a variable as an array of this process, without the other devices."""
    return engine().local(value)


def assign_local(variable: keras.Variable, value: Any) -> None:
    """Assign a value to the copies of a variable in this process, as `local` returns it."""
    engine().assign(variable, value)


def copies(value: Any) -> list[Any]:
    """Return a variable's value as stored on each device of this process."""
    return engine().copies(value)


def begin_step() -> None:
    """Note that this process has the batch of its next step, and waits for the others from now on.

    A process that does not get there is named, see `HostWatch`.
    """
    channel = engine().channel
    if channel is not None:
        channel.position += 1


def alone() -> contextlib.AbstractContextManager[Any]:
    """Return the context in which a process builds a model that the others do not build."""
    return engine().alone()


def exchanged(message: bytes, decide: Callable[[Sequence[bytes]], bytes]) -> bytes:
    """Return what process 0 decides on the messages of all processes.

    Args:
        message: Message of this process.
        decide: Function of the messages by rank; called in process 0.

    Raises:
        UserError: A process failed or does not answer.
    """
    channel = engine().channel
    return decide([message]) if channel is None else channel.exchange(message, decide)


def decided(function: Callable[[], Any]) -> Any:
    """Return what a function returns in process 0, a value of JSON; an error is raised in all."""
    if engine().channel is None:
        return function()
    answer = exchanged(b"", lambda _: json.dumps(function()).encode())
    return json.loads(answer)


def any_of(flag: bool) -> bool:
    """Return whether a flag is set in any process."""
    if engine().channel is None:
        return flag
    return exchanged(b"1" if flag else b"", lambda flags: b"1" if any(flags) else b"") == b"1"


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Tell the other processes if this one fails, and name the one whose end is noticed first.

    Raises:
        UserError: Another process has ended.
    """
    channel = engine().channel
    try:
        yield
    except UserError as error:
        _fail(channel, str(error))
        raise
    except Exception as error:
        if channel is not None and isinstance(error, engine().collective_errors):
            _raise_of_another(channel, error)
        _fail(channel, f"{type(error).__name__}: {error}")
        raise


def _fail(channel: HostChannel | None, message: str) -> None:
    if channel is not None:
        with contextlib.suppress(Exception):  # the error itself is raised
            channel.fail(message)


def _raise_of_another(channel: HostChannel, error: Exception) -> None:
    """Raise the error of the process because of which a collective failed, if there is one."""
    ranks = _silent(channel)
    for rank in ranks:
        # The store may have ended with process 0.
        with contextlib.suppress(*engine().collective_errors):
            failure = channel.failure(rank)
            if failure is not None:
                raise UserError(f"process {rank} failed: {failure}") from error
    if ranks:
        raise silent_error(ranks, _ALIVE) from error


def _silent(channel: HostChannel) -> list[int]:
    try:
        return channel.silent(_ALIVE)
    except Exception:  # the store is in process 0, whose end ends it too
        return [0] if channel.rank else []


@contextlib.contextmanager
def distributed(devices: int | None = None) -> Iterator[Engine]:
    """Train on several devices of this host, or on those of the processes of a launcher.

    Variables must be created inside. On PyTorch each device has a separate process, which is
    started by `recipes`.

    Args:
        devices: Number of devices of this host. None: one, or the processes of the launcher.

    Raises:
        UserError: There are not as many devices, the environment of the launcher is incomplete, or
            the backend was started for fewer devices before.
    """
    launch = launched(os.environ, keras.backend.backend())
    if launch is not None and devices is not None:
        raise UserError(
            f"{option('devices', devices)} is given, but {launch.launcher} started "
            f"{launch.processes} processes",
            rule="the launcher determines the number of devices: one for each process",
            received=option("devices", devices),
            fix=f"train without {option('devices')}",
        )
    found = _engine(devices, launch)
    before = activate(found)
    try:
        yield found
    finally:
        activate(before)
        if found is not _of_process:
            found.close()


def _engine(devices: int | None, launch: Launch | None) -> Engine:
    global _of_process
    if launch is None:
        return SINGLE if devices is None else _starters()[0](devices)
    if _of_process is None:
        _of_process = _starters()[1](launch)
    return _of_process


def _starters() -> tuple[Callable[[int], Engine], Callable[[Launch], Engine]]:
    """Return what starts the engine of the backend on one host, and for a launcher."""
    # Each imports its backend.
    backend = keras.backend.backend()
    if backend == "jax":
        from visiongarden.backends import jax_devices

        return jax_devices.on_this_host, jax_devices.of_launcher
    if backend == "tensorflow":
        from visiongarden.backends import tensorflow_replicas

        return tensorflow_replicas.on_this_host, tensorflow_replicas.of_launcher
    from visiongarden.backends import torch_processes

    return torch_processes.on_this_host, torch_processes.of_launcher
