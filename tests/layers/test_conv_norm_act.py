"""`ConvNormAct` equals PyTorch's convolution, batch normalization and activation."""

import keras
import numpy as np
import pytest

from visiongarden.layers import ConvNormAct, DepthwiseNormAct, activation

torch = pytest.importorskip("torch")

ACTIVATIONS = {
    "silu": torch.nn.functional.silu,
    "leaky_relu": lambda x: torch.nn.functional.leaky_relu(x, 0.1),
    "mish": torch.nn.functional.mish,
    None: lambda x: x,
}


def equals_torch(layer, channels, activation="silu", **convolution):
    """Compares a layer with random weights; depthwise kernels are PyTorch's with many groups."""
    rng = np.random.default_rng(0)
    layer.build((None, 9, 12, channels))
    layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.weights])
    x = rng.normal(size=(2, 9, 12, channels)).astype(np.float32)
    kernel, gamma, beta, mean, var = (
        torch.tensor(keras.ops.convert_to_numpy(w.value))
        for w in (
            layer.conv.kernel,
            layer.norm.gamma,
            layer.norm.beta,
            layer.norm.moving_mean,
            layer.norm.moving_variance,
        )
    )
    order = (2, 3, 0, 1) if isinstance(layer, DepthwiseNormAct) else (3, 2, 0, 1)
    wanted = torch.nn.functional.conv2d(
        torch.tensor(x).permute(0, 3, 1, 2), kernel.permute(order), **convolution
    )
    wanted = torch.nn.functional.batch_norm(wanted, mean, var, gamma, beta, eps=1e-3)
    wanted = ACTIVATIONS[activation](wanted).permute(0, 2, 3, 1).numpy()
    found = keras.ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.backends
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("kernel", "strides"), [(1, 1), (3, 1), (3, 2), (1, 2), (6, 2)])
def test_equals_torch(kernel, strides, activation):
    layer = ConvNormAct(4, kernel, strides, activation)
    equals_torch(layer, 3, activation, stride=strides, padding=kernel // 2)


@pytest.mark.backends
@pytest.mark.parametrize("strides", [1, 2])
def test_groups(strides):
    equals_torch(ConvNormAct(6, 3, strides, groups=2), 4, stride=strides, padding=1, groups=2)


@pytest.mark.backends
def test_dilation():
    equals_torch(ConvNormAct(6, 3, dilation=2), 4, padding=2, dilation=2)


@pytest.mark.backends
@pytest.mark.parametrize(("kernel", "strides"), [(3, 1), (3, 2), (5, 2)])
def test_depthwise(kernel, strides):
    layer = DepthwiseNormAct(kernel, strides)
    equals_torch(layer, 4, stride=strides, padding=kernel // 2, groups=4)


@pytest.mark.backends
def test_silu_has_keras_numbers_and_gradient():
    x = np.random.default_rng(0).normal(0, 5, (2, 3, 4, 5)).astype(np.float32)
    layer = activation("silu", name="act")
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    for training in (False, True):
        found = keras.ops.convert_to_numpy(layer(x, training=training))
        np.testing.assert_allclose(found, x / (1 + np.exp(-x)), rtol=1e-5, atol=1e-6)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        for dtype, tolerance in ((tf.float32, 1e-6), (tf.bfloat16, 2e-2)):
            value = tf.cast(x, dtype)
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(value)
                one = type(layer)(dtype=dtype.name)(value, training=True)
                two = tf.nn.silu(value)
            pair = [tf.cast(tape.gradient(y, value), tf.float32) for y in (one, two)]
            np.testing.assert_allclose(*pair, rtol=tolerance, atol=tolerance)
