"""Prefetched batches keep their order and errors, and no thread remains."""

import threading

import numpy as np
import pytest

from visiongarden.backends.prefetch import DEPTH, Prefetcher


def threads():
    return [t for t in threading.enumerate() if t.name == "batches ahead"]


def test_batches_keep_their_order():
    source = Prefetcher(iter(range(20)), put=lambda x: x + 100)
    assert list(source) == list(range(100, 120))
    assert list(source) == []
    source.close()
    assert not threads()


def test_few_batches_are_made_in_advance():
    made = []
    source = Prefetcher((made.append(i) or i for i in range(100)), put=lambda x: x)
    assert next(source) == 0
    source.close()
    # Those that wait, one on its way, and one each that `next` and `close` let through.
    assert len(made) <= DEPTH + 4
    assert not threads()


def test_an_error_is_raised_where_its_batch_would_come():
    def source():
        yield 1
        raise ValueError("image 2 is gone")

    batches = Prefetcher(source(), put=lambda x: x)
    assert next(batches) == 1
    with pytest.raises(ValueError, match="image 2 is gone"):
        next(batches)
    with pytest.raises(StopIteration):
        next(batches)
    batches.close()


def test_closing_closes_the_source():
    closed = []

    def source():
        try:
            yield from range(1000)
        finally:
            closed.append(True)

    batches = Prefetcher(source(), put=lambda x: x)
    next(batches)
    batches.close()
    assert closed == [True]


def test_jax_puts_arrays_on_its_device():
    jax = pytest.importorskip("jax")
    from visiongarden.backends.prefetch import _jax_copier

    batch = {"images": np.arange(6, dtype=np.uint8).reshape(2, 3)}
    (batches,) = Prefetcher(iter([batch]), put=_jax_copier())
    assert isinstance(batches["images"], jax.Array)
    np.testing.assert_array_equal(np.asarray(batches["images"]), batch["images"])
