"""`HostWatch`: a thread that ends this process when another one of the run has died.

**Why.** A collective of JAX waits for a process that was killed until the runtime ends all others
from C++, after minutes and without naming it. **Gain:** after a minute each process names the one
that is silent, and ends. **Switch:** none; in a single process there is no thread.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Callable

from visiongarden.backends.host_channel import HostChannel, KeyValueStore, silent_error
from visiongarden.errors import UserError
from visiongarden.progress import LOGGER

LIMIT = 60.0
"""Seconds without a sign of life after which a process counts as dead."""
_EVERY = 5.0
"""Seconds between two signs of life."""
_NO_WAIT = 0.001
"""Seconds to wait for an entry of the store that is there or not."""
_KEPT = 100
"""Signs of life that stay in the store, for processes that are late in reading them."""


class HostWatch:
    """Signs of life of this process, and those of the others.

    Args:
        store: The store that the processes share.
        channel: The channel, which has the errors that processes report.
        limit: Seconds without a sign of life after which a process counts as dead.
        every: Seconds between two signs of life.
        end: Called with the error that names the dead process.
    """

    def __init__(
        self,
        store: KeyValueStore,
        channel: HostChannel,
        limit: float = LIMIT,
        every: float = _EVERY,
        end: Callable[[UserError], None] | None = None,
    ) -> None:
        self._store, self._channel = store, channel
        self._limit, self._every, self._end = limit, every, end or _ended
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
        number, last = 0, dict.fromkeys(self._next, time.monotonic())
        while not self._done.wait(self._every):
            try:
                self._beat(number)
                number += 1
                for rank in list(self._next):
                    if self._has_beaten(rank):
                        last[rank] = time.monotonic()
                seen = {rank: last[rank] for rank in self._next}
            except Exception:  # the store is in process 0; each backend has other errors
                seen = {0: last.get(0, time.monotonic())}
            dead = [r for r, at in seen.items() if time.monotonic() - at > self._limit]
            if dead and not self._done.is_set():
                self._end(self._error(dead))
                return

    def _beat(self, number: int) -> None:
        name = f"pulse/{self._channel.rank}"
        self._store.put(f"{name}/{number}", b"")
        if number >= _KEPT:
            self._store.drop(f"{name}/{number - _KEPT}")

    def _has_beaten(self, rank: int) -> bool:
        """Return whether there is a new sign of life; a process that has ended is left out."""
        first = self._next[rank]
        while self._has(f"{rank}/{self._next[rank]}"):
            self._next[rank] += 1
        if self._next[rank] > first:
            return True
        if self._has(f"{rank}/end") and self._channel.failure(rank) is None:
            del self._next[rank]
            return True
        return False

    def _has(self, name: str) -> bool:
        return self._store.take(f"pulse/{name}", _NO_WAIT) is not None

    def _error(self, ranks: list[int]) -> UserError:
        for rank in ranks:
            with contextlib.suppress(Exception):  # the store may be gone, too
                failure = self._channel.failure(rank)
                if failure is not None:
                    return UserError(f"process {rank} failed: {failure}")
        return silent_error(ranks, self._limit)


def _ended(error: UserError) -> None:
    LOGGER.error(str(error))
    # The main thread waits in a collective, which no exception reaches.
    os._exit(1)
