"""`HostChannel`: messages between the processes of a run, beside the collectives of the steps.

**Why.** Decisions (which folder, resume, stop) and results of an evaluation are exchanged between
the hosts, not between the devices, and a process that does not answer must be named. The
collectives of the backends do not name it, and that of JAX ends the others. **Gain:** one message
in every process. **Switch:** none; in a single process nothing is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from visiongarden.errors import UserError

TIMEOUT = 1800.0
"""Seconds that a process waits for the others, longer than the longest phase without a message:
another rank may read a large dataset or compile its model."""
_POLL = 1.0
"""Seconds between two looks at whether a process has reported a failure."""
_LAST = 10.0
"""Seconds in which the others read the last answer."""
_PART = 2**20
"""Largest value in bytes; the services of the backends limit the size of a message."""
_OK, _FAILED = b"+", b"-"


class KeyValueStore(Protocol):
    """The key-value store that a backend shares between its processes."""

    def put(self, key: str, value: bytes) -> None:
        """Store a value under a key that is used once."""

    def take(self, key: str, seconds: float) -> bytes | None:
        """Return the value of a key, or None if it was not stored within some seconds."""

    def drop(self, key: str) -> None:
        """Delete a key."""


class HostChannel:
    """Exchange of messages between all processes of a run, in the same order on each.

    Args:
        store: The store that the processes share.
        rank: Number of this process.
        processes: Number of processes.
        timeout: Seconds to wait for a process.

    Attributes:
        position: How far this process has come: the number of exchanges and of training steps that
            it has begun. It is the same in all processes at the same place of a run.
    """

    def __init__(
        self, store: KeyValueStore, rank: int, processes: int, timeout: float = TIMEOUT
    ) -> None:
        self._store, self.rank, self.processes, self.timeout = store, rank, processes, timeout
        self._number = self.position = 0
        self._answered: tuple[str, int] | None = None
        self._has_failed = False

    def exchange(self, message: bytes, decide: Callable[[Sequence[bytes]], bytes]) -> bytes:
        """Send a message to process 0, and return what it decides on the messages of all.

        Args:
            message: Message of this process.
            decide: Function of the messages, by rank, that process 0 calls.

        Raises:
            UserError: A process failed, or did not answer in time; the message names it.
        """
        number, self._number = self._number, self._number + 1
        self.position += 1
        if self.rank:
            self._send(f"{number}/{self.rank}", message)
            return self._answer(number)
        return self._decide(number, message, decide)

    def fail(self, message: str) -> None:
        """Tell the other processes that this one ends with an error."""
        self._has_failed = True
        self._send(f"failed/{self.rank}", message.encode()[:_PART])

    def failure(self, rank: int) -> str | None:
        """Return the error that a process has reported, or None."""
        count = self._store.take(f"failed/{rank}", 0.01)
        if count is None:
            return None
        parts = [self._part(f"failed/{rank}", index, rank) for index in range(int(count))]
        return b"".join(parts).decode()

    def close(self) -> None:
        """End the exchange: process 0 waits until the others have read its last answer.

        The store may be in process 0.
        """
        if self._has_failed:
            return
        if self.rank:
            self._store.put(f"read/{self.rank}", b"")
            return
        for rank in range(1, self.processes):
            self._store.take(f"read/{rank}", _LAST)

    def silent(self, seconds: float) -> list[int]:
        """Return the ranks that do not answer within some seconds; each process has to ask."""
        number, self._number = self._number, self._number + 1
        self._send(f"{number}/alive/{self.rank}", b"")
        end = time.monotonic() + seconds
        return [
            rank
            for rank in range(self.processes)
            if rank != self.rank
            and self._store.take(f"{number}/alive/{rank}", max(end - time.monotonic(), 0.1)) is None
        ]

    def _decide(
        self, number: int, message: bytes, decide: Callable[[Sequence[bytes]], bytes]
    ) -> bytes:
        try:
            received = [message, *(self._receive(number, r) for r in range(1, self.processes))]
            if self._answered is not None:  # every process has read it, since it went on
                self._forget(*self._answered)
            answer = decide(received)
        except UserError as error:
            self._send(f"{number}/answer", _FAILED + str(error).encode())
            raise
        except BaseException as error:
            self._send(f"{number}/answer", _FAILED + f"process 0 failed: {error}".encode())
            raise
        key = f"{number}/answer"
        self._answered = (key, self._send(key, _OK + answer))
        return answer

    def _receive(self, number: int, rank: int) -> bytes:
        key = f"{number}/{rank}"
        found = self._wait(key, rank, self.timeout)
        self._forget(key, _parts(found))
        return found

    def _answer(self, number: int) -> bytes:
        # Process 0 waits for the others as long as this one waits for it, one after another.
        found = self._wait(f"{number}/answer", 0, self.timeout + 30)
        if found[:1] == _FAILED:
            what, *lines = found[1:].decode().splitlines() or ["process 0 failed"]
            raise FirstProcessError(what, lines)
        return found[1:]

    def _wait(self, key: str, rank: int, seconds: float) -> bytes:
        end = time.monotonic() + seconds
        while (count := self._store.take(key, _POLL)) is None:
            failure = self.failure(rank)
            if failure is not None:
                raise UserError(f"process {rank} failed: {failure}")
            if time.monotonic() > end:
                raise silent_error([rank], seconds)
        return b"".join(self._part(key, i, rank) for i in range(int(count)))

    def _part(self, key: str, index: int, rank: int) -> bytes:
        found = self._store.take(f"{key}.{index}", self.timeout)
        if found is None:
            raise silent_error([rank], self.timeout)
        return found

    def _send(self, key: str, message: bytes) -> int:
        """Store a message in parts, and then their number; returns it."""
        count = _parts(message)
        for index in range(count):
            self._store.put(f"{key}.{index}", message[index * _PART : (index + 1) * _PART])
        self._store.put(key, str(count).encode())
        return count

    def _forget(self, key: str, parts: int) -> None:
        for name in (key, *(f"{key}.{index}" for index in range(parts))):
            self._store.drop(name)


class FirstProcessError(UserError):
    """The error of process 0, raised on the other processes with the same message."""

    def __init__(self, what: str, lines: Sequence[str]) -> None:
        super().__init__("\n".join([what, *lines]))


def silent_error(ranks: Sequence[int], seconds: float) -> UserError:
    """Return the error that names processes that do not answer."""
    several = len(ranks) > 1
    named = ", ".join(map(str, ranks))
    return UserError(
        f"{'processes' if several else 'process'} {named} {'do' if several else 'does'} not answer",
        rule=f"every process of the run answers within {seconds:.0f} s",
        fix=f"see the output of process {ranks[0]}, then resume the run in all processes",
    )


def _parts(message: bytes) -> int:
    return -(-len(message) // _PART)
