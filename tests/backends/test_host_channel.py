"""Messages between processes, with threads and a dict in their place."""

import threading
import time

import pytest

from visiongarden import UserError
from visiongarden.backends import host_channel
from visiongarden.backends.host_channel import HostChannel
from visiongarden.backends.host_watch import HostWatch


class Store:
    """Key-value store in memory."""

    def __init__(self):
        self.values = {}

    def put(self, key, value):
        assert key not in self.values
        assert len(value) <= host_channel._PART
        self.values[key] = value

    def take(self, key, seconds):
        end = time.monotonic() + seconds
        while key not in self.values:
            if time.monotonic() > end:
                return None
            time.sleep(0.001)
        return self.values[key]

    def drop(self, key):
        del self.values[key]


def together(work, processes=3, timeout=5.0):
    """What `work(channel)` returns or raises in each process."""
    store, found = Store(), [None] * processes

    def run(rank):
        channel = HostChannel(store, rank, processes, timeout)
        try:
            found[rank] = work(channel)
        except Exception as error:
            found[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found, store


def test_every_process_gets_what_the_first_one_decides():
    found, store = together(
        lambda channel: [
            channel.exchange(bytes([channel.rank]), b"".join),
            channel.exchange(b"x" * (channel.rank + 1), lambda all_: bytes(map(len, all_))),
        ]
    )
    assert found == [[b"\0\1\2", b"\1\2\3"]] * 3
    assert len(store.values) <= 2  # the last answer alone


def test_a_message_may_be_longer_than_a_value(monkeypatch):
    monkeypatch.setattr(host_channel, "_PART", 10)
    found, _ = together(lambda channel: channel.exchange(bytes(25), b"".join))
    assert [len(each) for each in found] == [75] * 3


def test_an_error_of_the_decision_is_raised_in_every_process():
    def refuse(_):
        raise UserError("no", rule="yes", fix="maybe")

    found, _ = together(lambda channel: channel.exchange(b"", refuse))
    assert {str(error) for error in found} == {"no\n  rule: yes\n  fix: maybe"}
    assert all(isinstance(error, UserError) for error in found)


def test_a_process_that_does_not_answer_is_named_in_every_other(monkeypatch):
    monkeypatch.setattr(host_channel, "_POLL", 0.05)

    def work(channel):
        return None if channel.rank == 2 else channel.exchange(b"", b"".join)

    found, _ = together(work, timeout=0.2)
    assert all("process 2 does not answer" in str(error) for error in found[:2])


def test_a_process_that_failed_is_named_with_its_error():
    def work(channel):
        if channel.rank == 1:
            return channel.fail("the disk is full")
        return channel.exchange(b"", b"".join)

    found, _ = together(work)
    assert [str(found[rank]).splitlines()[0] for rank in (0, 2)] == [
        "process 1 failed: the disk is full"
    ] * 2


def watched(ends, fails=False):
    """What the watches of three processes report, of which process 1 dies or ends."""
    store, errors = Store(), [None] * 3
    channels = [HostChannel(store, rank, 3) for rank in range(3)]
    silent = threading.Event()

    class Dies(Store):
        """The store as process 1 sees it, whose signs of life end."""

        def put(self, key, value):
            if not silent.is_set():
                store.put(key, value)

        def take(self, key, seconds):
            return store.take(key, seconds)

    stores = [store, Dies(), store]
    watches = [
        HostWatch(
            stores[rank], channel, 0.5, 0.02, lambda error, r=rank: errors.__setitem__(r, error)
        )
        for rank, channel in enumerate(channels)
    ]
    for watch in watches:
        watch.start()
    time.sleep(0.1)
    if fails:
        channels[1].fail("the disk is full")
    if ends:
        watches[1].stop()
    else:
        silent.set()
    time.sleep(1.5)
    for watch in (watches[0], watches[2]):
        watch.stop()
    silent.set()
    watches[1].stop()
    return [errors[0], errors[2]]


def test_a_process_that_dies_within_a_collective_is_named_in_all_others():
    assert ["process 1 does not answer" in str(error) for error in watched(False)] == [True] * 2


def steps(positions, seconds=1.2):
    """Return the errors of process 0 of two, whose positions at a step are `positions(step)`."""
    store, errors = Store(), []
    channels = [HostChannel(store, rank, 2) for rank in range(2)]
    watches = [HostWatch(store, each, 60, 0.02, errors.append, 0.4) for each in channels]
    for watch in watches:
        watch.start()
    end, step = time.monotonic() + seconds, 0
    while time.monotonic() < end and not errors:
        channels[0].position, channels[1].position = positions(step)
        step += 1
        time.sleep(0.01)
    for watch in watches:
        watch.stop()
    return [str(error).splitlines()[0] for error in errors]


def test_a_process_that_lives_but_does_not_follow_is_named():
    assert steps(lambda step: (8, 7)) == ["process 1 does not answer"]


@pytest.mark.parametrize(
    "positions",
    [lambda step: (8, 8), lambda step: (step + 1, step), lambda step: (step, step + 1)],
)
def test_processes_that_wait_for_the_same_or_go_on_are_left_alone(positions):
    """A long evaluation, and a process whose signs of life are always one step old."""
    assert steps(positions) == []


def test_a_process_that_ends_by_itself_is_not_missed():
    assert watched(True) == [None, None]


def test_a_process_that_has_failed_is_named_with_its_error():
    found = [str(error) for error in watched(True, fails=True)]
    assert found == ["process 1 failed: the disk is full"] * 2


def test_processes_that_still_run_are_known():
    def work(channel):
        return None if channel.rank == 1 else channel.silent(0.2)

    found, _ = together(work)
    assert (found[0], found[2]) == ([1], [1])
