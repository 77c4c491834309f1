"""Every block: shape, number of weights from the paper's table, gradients, reopening."""

import keras
import numpy as np
import pytest

from visiongarden import blocks, registry
from visiongarden.errors import UserError


def conv(kernel, inputs, outputs):
    """Trainable weights of one ConvNormAct: kernel, and scale and shift of the normalisation."""
    return kernel * kernel * inputs * outputs + 2 * outputs


# block, channels in, output (height, width, channels) of an 8 × 12 input, trainable weights
TABLE = [
    (blocks.Residual(16), 16, (8, 12, 16), conv(1, 16, 8) + conv(3, 8, 16)),
    (
        blocks.Residual(16, 1.0, (3, 3), shortcut=False),
        8,
        (8, 12, 16),
        conv(3, 8, 16) + conv(3, 16, 16),
    ),
    (
        blocks.DarknetStage(16, 2),
        8,
        (4, 6, 16),
        conv(3, 8, 16) + 2 * (conv(1, 16, 8) + conv(3, 8, 16)),
    ),
    (
        blocks.CSP(16, 2),
        8,
        (8, 12, 16),
        2 * conv(1, 8, 8) + 2 * (conv(1, 8, 8) + conv(3, 8, 8)) + conv(1, 16, 16),
    ),
    (
        blocks.C2f(16, 2),
        8,
        (8, 12, 16),
        conv(1, 8, 16) + 4 * conv(3, 8, 8) + conv(1, 32, 16),
    ),
    (blocks.SPP(16), 8, (8, 12, 16), conv(1, 8, 8) + conv(1, 32, 16)),
    (blocks.SPPF(16), 8, (8, 12, 16), conv(1, 8, 8) + conv(1, 32, 16)),
]
IDS = [f"{type(row[0]).__name__}{i}" for i, row in enumerate(TABLE)]


def copy(block):
    return type(block).from_config(block.get_config())


@pytest.mark.backends
@pytest.mark.parametrize(("block", "channels", "shape", "count"), TABLE, ids=IDS)
def test_shape_and_weights(block, channels, shape, count):
    for sides in [(8, 12), (None, None)]:
        fresh = copy(block)
        fresh.build((None, *sides, channels))
        assert sum(int(np.prod(w.shape)) for w in fresh.trainable_weights) == count
        assert tuple(fresh(np.zeros((2, 8, 12, channels), np.float32)).shape) == (2, *shape)
    assert copy(block).compute_output_shape((None, 8, 12, channels)) == (None, *shape)


@pytest.mark.parametrize(("block", "channels", "shape", "count"), TABLE, ids=IDS)
def test_every_weight_gets_a_gradient(block, channels, shape, count):
    inputs = keras.Input((8, 12, channels))
    model = keras.Model(inputs, copy(block)(inputs))
    model.compile(keras.optimizers.SGD(1.0), "mse")
    before = [w.copy() for w in model.get_weights()]
    names = [w.path for w in model.weights]
    trainable = {w.path for w in model.trainable_weights}
    rng = np.random.default_rng(0)
    model.train_on_batch(
        rng.normal(size=(4, 8, 12, channels)), rng.normal(size=(4, *shape)) * 5 + 3
    )
    still = [
        n
        for n, a, b in zip(names, before, model.get_weights(), strict=True)
        if n in trainable and np.array_equal(a, b)
    ]
    assert not still


@pytest.mark.backends
@pytest.mark.parametrize(("block", "channels", "shape", "count"), TABLE, ids=IDS)
def test_reopens_with_the_same_numbers(tmp_path, block, channels, shape, count):
    inputs = keras.Input((None, None, channels))
    model = keras.Model(inputs, copy(block)(inputs))
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    x = np.random.default_rng(1).random((1, 8, 12, channels), dtype=np.float32)
    np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (model(x), again(x))))


def test_spp_and_sppf_pool_alike():
    """SPPF's three 5 × 5 poolings in a row see 5, 9 and 13 cells, which is SPP's own set."""
    rng = np.random.default_rng(0)
    spp, sppf = blocks.SPP(8), blocks.SPPF(8)
    x = rng.random((1, 16, 16, 4), dtype=np.float32)
    spp(x), sppf(x)
    sppf.set_weights(spp.get_weights())
    np.testing.assert_allclose(
        *(keras.ops.convert_to_numpy(block(x)) for block in (spp, sppf)), atol=1e-6
    )


def test_a_shortcut_to_other_channels_is_refused():
    with pytest.raises(UserError, match="different shapes"):
        blocks.Residual(16).build((None, 8, 8, 8))


def test_every_block_is_registered():
    known = {r.cls for r in registry.registered().values()}
    assert all(getattr(blocks, name) in known for name in blocks.__all__)
