"""Pooling and upsampling equal Keras's on each backend."""

import keras
import numpy as np
import pytest

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
