"""Stochastic depth: one random number per image, the mean is kept, inference is unchanged."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import visiongarden as vg


def outputs(layer, x, training):
    return keras.ops.convert_to_numpy(layer(x, training=training))


@pytest.mark.backends
@pytest.mark.parametrize("shape", [(4000, 3, 2, 2), (4000, 5)])
def test_whole_branches_are_skipped(shape):
    layer = vg.layers.StochasticDepth(0.2, seed=1)
    x = np.random.default_rng(0).uniform(1, 2, shape).astype(np.float32)
    found = outputs(layer, x, training=True)
    axes = tuple(range(1, len(shape)))
    kept = found.any(axes)
    np.testing.assert_allclose(found[kept], x[kept] / 0.8, rtol=1e-6)
    assert not found[~kept].any()
    # 4,000 draws: the standard deviation of the fraction is 0.0063.
    assert abs(kept.mean() - 0.8) < 4 * 0.0063
    np.testing.assert_array_equal(outputs(layer, x, training=False), x)


def test_the_config_has_the_arguments_alone():
    config = vg.layers.StochasticDepth(0.25, seed=3, name="skip").get_config()
    assert {name: config[name] for name in ("rate", "seed", "name")} == {
        "rate": 0.25,
        "seed": 3,
        "name": "skip",
    }
    again = vg.layers.StochasticDepth.from_config(config)
    assert (again.rate, again.seed) == (0.25, 3)


def test_in_a_block_the_shortcut_is_always_there():
    block = vg.blocks.InvertedResidual(4, hidden=8, shortcut=True, drop=0.5)
    x = np.random.default_rng(0).normal(size=(64, 6, 6, 4)).astype(np.float32)
    block.build(x.shape)
    # Training statistics of one batch would mix the images, so that normalization is frozen.
    for layer in (block.expand, block.depth, block.project):
        layer.norm.trainable = False
    trained = keras.ops.convert_to_numpy(block(x, training=True))
    branch = keras.ops.convert_to_numpy(block(x, training=False)) - x
    skipped = np.isclose(trained, x).all((1, 2, 3))
    np.testing.assert_allclose(trained[~skipped], (x + 2 * branch)[~skipped], atol=1e-4)
    assert 16 < skipped.sum() < 48
