"""Powers, gathered rows and largest values equal NumPy's values and finite differences."""

import keras
import numpy as np
import pytest
from keras import ops

from visiongarden.ops import kth_largest, one_hot, power, rows_of, spread_top_k, top_k


@pytest.mark.backends
@pytest.mark.parametrize("exponent", [0, 0.5, 1, 1.5, 2, 3, 6, 6.5, 7, 16, 0.3, 2.7, 17])
def test_power(exponent):
    x = np.array([0.0, 1e-9, 1e-3, 0.5, 1.0, 1.7], np.float32)
    found = ops.convert_to_numpy(power(ops.convert_to_tensor(x), exponent))
    np.testing.assert_allclose(found, x.astype(np.float64) ** exponent, rtol=3e-6, atol=1e-38)


@pytest.mark.backends
def test_rows():
    x = np.arange(2 * 5 * 3, dtype=np.float32).reshape(2, 5, 3)
    index = np.array([[4, 0, 0, 2], [1, 1, 3, 4]], np.int32)
    found = ops.convert_to_numpy(rows_of(ops.convert_to_tensor(x), ops.convert_to_tensor(index)))
    np.testing.assert_array_equal(found, np.stack([a[i] for a, i in zip(x, index, strict=True)]))
    flat = rows_of(ops.convert_to_tensor(x[..., 0]), ops.convert_to_tensor(index))
    np.testing.assert_array_equal(ops.convert_to_numpy(flat), found[..., 0])


@pytest.mark.backends
@pytest.mark.parametrize("k", [1, 3, 7])
def test_kth_largest(k):
    x = np.random.default_rng(k).integers(0, 5, (2, 4, 7)).astype(np.float32)
    found = ops.convert_to_numpy(kth_largest(ops.convert_to_tensor(x), k))
    np.testing.assert_array_equal(found, np.sort(x)[..., [-k]])


@pytest.mark.backends
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="XLA compiles it")
def test_kth_largest_is_not_compiled_to_a_sort():
    import jax

    compiled = jax.jit(lambda x: kth_largest(x, 10)).lower(np.zeros((8, 8, 2100), np.float32))
    assert "sort(" not in compiled.compile().as_text()


@pytest.mark.backends
@pytest.mark.parametrize("k", [1, 30, 500, 1000])
def test_equal_values_of_the_top_k_are_in_the_order_of_their_indices(k):
    # Few values: most are equal to others, also at the limit. Zeros of both signs are equal.
    generator = np.random.default_rng(k)
    x = generator.integers(-3, 4, (2, 3, 1000)).astype(np.float32)
    x *= generator.choice(np.array([1, -1], np.float32), x.shape)
    values, index = map(ops.convert_to_numpy, top_k(ops.convert_to_tensor(x), k))
    expected = np.argsort(-x, axis=-1, kind="stable")[..., :k]
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(x, expected, axis=-1))
    assert (values.dtype, index.dtype) == (np.float32, np.int32)


@pytest.mark.backends
def test_equal_weights_are_spread():
    weights = np.zeros((4, 40), np.float32)
    weights[0, [3, 30]] = 1  # fewer than k
    weights[1] = np.linspace(0, 1, 40)  # no equal ones
    weights[2, 10:40] = 1  # six times k
    weights[3, 20:40], weights[3, 35:38] = 0.5, 1
    found = ops.convert_to_numpy(spread_top_k(ops.convert_to_tensor(weights), 5))
    assert found.dtype == np.int32
    assert {3, 30} < set(found[0])
    np.testing.assert_array_equal(found[1], [35, 36, 37, 38, 39])
    np.testing.assert_array_equal(found[2], [15, 21, 27, 33, 39])
    # The three largest, and two of the other 17: the ninth and the last.
    np.testing.assert_array_equal(found[3], [28, 35, 36, 37, 39])
    alone = np.random.default_rng(0).integers(0, 2, (3, 50)).astype(np.float32)
    for k in (1, 7, 50):
        index = ops.convert_to_numpy(spread_top_k(ops.convert_to_tensor(alone), k))
        assert (np.diff(index) > 0).all()
        counts = np.minimum(alone.sum(axis=1), k)
        np.testing.assert_array_equal(np.take_along_axis(alone, index, 1).sum(axis=1), counts)


@pytest.mark.backends
@pytest.mark.parametrize("share", [0.1, 0.7, 1.0])
def test_indices_are_valid_if_values_are_not_numbers(share):
    generator = np.random.default_rng(0)
    x = generator.uniform(size=(3, 50)).astype(np.float32)
    x[generator.uniform(size=x.shape) < share] = np.nan
    for index in (
        top_k(ops.convert_to_tensor(x), 20)[1],
        spread_top_k(ops.convert_to_tensor(x), 20),
    ):
        found = ops.convert_to_numpy(index)
        assert found.shape == (3, 20)
        assert found.min() >= 0
        assert found.max() < 50


@pytest.mark.backends
def test_a_class_outside_has_a_row_of_zeros():
    found = ops.convert_to_numpy(one_hot(ops.convert_to_tensor([[0, 2], [-1, 3]]), 3))
    np.testing.assert_array_equal(found, [[[1, 0, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 0]]])
    assert found.dtype == np.float32


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="one backend's gradient")
def test_gradients_of_gathered_rows_reach_their_rows():
    import tensorflow as tf

    x = tf.Variable(np.zeros((2, 3, 2), np.float32))
    weights = tf.constant(np.arange(8, dtype=np.float32).reshape(2, 2, 2))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(rows_of(x, tf.constant([[2, 2], [0, 1]])) * weights)
    expected = [[[0, 0], [0, 0], [0 + 2, 1 + 3]], [[4, 5], [6, 7], [0, 0]]]
    np.testing.assert_array_equal(tf.convert_to_tensor(tape.gradient(loss, x)), expected)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the others know their shapes")
def test_rows_of_images_whose_number_is_open():
    import tensorflow as tf

    signature = [tf.TensorSpec((None, None, 2), tf.float32), tf.TensorSpec((None, 2), tf.int32)]
    x = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    found = tf.function(rows_of, signature, autograph=False)(
        x, np.array([[2, 0], [1, 1]], np.int32)
    )
    np.testing.assert_array_equal(found, [[[4, 5], [0, 1]], [[8, 9], [8, 9]]])
