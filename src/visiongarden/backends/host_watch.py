"""`HostWatch`: a thread that ends this process when another one of the run has died or hangs.

**Why.** A collective waits for a process that was killed, on JAX until the runtime ends all others
from C++, after minutes and without naming it; and for one that hangs, without end. **Gain:** after
a minute each process names the one that has died, and after half an hour the one that hangs, and
ends. **Switch:** none; in a single process there is no thread.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Callable

from visiongarden.backends.host_channel import TIMEOUT, HostChannel, KeyValueStore, silent_error
from visiongarden.errors import UserError
from visiongarden.progress import LOGGER

LIMIT = 60.0
"""Seconds without a sign of life after which a process counts as dead."""
BEHIND = TIMEOUT
"""Seconds after which a process that lives, but does not follow the others, counts as hanging."""
_EVERY = 5.0
"""Seconds between two signs of life."""
_NO_WAIT = 0.001
"""Seconds to wait for an entry of the store, which exists already or is not awaited."""
_KEPT = 100
"""Signs of life that stay in the store, for processes that are late in reading them."""


class HostWatch:
    """Signs of life of this process, and those of the others.

    Args:
        store: The store that the processes share.
        channel: The channel, which has the errors that processes report.
        limit: Seconds without a sign of life after which a process counts as dead.
        every: Seconds between two signs of life.
        end: Called with the error that names the process.
        behind: Seconds after which a process that has come less far than another counts as hanging;
            `BEHIND` by default.
    """

    def __init__(
        self,
        store: KeyValueStore,
        channel: HostChannel,
        limit: float = LIMIT,
        every: float = _EVERY,
        end: Callable[[UserError], None] | None = None,
        behind: float | None = None,
    ) -> None:
        self._store, self._channel = store, channel
        self._limit, self._every, self._end = limit, every, end or _ended
        self._behind = BEHIND if behind is None else behind
        self._positions: dict[int, int] = {}
        self._done = threading.Event()
        self._next = dict.fromkeys(
            (rank for rank in range(channel.processes) if rank != channel.rank), 0
        )
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Start the thread; it lasts as long as the process."""
        atexit.register(self.stop)
        self._thread.start()

    def stop(self) -> None:
        """Stop, and let the others know that this process ends by itself."""
        if not self._done.is_set():
            self._done.set()
            self._thread.join(1)
            with contextlib.suppress(Exception):  # process 0 has ended before
                self._store.put(f"pulse/{self._channel.rank}/end", b"")

    def _run(self) -> None:
        number, now = 0, time.monotonic()
        last, level = dict.fromkeys(self._next, now), dict.fromkeys(self._next, now)
        while not self._done.wait(self._every):
            try:
                self._beat(number)
                number += 1
                for rank in list(self._next):
                    before = self._positions.get(rank)
                    if self._has_beaten(rank):
                        last[rank] = time.monotonic()
                    if self._positions.get(rank) != before or not self._is_behind(rank):
                        level[rank] = time.monotonic()
                asked = list(self._next)
            except Exception:  # each backend has other errors
                # The store is in process 0. There it fails if the service knows of a dead process.
                asked = [rank for rank in self._next if rank == 0 or not self._channel.rank]
            found = self._silent(last, asked, self._limit)
            found = found or self._silent(level, list(self._next), self._behind)
            if found is not None and not self._done.is_set():
                self._end(found)
                return

    def _silent(self, seen: dict[int, float], asked: list[int], limit: float) -> UserError | None:
        """Return the error that names the processes that were not seen within a limit."""
        ranks = [rank for rank in asked if time.monotonic() - seen[rank] > limit]
        return self._error(ranks, limit) if ranks else None

    def _is_behind(self, rank: int) -> bool:
        """Return whether a process has come less far than another one of the run."""
        positions = [self._channel.position, *self._positions.values()]
        return self._positions.get(rank, 0) < max(positions)

    def _beat(self, number: int) -> None:
        name = f"pulse/{self._channel.rank}"
        self._store.put(f"{name}/{number}", str(self._channel.position).encode())
        if number >= _KEPT:
            self._store.drop(f"{name}/{number - _KEPT}")

    def _has_beaten(self, rank: int) -> bool:
        """Return whether there is a new sign of life; a process that has ended is left out."""
        first = self._next[rank]
        while (position := self._read(f"{rank}/{self._next[rank]}")) is not None:
            self._positions[rank] = int(position)
            self._next[rank] += 1
        if self._next[rank] > first:
            return True
        if self._read(f"{rank}/end") is not None and self._channel.failure(rank) is None:
            del self._next[rank]
            self._positions.pop(rank, None)
            return True
        return False

    def _read(self, name: str) -> bytes | None:
        return self._store.take(f"pulse/{name}", _NO_WAIT)

    def _error(self, ranks: list[int], seconds: float) -> UserError:
        for rank in ranks:
            with contextlib.suppress(Exception):  # the store may be gone, too
                failure = self._channel.failure(rank)
                if failure is not None:
                    return UserError(f"process {rank} failed: {failure}")
        return silent_error(ranks, seconds)


def _ended(error: UserError) -> None:
    LOGGER.error(str(error))
    # The main thread waits in a collective, which no exception reaches.
    os._exit(1)
