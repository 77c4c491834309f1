"""Random access to examples -> batches, read ahead by Grain."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from typing import Any

_PARENT_CHECK_SECONDS = 2.0


def grain_batches(
    source: Any,
    collate: Callable[[Any], Any],
    batch_size: int,
    drop_remainder: bool = False,
    workers: int = 0,
) -> Iterator[Any]:
    """Batches in the order of the source, the same ones whatever the workers.

    Args:
        source: has `__len__` and `__getitem__`; can be sent to processes.
        collate: a list of examples -> a batch; can be sent to processes.
        batch_size: examples a batch.
        drop_remainder: leave out a last batch that is not full.
        workers: processes; 0 reads in threads of this process.
    """
    import grain

    examples = grain.MapDataset.source(source).to_iter_dataset(
        grain.ReadOptions(num_threads=4, prefetch_buffer_size=4 * batch_size)
    )
    if workers:
        # Before batching: processes take turns example by example, which keeps the order.
        _ready_for_processes()
        options = grain.multiprocessing.MultiprocessingOptions(num_workers=workers)
        examples = examples.mp_prefetch(options, worker_init_fn=exit_with_parent)
    return iter(examples.batch(batch_size, drop_remainder=drop_remainder, batch_fn=collate))


def _ready_for_processes() -> None:
    """Grain's processes read absl flags, which only absl's own `app.run` would parse."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def exit_with_parent(worker: int, workers: int) -> None:
    """Make a loading process end when the process that started it is gone, however it ended.

    After SIGTERM or SIGKILL of a run nobody sets the event that Grain's processes wait for, and
    each would keep its memory (some 200 MB) until it is killed by hand.

    Args:
        worker: number of this process, from 0; unused, Grain passes it.
        workers: number of processes; unused, Grain passes it.
    """
    parent = multiprocessing.parent_process()
    if parent is None:  # not a child process
        return
    watch = threading.Thread(target=_watch, args=(parent.sentinel, os.getppid()), daemon=True)
    watch.start()


def _watch(sentinel: int, parent: int) -> None:
    # The sentinel is a pipe; another child that inherited its other end would keep it open, hence
    # the second sign: an orphan gets another parent.
    while not wait([sentinel], timeout=_PARENT_CHECK_SECONDS) and os.getppid() == parent:
        pass
    os._exit(1)
