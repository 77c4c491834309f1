"""Squeeze-and-excitation: the equations of Hu et al. 2018, computed in NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import visiongarden as vg


@pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid"])
def test_equations(gate):
    rng = np.random.default_rng(0)
    layer = vg.layers.SqueezeExcite(6, hidden=2, gate=gate)
    x = rng.normal(size=(3, 5, 7, 6)).astype(np.float32)
    layer.build(x.shape)
    layer.set_weights([rng.normal(size=w.shape).astype(np.float32) for w in layer.get_weights()])
    w1, b1, w2, b2 = (w.astype(np.float64) for w in layer.get_weights())
    squeezed = x.astype(np.float64).mean((1, 2))
    excited = np.maximum(squeezed @ w1[0, 0] + b1, 0) @ w2[0, 0] + b2
    weights = 1 / (1 + np.exp(-excited))
    if gate == "hard_sigmoid":
        weights = np.clip(excited / 6 + 0.5, 0, 1)
    found = keras.ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(found, x * weights[:, None, None], rtol=1e-5, atol=1e-6)
    assert layer.count_params() == 2 * 6 * 2 + 2 + 6


def test_its_weights_in_a_block():
    """Hu et al. 2018, section 4: 2 C²/r weights for C channels, and here the biases."""
    block = vg.blocks.InvertedResidual(16, hidden=64, squeeze=16)
    plain = vg.blocks.InvertedResidual(16, hidden=64)
    for each in (block, plain):
        each.build((None, 8, 8, 16))
    assert block.count_params() - plain.count_params() == 2 * 64 * 16 + 16 + 64
