"""Random access to examples -> batches, read ahead by Grain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


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
        examples = examples.mp_prefetch(options)
    return iter(examples.batch(batch_size, drop_remainder=drop_remainder, batch_fn=collate))


def _ready_for_processes() -> None:
    """Grain's processes read absl flags, which only absl's own `app.run` would parse."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
