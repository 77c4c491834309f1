"""`BatchNorm` equals Keras's layer: outputs, moving averages, gradients, mixed precision."""

import keras
import numpy as np
import pytest
from keras import ops

from visiongarden.layers import BatchNorm, ConvNormAct
from visiongarden.layers.activations import Silu
from visiongarden.layers.batch_norm import normed


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


def steps(layer, activation, policy):
    """Return the output, gradients and moving averages of a training step of norm and SiLU."""
    rng = np.random.default_rng(3)
    keras.utils.set_random_seed(0)
    norm = layer(epsilon=1e-3, momentum=0.9, dtype=policy)
    image = keras.Input((6, 7, 4))
    act = activation(dtype=policy)
    scaled = keras.layers.Conv2D(4, 1, dtype=policy)(image)
    output = normed(scaled, norm, act, True) if layer is BatchNorm else act(norm(scaled))
    model = keras.Model(image, output)
    model.compile(keras.optimizers.SGD(0.5), "mse")
    x, y = rng.normal(1, 2, (5, 6, 7, 4)), rng.normal(size=(5, 6, 7, 4))
    losses = [model.train_on_batch(x, y) for _ in range(3)]
    return losses, [ops.convert_to_numpy(w.value) for w in model.weights]


@pytest.mark.backends
@pytest.mark.parametrize(
    ("policy", "rtol", "atol"), [("float32", 1e-5, 1e-5), ("mixed_bfloat16", 2e-2, 2e-2)]
)
def test_same_steps_with_silu(policy, rtol, atol):
    (theirs, weights), (ours, found) = (
        steps(layer, act, policy)
        for layer, act in (
            (keras.layers.BatchNormalization, lambda **k: keras.layers.Activation("silu", **k)),
            (BatchNorm, Silu),
        )
    )
    np.testing.assert_allclose(ours, theirs, rtol=rtol)
    for one, other in zip(weights, found, strict=True):
        np.testing.assert_allclose(other, one, rtol=rtol, atol=atol)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="joint on TensorFlow alone")
def test_silu_after_a_norm_is_part_of_its_operation():
    import tensorflow as tf

    layer = ConvNormAct(4)
    layer.build((None, 6, 7, 3))

    @tf.function(autograph=False)
    def step(x):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(layer(x, training=True))
        return tape.gradient(total, layer.trainable_weights[0].value)

    graph = step.get_concrete_function(tf.TensorSpec((None, 6, 7, 3))).graph
    kinds = [operation.type for operation in graph.get_operations()]
    # One call forward and one backward; norm and activation are within.
    assert kinds.count("PartitionedCall") + kinds.count("StatefulPartitionedCall") == 2
    assert not {"FusedBatchNormV3", "FusedBatchNormGradV3", "Sigmoid"} & set(kinds)
