"""Batches of samples from a random-access source, prefetched by Grain."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from typing import Any

from visiongarden.errors import DataError

_PARENT_CHECK_SECONDS = 2.0
_KILLED = re.compile(r"terminated unexpectedly with exit code (-?\d+)")
"""What Grain reports; it may add lines."""


def grain_batches(
    source: Any,
    collate: Callable[[Any], Any],
    batch_size: int,
    drop_remainder: bool = False,
    workers: int = 0,
) -> Iterator[Any]:
    """Iterate over batches in the order of the source, whatever the number of workers.

    Args:
        source: Random-access source with `__len__` and `__getitem__`; pickled if `workers` > 0.
        collate: Function from a list of samples to a batch; pickled if `workers` > 0.
        batch_size: Number of samples per batch.
        drop_remainder: Whether to drop the last batch if it is incomplete.
        workers: Number of worker processes; 0 reads in threads of this process.
    """
    import grain

    samples = grain.MapDataset.source(source).to_iter_dataset(
        grain.ReadOptions(num_threads=4, prefetch_buffer_size=4 * batch_size)
    )
    if workers:
        # Before batching: the processes take turns sample by sample, which keeps the order.
        _ready_for_processes()
        options = grain.multiprocessing.MultiprocessingOptions(num_workers=workers)
        samples = samples.mp_prefetch(options, worker_init_fn=exit_with_parent)
    batches = iter(samples.batch(batch_size, drop_remainder=drop_remainder, batch_fn=collate))
    return _while_they_live(batches, workers) if workers else batches


def _while_they_live(batches: Iterator[Any], workers: int) -> Iterator[Any]:
    """Iterate over batches, with an error of one paragraph when a process that loads them dies.

    Raises:
        DataError: A process was killed.
    """
    try:
        yield from batches
    except RuntimeError as error:
        found = _KILLED.search(str(error))
        if found is None:
            raise
        code = int(found[1])
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"exit code {code}"
        raise DataError(
            f"one of the {workers} processes that load images was killed ({name})",
            rule="they run until the epoch is complete; a system that is short of memory kills "
            "the largest process",
            fix=f"training.workers={workers // 2}",
        ) from error


def _ready_for_processes() -> None:
    """Mark absl's flags as parsed; Grain's processes read them, and only `app.run` parses them."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def exit_with_parent(worker: int, workers: int) -> None:
    """Make a worker process exit when the process that started it has ended, in whatever way.

    After SIGTERM or SIGKILL of a run nothing sets the event that Grain's workers wait for. Each of
    them would keep its memory (about 200 MB) until it is killed manually.

    Args:
        worker: Index of this process; unused, Grain passes it.
        workers: Number of processes; unused, Grain passes it.
    """
    parent = multiprocessing.parent_process()
    if parent is None:  # not a child process
        return
    # Signals of a terminal, or of a job's end, reach all its processes. The run completes its step,
    # and may need a batch for it; this process ends with the run.
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):  # Windows has no SIGUSR1
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    watch = threading.Thread(target=_watch, args=(parent.sentinel, os.getppid()), daemon=True)
    watch.start()


def _watch(sentinel: int, parent: int) -> None:
    # The sentinel is a pipe, which stays open while another child process has inherited its other
    # end. The parent's id is the second criterion: an orphaned process gets another parent.
    while not wait([sentinel], timeout=_PARENT_CHECK_SECONDS) and os.getppid() == parent:
        pass
    os._exit(1)
