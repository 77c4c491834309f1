"""Batches ahead: the same ones in order, the source's error, and no thread left behind."""

import threading

import numpy as np
import pytest

from visiongarden.training.ahead import DEPTH, Ahead


def threads():
    return [t for t in threading.enumerate() if t.name == "batches ahead"]


def test_all_come_in_order_through_the_device():
    source = Ahead(iter(range(20)), put=lambda x: x + 100)
    assert list(source) == list(range(100, 120))
    assert list(source) == []
    source.close()
    assert not threads()


def test_few_are_made_before_they_are_asked_for():
    made = []
    source = Ahead((made.append(i) or i for i in range(100)), put=lambda x: x)
    assert next(source) == 0
    source.close()
    # Those that wait, one on its way, and one each that `next` and `close` let through.
    assert len(made) <= DEPTH + 4
    assert not threads()


def test_an_error_comes_where_its_batch_would():
    def source():
        yield 1
        raise ValueError("image 2 is gone")

    found = Ahead(source(), put=lambda x: x)
    assert next(found) == 1
    with pytest.raises(ValueError, match="image 2 is gone"):
        next(found)
    with pytest.raises(StopIteration):
        next(found)
    found.close()


def test_the_source_is_closed_with_it():
    closed = []

    def source():
        try:
            yield from range(1000)
        finally:
            closed.append(True)

    found = Ahead(source(), put=lambda x: x)
    next(found)
    found.close()
    assert closed == [True]


def test_jax_puts_arrays_on_its_device():
    jax = pytest.importorskip("jax")
    from visiongarden.training.ahead import _jax_put

    batch = {"images": np.arange(6, dtype=np.uint8).reshape(2, 3)}
    (found,) = Ahead(iter([batch]), put=_jax_put())
    assert isinstance(found["images"], jax.Array)
    np.testing.assert_array_equal(np.asarray(found["images"]), batch["images"])
