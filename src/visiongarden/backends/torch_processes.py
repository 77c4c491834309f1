"""Engine of PyTorch: one process for each device, and functional collectives inside the step.

**Why.** `DistributedDataParallel` would not see the gradients of a captured step, and not sum the
statistics of Keras's batch normalization. **Gain:** the collectives are operations of the step, so
that they are captured with it. **Switch:** none.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from visiongarden.backends.assumptions import require
from visiongarden.backends.engine import Engine, too_many
from visiongarden.backends.host_channel import TIMEOUT, HostChannel
from visiongarden.backends.host_watch import HostWatch
from visiongarden.backends.launcher import Launch
from visiongarden.errors import UserError, option


class TorchProcesses(Engine):
    """Processes of `torch.distributed`, one for each device.

    Args:
        launch: The place of this process.
    """

    def __init__(self, launch: Launch) -> None:
        import torch.distributed as dist
        from torch.distributed.rendezvous import rendezvous

        require("functional_collectives")
        self.rank, self.processes = launch.rank, launch.processes
        self.local_processes = launch.local_processes
        self.devices = self.replicas = launch.processes
        self._adds = False
        kind = _choose_device(launch)
        self.name = f"{self.processes} processes of PyTorch ({kind})"
        timeout = timedelta(seconds=TIMEOUT)
        host, port = launch.address or ("127.0.0.1", 0)
        # torchrun keeps the store itself, and only `env://` finds it.
        url = "env://" if launch.launcher == "torchrun" else f"tcp://{host}:{port}"
        store, _, _ = next(iter(rendezvous(url, launch.rank, launch.processes, timeout=timeout)))
        dist.init_process_group(
            kind, store=store, rank=launch.rank, world_size=launch.processes, timeout=timeout
        )
        self._group = dist.group.WORLD
        shared = _Store(dist, store)
        self.channel = HostChannel(shared, self.rank, self.processes)
        self._watch = HostWatch(shared, self.channel)
        self._watch.start()

    def summed(self, tensors: list[Any]) -> list[Any]:
        """Return the sums over all processes, in one collective for each dtype."""
        if not self._adds or not tensors:
            return tensors
        import torch
        import torch.distributed._functional_collectives as collectives

        sums = list(tensors)
        for dtype in {tensor.dtype for tensor in tensors}:
            rows = [i for i, tensor in enumerate(tensors) if tensor.dtype == dtype]
            parts = [tensors[i].reshape(-1) for i in rows]
            vector = torch.cat(parts)
            total = collectives.all_reduce(vector, "sum", self._group)
            total = collectives.wait_tensor(total)
            pieces = torch.split(total, [part.numel() for part in parts])
            for i, piece in zip(rows, pieces, strict=True):
                sums[i] = piece.reshape(tensors[i].shape)
        return sums

    def replica(self) -> int:
        """Return the number of this process."""
        return self.rank

    @contextlib.contextmanager
    def steps(self, model: Any) -> Iterator[None]:
        """Let `summed` add, in all processes at the same time."""
        self._adds = True
        try:
            yield
        finally:
            self._adds = False

    def close(self) -> None:
        """Leave the group of processes, after all have read their messages."""
        import torch.distributed as dist

        self._watch.stop()
        if self.channel is not None:
            self.channel.close()
        if dist.is_initialized():
            dist.destroy_process_group()


class _Store:
    """The store of `torch.distributed`, with keys of our own."""

    def __init__(self, dist: Any, store: Any) -> None:
        self._store = dist.PrefixStore("visiongarden", store)

    def put(self, key: str, value: bytes) -> None:
        self._store.set(key, value)

    def take(self, key: str, seconds: float) -> bytes | None:
        # Not `wait`, which writes a warning in C++ whenever the time is up.
        end, pause = time.monotonic() + seconds, 0.0002
        while not self._store.check([key]):
            if time.monotonic() > end:
                return None
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        return bytes(self._store.get(key))

    def drop(self, key: str) -> None:
        self._store.delete_key(key)


def of_launcher(launch: Launch) -> Engine:
    """Return the engine of a process that a launcher started."""
    return TorchProcesses(launch)


def on_this_host(devices: int) -> Engine:
    """Return the engine of one device; several are started by `recipes`, as processes.

    Raises:
        UserError: Several devices are asked for in this process.
    """
    if devices == 1:
        return Engine()
    raise UserError(
        f"PyTorch trains on {devices} devices in {devices} processes",
        rule="processes that vg.train or torchrun starts",
        received=option("devices", devices),
        fix=f"vg.train(recipe, devices={devices})",
    )


def check_devices(devices: int) -> None:
    """Check that this host has as many devices.

    Raises:
        UserError: It has fewer.
    """
    import torch

    available = torch.cuda.device_count() if torch.cuda.is_available() else os.cpu_count() or 1
    if devices > available:
        raise too_many(devices, available, "GPUs" if torch.cuda.is_available() else "CPU cores")


def _choose_device(launch: Launch) -> str:
    """Choose the GPU of this process, or its share of the cores; returns the kind of collective."""
    import torch

    if not torch.cuda.is_available():
        if "OMP_NUM_THREADS" not in os.environ:
            # Only Linux reports the cores that the process may use.
            linux = sys.platform == "linux"
            cores = len(os.sched_getaffinity(0)) if linux else os.cpu_count() or 1
            torch.set_num_threads(max(cores // launch.local_processes, 1))
        return "gloo"
    count = torch.cuda.device_count()
    if launch.local_rank >= count:
        raise too_many(launch.local_processes, count, "GPUs")
    torch.cuda.set_device(launch.local_rank)
    return "nccl"
