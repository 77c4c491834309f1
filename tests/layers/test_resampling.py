"""Pooling and upsampling equal Keras's on each backend."""

import keras
import numpy as np
import pytest

from visiongarden.backends.gradients import value_and_gradients
from visiongarden.layers import MaxPooling, Upsampling

X = np.random.default_rng(0).normal(size=(2, 9, 12, 5)).astype(np.float32) - 3


@pytest.mark.backends
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("size", "strides"), [(2, None), (3, 2), (5, 1), (13, 1), (2, 1)])
def test_max_pooling_equals_keras(size, strides, padding):
    if padding == "valid" and size > 9:
        pytest.skip("a window larger than the map")
    ours, keras_own = (
        kind(size, strides=strides, padding=padding)
        for kind in (MaxPooling, keras.layers.MaxPooling2D)
    )
    found, wanted = (keras.ops.convert_to_numpy(layer(X)) for layer in (ours, keras_own))
    np.testing.assert_array_equal(found, wanted)
    assert ours.compute_output_shape(X.shape) == wanted.shape


@pytest.mark.backends
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="the others run one operation")
@pytest.mark.parametrize(("x", "window"), [(X, 10), (X, 13), (X.astype(np.int32), 2), (X, 9)])
def test_max_pooling_of_other_inputs(x, window):
    found, wanted = (
        keras.ops.convert_to_numpy(kind(window, strides=1, dtype=x.dtype.name)(x))
        for kind in (MaxPooling, keras.layers.MaxPooling2D)
    )
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype == wanted.dtype


def gradient_of_pooling(x, above, window, strides, tops):
    """Pass each element of `above` to the maximum of its window, the first one of equal values."""
    gradient = np.zeros_like(x)
    for image, row, column, channel in np.ndindex(above.shape):
        best = None
        for i in range(row * strides - tops[0], row * strides - tops[0] + window):
            for j in range(column * strides - tops[1], column * strides - tops[1] + window):
                inside = 0 <= i < x.shape[1] and 0 <= j < x.shape[2]
                if inside and (best is None or x[image, i, j, channel] > x[image, *best, channel]):
                    best = i, j
        gradient[image, *best, channel] += above[image, row, column, channel]
    return gradient


@pytest.mark.backends
@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize(
    ("window", "strides", "padding", "tops"),
    [
        (2, 2, "valid", (0, 0)),
        (3, 2, "valid", (0, 0)),
        (3, 2, "same", (1, 0)),  # padding of 1 and 1 for 9 rows, of 0 and 1 for 12 columns
        (5, 1, "same", (2, 2)),
        (2, 1, "same", (0, 0)),
        (1, 2, "valid", (0, 0)),
        (2, 3, "valid", (0, 0)),
    ],
)
def test_gradient_of_max_pooling(window, strides, padding, tops, equal):
    random = np.random.default_rng(1)
    x = random.integers(0, 3, X.shape).astype(np.float32) if equal else X
    layer = MaxPooling(window, strides=strides, padding=padding)
    above = random.normal(size=layer.compute_output_shape(X.shape)).astype(np.float32)

    def total(given):
        return keras.ops.sum(layer(given[0]) * keras.ops.convert_to_tensor(above))

    _, (found,) = value_and_gradients(total)([x])
    wanted = gradient_of_pooling(x, above, window, strides, tops)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.backends
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("size", [2, 4, (1, 3)])
def test_upsampling_equals_keras(size, interpolation):
    ours, keras_own = (
        kind(size, interpolation=interpolation) for kind in (Upsampling, keras.layers.UpSampling2D)
    )
    found, wanted = (keras.ops.convert_to_numpy(layer(X)) for layer in (ours, keras_own))
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("size", [2, 3, (1, 4)])
def test_upsampling_s_gradient_equals_keras(size, compiled, dtype):
    tf = pytest.importorskip("tensorflow")
    weight = np.random.default_rng(1).normal(size=(2, 36, 48, 5)).astype(np.float32)
    x = tf.cast(X, dtype)

    def gradient(layer):
        @tf.function(
            jit_compile=compiled, input_signature=[tf.TensorSpec([2, None, None, 5], dtype)]
        )
        def run(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x)
                total = tf.reduce_sum(
                    y * tf.cast(weight, dtype)[:, : tf.shape(y)[1], : tf.shape(y)[2]]
                )
            return tape.gradient(total, x)

        return tf.cast(run(x), "float32").numpy()

    ours, keras_own = (kind(size, dtype=dtype) for kind in (Upsampling, keras.layers.UpSampling2D))
    near = {"float32": 1e-5, "float16": 1e-2, "bfloat16": 8e-2}[dtype]
    np.testing.assert_allclose(gradient(ours), gradient(keras_own), rtol=near, atol=near)


def test_configs_are_complete():
    for layer in (MaxPooling(3, strides=1, padding="same", name="a"), Upsampling(2, name="b")):
        again = type(layer).from_config(layer.get_config())
        assert again.get_config() == layer.get_config()
        assert keras.saving.get_registered_name(type(layer)).startswith("visiongarden>")
