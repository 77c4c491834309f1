"""Further processes of a run on one host: on PyTorch each device has a separate process.

The process that calls `train` is process 0. The others run the same recipe and print nothing: what
happens in all of them is reported by process 0.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras

from visiongarden.backends.distribution import distributed, is_first
from visiongarden.backends.engine import Engine
from visiongarden.backends.launcher import launched, variables_of_this_host
from visiongarden.backends.optional_imports import command_of
from visiongarden.errors import UserError, option
from visiongarden.progress import LOGGER
from visiongarden.recipes.user_modules import user_modules

_LAST_WORDS = 20
_END = 30.0
"""Seconds in which the other processes end after process 0."""


def has_peers(devices: int | None) -> bool:
    """Return whether a run has several processes.

    Args:
        devices: Number of devices of this host, as in `on_devices`.

    Raises:
        UserError: The environment of the launcher is incomplete.
    """
    backend = keras.backend.backend()
    is_divided = backend == "torch" and devices not in (None, 1)
    return is_divided or launched(os.environ, backend) is not None


@contextlib.contextmanager
def on_devices(
    devices: int | None, arguments: Mapping[str, Any], callbacks: Any = ()
) -> Iterator[Engine]:
    """Train on several devices; on PyTorch start a process for each further one.

    Args:
        devices: Number of devices of this host; None: one, or those of the launcher.
        arguments: Arguments of `train`, of JSON, for the other processes.
        callbacks: Callbacks, which exist in this process only.

    Raises:
        UserError: There are not as many devices, callbacks cannot be given to all processes, or a
            class of the recipe is defined where another process cannot import it.
    """
    if devices is not None and (not isinstance(devices, int) or devices < 1):
        raise UserError(
            f"{option('devices', devices)} is not valid",
            rule="an integer of at least 1",
            fix=option("devices", 1),
        )
    is_torch = keras.backend.backend() == "torch"
    if not is_torch or devices in (None, 1) or launched(os.environ, "torch") is not None:
        with distributed(devices) as engine:
            yield engine
        return
    assert devices is not None  # noqa: S101  see above
    from visiongarden.backends.torch_processes import check_devices

    check_devices(devices)
    if callbacks:
        raise UserError(
            "callbacks exist in this process only, and each device has a separate process",
            rule="callbacks of the recipe, which every process makes",
            received=f"{len(callbacks)} callbacks, {option('devices', devices)}",
            fix="training.callbacks in the recipe, or torchrun",
        )
    with _started(devices, arguments), distributed() as engine:
        yield engine


@contextlib.contextmanager
def _started(devices: int, arguments: Mapping[str, Any]) -> Iterator[None]:
    common = variables_of_this_host(devices)
    modules = user_modules(arguments["recipe"])
    given = json.dumps({"arguments": arguments, "modules": modules, "path": sys.path})
    before = {name: os.environ.get(name) for name in (*common, "RANK", "LOCAL_RANK")}
    processes: list[tuple[subprocess.Popen[bytes], Any]] = []
    with contextlib.ExitStack() as stack:
        for rank in range(1, devices):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            output = stack.enter_context(tempfile.TemporaryFile())
            process = subprocess.Popen(  # noqa: S603  this interpreter
                command_of("visiongarden.recipes.peer_process"),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=os.environ | common | own,
            )
            processes.append((process, output))
            assert process.stdin is not None  # noqa: S101  a pipe
            process.stdin.write(given.encode())
            process.stdin.close()
        os.environ.update(common | {"RANK": "0", "LOCAL_RANK": "0"})
        try:
            yield
        except BaseException:
            _report_ended(processes)
            raise
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
            _end(processes)


def _report_ended(processes: list[tuple[subprocess.Popen[bytes], Any]]) -> None:
    """Log what processes wrote that ended by themselves, before process 0 did."""
    for rank, (process, output) in enumerate(processes, start=1):
        code = process.poll()
        if not code:
            continue
        output.seek(0)
        lines = output.read().decode(errors="replace").splitlines()[-_LAST_WORDS:]
        LOGGER.warning("\n    ".join([f"process {rank} ended with code {code}", *lines]))


def _end(processes: list[tuple[subprocess.Popen[bytes], Any]]) -> None:
    end = time.monotonic() + _END
    for process, _ in processes:
        try:
            process.wait(max(end - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def quiet_unless_first() -> Iterator[None]:
    """Log errors only, except in process 0."""
    level = LOGGER.level
    if not is_first():
        LOGGER.setLevel(logging.ERROR)
    try:
        yield
    finally:
        LOGGER.setLevel(level)


def peer_arguments(
    recipe: Any, output: Path | str | None, resume: bool, accept_changes: bool
) -> dict[str, Any]:
    """Return the arguments of `train` for the other processes."""
    return {
        "recipe": recipe.to_dict(),
        "output": None if output is None else str(output),
        "resume": resume,
        "accept_changes": accept_changes,
    }
