"""`BatchNorm` equals Keras's layer: outputs, moving averages, gradients, mixed precision."""

import keras
import numpy as np
import pytest
from keras import ops

from visiongarden.layers import BatchNorm


def pair(shape, **kwargs):
    rng = np.random.default_rng(0)
    layers = keras.layers.BatchNormalization(**kwargs), BatchNorm(**kwargs)
    weights = None
    for layer in layers:
        layer.build(shape)
        if weights is None:
            weights = [rng.uniform(0.5, 1.5, w.shape) for w in layer.weights]
        layer.set_weights(weights)
    return layers


def near(layers, inputs, training, atol=1e-5):
    outputs = [ops.convert_to_numpy(layer(inputs, training=training)) for layer in layers]
    assert outputs[0].dtype == outputs[1].dtype
    np.testing.assert_allclose(*(x.astype(np.float32) for x in outputs), rtol=atol, atol=atol)
    for theirs, ours in zip(*(layer.weights for layer in layers), strict=True):
        theirs, ours = ops.convert_to_numpy(theirs.value), ops.convert_to_numpy(ours.value)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.backends
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("shape", "kwargs"),
    [
        ((2, 5, 7, 3), {}),
        ((2, 5, 7, 3), {"scale": False, "momentum": 0.9}),
        ((2, 5, 7, 3), {"center": False, "epsilon": 1e-5}),
        ((1, 1, 8, 4), {}),
        ((4, 6), {}),
        ((2, 3, 5, 5), {"axis": 1}),
        ((2, 5, 7, 3), {"trainable": False}),
    ],
)
def test_same_numbers(shape, kwargs, training):
    rng = np.random.default_rng(1)
    layers = pair(shape, **kwargs)
    for _ in range(3):
        near(layers, rng.normal(0, 2, shape).astype(np.float32), training)


@pytest.mark.backends
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("policy", "atol"), [("mixed_bfloat16", 2e-2), ("mixed_float16", 3e-3)])
def test_mixed_precision(policy, atol, training):
    layers = pair((2, 5, 7, 3), dtype=policy)
    x = np.random.default_rng(1).normal(1, 1, (2, 5, 7, 3)).astype(np.float32)
    x = ops.cast(x, policy.removeprefix("mixed_"))
    near(layers, x, training, atol)


@pytest.mark.backends
def test_same_steps_of_training():
    histories = []
    for layer in pair((None, None, None, 3)):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((None, None, 3)), layer, keras.layers.Conv2D(2, 3)])
        model.compile(keras.optimizers.SGD(0.1), "mse")
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(8, 6, 7, 3)), rng.normal(size=(8, 4, 5, 2))
        model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
        histories.append([ops.convert_to_numpy(w.value) for w in model.weights])
    for theirs, ours in zip(*histories, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
