"""Engine of JAX: one global program, which the compiler divides among all devices.

**Why.** `keras.distribution.DataParallel` divides batches and copies weights; what it leaves open
is how devices of a CPU are made, and how the processes exchange messages. **Gain:** one step for
any number of devices, whose sums are over the whole batch. **Switch:** none.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import keras

from visiongarden.backends.assumptions import require
from visiongarden.backends.engine import Engine, too_many
from visiongarden.backends.host_channel import HostChannel
from visiongarden.backends.host_watch import HostWatch
from visiongarden.backends.launcher import Launch
from visiongarden.errors import UserError, option

_HEARTBEAT = 200
"""Seconds after which JAX ends the processes of a run, one of which has ended; more than those of
`HostWatch`, which names it."""
_HOST_DEVICES = "xla_force_host_platform_device_count"


class JaxDevices(Engine):
    """Devices of one process or of several, among which each batch is divided.

    Args:
        devices: The devices.
        launch: The place of this process, if a launcher started several.
    """

    norms = ("synchronized",)

    def __init__(self, devices: list[Any], launch: Launch | None = None) -> None:
        self.devices = len(devices)
        kind = f"{self.devices} devices of JAX ({devices[0].platform})"
        self.name = kind if launch is None else f"{launch.processes} processes, {kind}"
        if launch is not None:
            self.rank, self.processes = launch.rank, launch.processes
            self.local_processes = launch.local_processes
            store = _Store()
            self.channel = HostChannel(store, self.rank, self.processes)
            HostWatch(store, self.channel).start()
        names = [f"{each.platform}:{each.id}" for each in devices]
        keras.distribution.set_distribution(
            # Each process reads its own rows; Keras would require a `tf.data.Dataset`.
            keras.distribution.DataParallel(devices=names, auto_shard_dataset=False)
        )

    def local(self, value: Any) -> Any:
        """Return the copy of the first device of this process; weights are equal on all."""
        import jax

        is_spread = isinstance(value, jax.Array) and len(value.sharding.device_set) > 1
        return value.addressable_data(0) if is_spread else value

    def copies(self, value: Any) -> list[Any]:
        """Return the value as stored on each device of this process."""
        import jax

        is_copied = isinstance(value, jax.Array) and value.is_fully_replicated
        return [each.data for each in value.addressable_shards] if is_copied else [value]

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Create variables on one device of this process; on all, every process takes part."""
        before = keras.distribution.distribution()
        keras.distribution.set_distribution(None)
        try:
            yield
        finally:
            keras.distribution.set_distribution(before)

    def close(self) -> None:
        """Let models that are built from now on use one device."""
        keras.distribution.set_distribution(None)


class _Store:
    """The key-value store of JAX's coordination service."""

    def __init__(self) -> None:
        require("jax_client")
        from jax._src import distributed

        self._client = distributed.global_state.client

    def put(self, key: str, value: bytes) -> None:
        self._client.key_value_set_bytes(_named(key), value)

    def take(self, key: str, seconds: float) -> bytes | None:
        import jax

        milliseconds = max(int(1000 * seconds), 1)
        try:
            return bytes(self._client.blocking_key_value_get_bytes(_named(key), milliseconds))
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" in str(error):
                return None
            raise

    def drop(self, key: str) -> None:
        self._client.key_value_delete(_named(key))


def _named(key: str) -> str:
    return f"visiongarden/{key}"


def on_this_host(devices: int) -> Engine:
    """Return the engine of some devices of this host; on a CPU they are made here.

    Raises:
        UserError: There are fewer.
    """
    import jax

    if _HOST_DEVICES not in os.environ.get("XLA_FLAGS", ""):
        # If JAX has started, there may be enough of them.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", devices)
    found = jax.local_devices()
    if len(found) >= devices:
        return JaxDevices(found[:devices]) if devices > 1 else Engine()
    if found[0].platform != "cpu":
        raise too_many(devices, len(found), f"{found[0].platform} devices of JAX")
    raise UserError(
        f"{option('devices', devices)} is more than the devices of JAX in this process",
        rule=f"{len(found)}: JAX has started, and the number of its CPU devices is fixed then",
        received=option("devices", devices),
        fix=f'XLA_FLAGS="--{_HOST_DEVICES}={devices}", set before Python starts',
    )


def of_launcher(launch: Launch) -> Engine:
    """Return the engine of all devices of the processes that a launcher started."""
    import jax

    host, port = launch.address or ("127.0.0.1", 0)
    jax.distributed.initialize(
        f"{host}:{port}",
        launch.processes,
        launch.rank,
        # Each process of a host has the GPU of its number; alone it has all of them.
        local_device_ids=[launch.local_rank] if launch.local_processes > 1 else None,
        heartbeat_timeout_seconds=_HEARTBEAT,
    )
    return JaxDevices(jax.devices(), launch)
