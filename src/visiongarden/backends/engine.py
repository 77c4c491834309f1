"""`Engine`: base class of what divides a batch among devices, and the engine of the current run.

**Why, gain, switch:** see `distribution`. The engines of the backends are derived from this class.
"""

from __future__ import annotations

import contextlib
from typing import Any

import keras

from visiongarden.backends.host_channel import HostChannel
from visiongarden.errors import UserError, option


class Engine:
    """A run on one device; base class of the engines of the backends.

    Attributes:
        rank: Number of this process; process 0 writes the files of the run and decides.
        processes: Number of processes.
        local_processes: Number of processes on this host.
        devices: Number of devices of all processes, among which a batch is divided.
        replicas: Number of copies of the step whose values have to be added; 1 on JAX, where the
            program is that of all devices.
        channel: Messages between the processes; None with one process.
        name: What divides the batch, for the log.
        synchronizes: Whether batch normalization uses the statistics of the whole batch.
    """

    rank = 0
    processes = 1
    local_processes = 1
    devices = 1
    replicas = 1
    channel: HostChannel | None = None
    name = "one device"
    synchronizes = False
    norms: tuple[str, ...] = ("per_device", "synchronized")
    """Kinds of batch normalization that the engine has; the first one is its default."""
    collective_errors: tuple[type[Exception], ...] = (RuntimeError,)
    """What the backend raises if a collective fails, because another process has ended."""

    def summed(self, tensors: list[Any]) -> list[Any]:
        """Return the sum of each tensor over the replicas, differentiable; inside a step only."""
        return tensors

    def replica(self) -> Any:
        """Return the number of the replica that runs the step, a number or a tensor."""
        return 0

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which variables are created."""
        return contextlib.nullcontext()

    def steps(self, model: keras.Model) -> contextlib.AbstractContextManager[Any]:
        """Return the context of the training steps of a model, inside which `summed` adds."""
        return contextlib.nullcontext()

    def local(self, value: Any) -> Any:
        """Return the value of a variable as an array of this process."""
        return value

    def copies(self, value: Any) -> list[Any]:
        """Return a variable's value as stored on each device of this process."""
        return [self.local(value)]

    def assign(self, variable: keras.Variable, value: Any) -> None:
        """Assign a value to the copies of a variable in this process."""
        variable.assign(value)

    def alone(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which this process creates variables without the others."""
        return contextlib.nullcontext()

    def close(self) -> None:
        """End the engine."""


SINGLE = Engine()
_active: Engine = SINGLE


def engine() -> Engine:
    """Return the engine of the current run."""
    return _active


def activate(found: Engine) -> Engine:
    """Make an engine that of the current run, and return the one before."""
    global _active
    before, _active = _active, found
    return before


def too_many(devices: int, available: int, kind: str) -> UserError:
    """Return the error for more devices than there are."""
    return UserError(
        f"{option('devices', devices)} is more than this host has",
        rule=f"at most {available}, the number of {kind}",
        received=option("devices", devices),
        fix=option("devices", available),
    )
