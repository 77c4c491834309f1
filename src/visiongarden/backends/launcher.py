"""`Launch`: the place of this process among those that a launcher started.

**Why.** torchrun, SLURM, `mpirun`, Kubernetes and `TF_CONFIG` each name the number of processes,
the number of this one and an address in different variables. **Gain:** one command on every
host, and an error that names the variable that is missing, in place of a process that waits.
**Switch:** none; without these variables a run has one process.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from visiongarden.errors import UserError

_PORT = 29500
_TORCHRUN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_JAX = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
_SLURM = ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NODELIST")
_OPEN_MPI = (
    "OMPI_COMM_WORLD_SIZE",
    "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    "OMPI_COMM_WORLD_LOCAL_RANK",
)


@dataclass(frozen=True)
class Launch:
    """Place of a process among the processes of a run.

    Attributes:
        rank: Number of this process, from 0; process 0 writes the files of the run.
        processes: Number of processes of the run.
        local_rank: Number of this process among those on its host.
        local_processes: Number of processes on this host.
        address: Host and port at which process 0 is reached; None for `TF_CONFIG`, which lists the
            addresses of all processes.
        launcher: What started the processes, for messages.
    """

    rank: int
    processes: int
    local_rank: int
    local_processes: int
    address: tuple[str, int] | None
    launcher: str


def launched(environment: Mapping[str, str], backend: str) -> Launch | None:
    """Return the place of this process, or None if it was started alone.

    Args:
        environment: Environment variables.
        backend: "tensorflow", "jax" or "torch".

    Raises:
        UserError: The variables of a launcher are incomplete or contradict each other.
    """
    if backend == "tensorflow" and environment.get("TF_CONFIG"):
        found = _tf_config(environment["TF_CONFIG"])
    elif backend == "jax" and any(name in environment for name in _JAX):
        found = _of_jax(_Variables(environment, _JAX, "the variables of JAX"))
    elif any(name in environment for name in _TORCHRUN[:2]):
        found = _torchrun(_Variables(environment, _TORCHRUN, "torchrun"))
    elif environment.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        found = _slurm(_Variables(environment, _SLURM, "srun"))
    elif environment.get("OMPI_COMM_WORLD_SIZE", "1") != "1":
        found = _open_mpi(_Variables(environment, _OPEN_MPI, "mpirun"))
    else:
        return None
    if backend == "tensorflow" and found.address is not None and found.processes > 1:
        raise UserError(
            f"{found.launcher} started {found.processes} processes, which TensorFlow cannot find",
            rule="TF_CONFIG lists the addresses of all processes",
            fix='TF_CONFIG=\'{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
            '"task": {"type": "worker", "index": 0}}\'',
        )
    return found if found.processes > 1 else None


class _Variables:
    """Environment variables of one launcher, all of which must be set."""

    def __init__(
        self, environment: Mapping[str, str], names: tuple[str, ...], launcher: str
    ) -> None:
        self.environment, self.launcher = environment, launcher
        missing = [name for name in names if not environment.get(name)]
        if missing:
            given = ", ".join(f"{n}={environment[n]}" for n in names if environment.get(n))
            raise UserError(
                f"the environment of {launcher} is incomplete: {' and '.join(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} not set",
                rule=", ".join(names),
                received=given,
                fix=f"set {', '.join(missing)} on every host, or unset {names[0]} and "
                f"{names[1]} to train in one process",
            )

    def text(self, name: str) -> str:
        return self.environment[name]

    def number(self, name: str, default: int | None = None) -> int:
        text = self.environment.get(name, "" if default is None else str(default))
        if not re.fullmatch(r"\d{1,9}", text):
            raise UserError(
                f"the environment variable {name} is not valid",
                rule="an integer of at least 0",
                received=text[:80],
                fix=f"{name}=0",
            )
        return int(text)

    def place(self, rank: str, processes: str) -> tuple[int, int]:
        """Return the number of this process and of all, which must be smaller."""
        number, count = self.number(rank), self.number(processes)
        if number >= count:
            raise UserError(
                f"the environment of {self.launcher} contradicts itself: process {number} of "
                f"{count}",
                rule=f"{rank} is below {processes}, and counted from 0",
                received=f"{rank}={number}, {processes}={count}",
                fix=f"{rank}={max(count - 1, 0)}",
            )
        return number, count


def _torchrun(given: _Variables) -> Launch:
    rank, processes = given.place("RANK", "WORLD_SIZE")
    # Written by hand, on hosts of one process each.
    local = given.number("LOCAL_RANK", 0), given.number("LOCAL_WORLD_SIZE", 1)
    address = (given.text("MASTER_ADDR"), given.number("MASTER_PORT"))
    return Launch(rank, processes, *local, address, given.launcher)


def _of_jax(given: _Variables) -> Launch:
    rank, processes = given.place("JAX_PROCESS_ID", "JAX_NUM_PROCESSES")
    host, _, port = given.text("JAX_COORDINATOR_ADDRESS").rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(
            "the environment variable JAX_COORDINATOR_ADDRESS is not valid",
            rule="host:port",
            received=given.text("JAX_COORDINATOR_ADDRESS")[:80],
            fix="JAX_COORDINATOR_ADDRESS=host0:29500",
        )
    return Launch(rank, processes, 0, 1, (host, int(port)), given.launcher)


def _slurm(given: _Variables) -> Launch:
    rank, processes = given.place("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
    host = given.environment.get("MASTER_ADDR") or first_host(given.text("SLURM_STEP_NODELIST"))
    # A different port for each job, since several may share a host.
    default = 20000 + given.number("SLURM_JOB_ID", 0) % 20000
    port = given.number("MASTER_PORT", default)
    tasks = given.environment.get("SLURM_STEP_TASKS_PER_NODE", "1")
    here = int((re.match(r"\d+", tasks) or ["1"])[0])
    return Launch(
        rank, processes, given.number("SLURM_LOCALID"), here, (host, port), given.launcher
    )


def _open_mpi(given: _Variables) -> Launch:
    rank, processes = given.place("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")
    local = given.number("OMPI_COMM_WORLD_LOCAL_RANK"), given.number("OMPI_COMM_WORLD_LOCAL_SIZE")
    host = given.environment.get("MASTER_ADDR") or ("127.0.0.1" if local[1] == processes else "")
    if not host:
        raise UserError(
            "the environment of mpirun is incomplete: MASTER_ADDR is not set",
            rule="with several hosts, the address of the host of process 0",
            fix="mpirun -x MASTER_ADDR=host0",
        )
    return Launch(
        rank, processes, *local, (host, given.number("MASTER_PORT", _PORT)), given.launcher
    )


def _tf_config(text: str) -> Launch:
    example = (
        '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
        '"task": {"type": "worker", "index": 0}}'
    )

    def invalid(what: str) -> UserError:
        return UserError(
            f"the environment variable TF_CONFIG {what}",
            rule="the addresses of all workers, and the index of this one",
            received=text[:200],
            fix=f"TF_CONFIG='{example}'",
        )

    try:
        fields: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid("is not valid JSON") from error
    cluster = fields.get("cluster") if isinstance(fields, dict) else None
    task = fields.get("task") if isinstance(fields, dict) else None
    workers = cluster.get("worker") if isinstance(cluster, dict) else None
    if not isinstance(workers, list) or not all(isinstance(each, str) for each in workers):
        raise invalid("has no list of cluster.worker")
    if isinstance(cluster, dict) and set(cluster) != {"worker"}:
        raise invalid("has other tasks than workers")
    index = task.get("index") if isinstance(task, dict) else None
    if not isinstance(index, int) or isinstance(index, bool):
        raise invalid("has no task.index")
    if not 0 <= index < len(workers):
        raise invalid(f"has task.index {index}, but {len(workers)} workers")
    hosts = [address.rpartition(":")[0] for address in workers]
    here = [number for number, host in enumerate(hosts) if host == hosts[index]]
    return Launch(index, len(workers), here.index(index), len(here), None, "TF_CONFIG")


def first_host(nodes: str) -> str:
    """Return the first host of a list of nodes as SLURM writes it: `gpu[03-07,12]`, `a1,b2`."""
    found = re.match(r"([^,\[]+)(?:\[(\d+)[^\]]*\])?", nodes)
    return "" if found is None else found[1] + (found[2] or "")


def variables_of_this_host(processes: int) -> dict[str, str]:
    """Return the variables of torchrun for processes on this host, without their ranks."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
    }
