"""`Share`: the images of an epoch that one of several processes reads."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np


class Share(NamedTuple):
    """Share of one process in the global order of an epoch.

    Batch k of the epoch has the same images for any number of processes: in training each process
    reads its rows of every batch, in an evaluation every so many whole batches.

    Attributes:
        rank: Number of the process, from 0.
        processes: Number of processes.
        of: "rows" of each batch, or whole "batches".

    Example:
        >>> Share(1, 2, "rows").places(8, 4).tolist()
        [1, 3, 5, 7]
        >>> Share(1, 2, "batches").places(9, 2).tolist()
        [2, 3, 6, 7]
    """

    rank: int = 0
    processes: int = 1
    of: Literal["rows", "batches"] = "rows"

    def places(self, count: int, batch_size: int) -> np.ndarray:
        """Return the positions in the epoch that this process reads, in order.

        Args:
            count: Number of images of the epoch.
            batch_size: Number of images of a batch of all processes.
        """
        places = np.arange(count)
        turn = places if self.of == "rows" else places // batch_size
        return places[turn % self.processes == self.rank]

    def size(self, batch_size: int) -> int:
        """Return the number of images of a batch of this process."""
        return batch_size // self.processes if self.of == "rows" else batch_size

    def takes(self, batch: int) -> bool:
        """Return whether this process reads images of a batch."""
        return self.of == "rows" or batch % self.processes == self.rank


WHOLE = Share()
"""The share of a run in one process."""
