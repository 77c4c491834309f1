"""Every block has the shape and the weights of its paper, trains and reopens."""

import keras
import numpy as np
import pytest

from visiongarden import blocks, layers, registry
from visiongarden.errors import UserError


def conv(kernel, inputs, outputs):
    """Trainable weights of one ConvNormAct: kernel, and scale and shift of the normalization."""
    return kernel * kernel * inputs * outputs + 2 * outputs


def depth(kernel, channels):
    """The same of one DepthwiseNormAct."""
    return kernel * kernel * channels + 2 * channels


REP_UNIT = conv(3, 4, 4) + conv(1, 4, 4) + conv(3, 4, 4)
REP_CSP = 2 * conv(1, 8, 4) + REP_UNIT + conv(1, 8, 8)
CIB = 2 * depth(3, 8) + conv(1, 8, 16) + conv(1, 16, 8)
ATTENTION = conv(1, 8, 16) + depth(3, 8) + conv(1, 8, 8)

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
    (
        blocks.CSP(16, 1, kernel_sizes=(3, 3)),
        8,
        (8, 12, 16),
        2 * conv(1, 8, 8) + 2 * conv(3, 8, 8) + conv(1, 16, 16),
    ),
    (
        blocks.C3k2(16, 2, expansion=0.25),
        8,
        (8, 12, 16),
        conv(1, 8, 8) + 2 * (conv(3, 4, 2) + conv(3, 2, 4)) + conv(1, 16, 16),
    ),
    (
        blocks.C3k2(16, 1, nested=True),
        8,
        (8, 12, 16),
        conv(1, 8, 16) + 2 * conv(1, 8, 4) + 4 * conv(3, 4, 4) + conv(1, 8, 8) + conv(1, 24, 16),
    ),
    (blocks.RepConv(16), 8, (8, 12, 16), conv(3, 8, 16) + conv(1, 8, 16)),
    (blocks.RepDepthwise(), 8, (8, 12, 8), depth(7, 8) + depth(3, 8)),
    (blocks.RepResidual(4), 4, (8, 12, 4), REP_UNIT),
    (blocks.RepCSP(8, 1), 8, (8, 12, 8), REP_CSP),
    (
        blocks.ELAN(16, 8),
        8,
        (8, 12, 16),
        2 * conv(1, 8, 8) + 4 * conv(3, 8, 8) + conv(1, 32, 16),
    ),
    (
        blocks.ELAN(16, 8, 4, every=1),
        8,
        (8, 12, 16),
        2 * conv(1, 8, 8) + conv(3, 8, 4) + 3 * conv(3, 4, 4) + conv(1, 32, 16),
    ),
    (
        blocks.CSPELAN(16, 16, 8, 1),
        8,
        (8, 12, 16),
        conv(1, 8, 16) + 2 * (REP_CSP + conv(3, 8, 8)) + conv(1, 32, 16),
    ),
    (
        blocks.CSPELAN(16, 16, 8, 0),
        8,
        (8, 12, 16),
        conv(1, 8, 16) + 2 * conv(3, 8, 8) + conv(1, 32, 16),
    ),
    (
        blocks.SPPCSPC(8),
        8,
        (8, 12, 8),
        3 * conv(1, 8, 8) + 2 * conv(3, 8, 8) + conv(1, 32, 8) + conv(1, 16, 8),
    ),
    (
        blocks.SPPCSPC(8, plain=True),
        8,
        (8, 12, 8),
        2 * conv(1, 8, 8) + conv(1, 32, 8) + conv(1, 16, 8),
    ),
    (blocks.MPDown(16), 8, (4, 6, 16), 2 * conv(1, 8, 8) + conv(3, 8, 8)),
    (blocks.AConv(16), 8, (4, 6, 16), conv(3, 8, 16)),
    (blocks.ADown(16), 8, (4, 6, 16), conv(3, 4, 8) + conv(1, 4, 8)),
    (blocks.SCDown(16), 8, (4, 6, 16), conv(1, 8, 16) + depth(3, 16)),
    (blocks.CIB(8), 8, (8, 12, 8), CIB + depth(3, 16)),
    (blocks.CIB(8, large_kernel=True), 8, (8, 12, 8), CIB + depth(7, 16) + depth(3, 16)),
    (
        blocks.C2fCIB(16, 1, shortcut=False),
        8,
        (8, 12, 16),
        conv(1, 8, 16) + CIB + depth(3, 16) + conv(1, 24, 16),
    ),
    (blocks.SelfAttention(8, 2), 8, (8, 12, 8), ATTENTION),
    (
        blocks.AttentionUnit(8),
        8,
        (8, 12, 8),
        ATTENTION + conv(1, 8, 16) + conv(1, 16, 8),
    ),
    (
        blocks.PSA(16),
        16,
        (8, 12, 16),
        2 * conv(1, 16, 16) + ATTENTION + conv(1, 8, 16) + conv(1, 16, 8),
    ),
]
IDS = [f"{type(row[0]).__name__}{i}" for i, row in enumerate(TABLE)]
# Every sixth block is tested on JAX and PyTorch by the quick tests, the others by the slow ones.
ON_BACKENDS = [
    pytest.param(*row, id=name, marks=pytest.mark.slow_backends if i % 6 else pytest.mark.backends)
    for i, (name, row) in enumerate(zip(IDS, TABLE, strict=True))
]


def copy(block):
    return type(block).from_config(block.get_config())


@pytest.mark.slow_backends
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
    # Eager, because a graph is traced longer than one step takes.
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False, run_eagerly=True)
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


@pytest.mark.parametrize(("block", "channels", "shape", "count"), ON_BACKENDS)
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


@pytest.mark.backends
@pytest.mark.parametrize(
    "make",
    [
        lambda **kw: blocks.RepConv(6, **kw),
        lambda **kw: blocks.RepDepthwise((7, 3), **kw),
        lambda **kw: layers.ConvNormAct(4, 3, strides=2, groups=2, **kw),
        lambda **kw: layers.DepthwiseNormAct(5, **kw),
    ],
)
def test_folding_keeps_the_numbers(make):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 8, 12, 6)).astype(np.float32)
    block, folded = make(), make(folded=True)
    block(x)
    block.set_weights([rng.uniform(0.5, 2, w.shape) for w in block.weights])
    wanted, _ = block(x), folded(x)
    values = block.fold()
    assert {w.path.split("/", 1)[1] for w in folded.weights} == set(values)
    for weight in folded.weights:
        weight.assign(values[weight.path.split("/", 1)[1]])
    found, wanted = (keras.ops.convert_to_numpy(y) for y in (folded(x), wanted))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    again = type(folded).from_config(folded.get_config())
    again.build(x.shape)
    assert [w.shape for w in again.weights] == [w.shape for w in folded.weights]


@pytest.mark.backends
def test_attention_is_that_of_its_equation():
    """softmax(q k / sqrt(d)) v, head by head, over all cells."""
    rng = np.random.default_rng(0)
    q, k = rng.normal(size=(2, 1, 2, 3, 8)).astype(np.float32)
    v = rng.normal(size=(1, 2, 3, 4)).astype(np.float32)
    found = keras.ops.convert_to_numpy(blocks.Attend(2)([q, k, v]))
    for head in range(2):
        mine, theirs = (x.reshape(6, 8)[:, 4 * head : 4 * head + 4] for x in (q, k))
        weights = np.exp(mine @ theirs.T / 2)
        wanted = weights / weights.sum(1, keepdims=True) @ v.reshape(6, 4)[:, 2 * head :][:, :2]
        np.testing.assert_allclose(found.reshape(6, 4)[:, 2 * head :][:, :2], wanted, rtol=1e-4)


def test_heads_divide_the_channels():
    """400 channels halve to 200, which three heads of about 64 do not divide."""
    assert blocks.AttentionUnit(200).attention.attend.heads == 2
    assert blocks.AttentionUnit(288).attention.attend.heads == 4


@pytest.mark.backends
def test_links_of_two_backbones():
    """A 1×1 splits by channels; a coarser map is repeated, then added."""
    link = blocks.CBLinear((2, 3))
    one, two = link(np.ones((1, 2, 2, 4), np.float32))
    assert (one.shape[-1], two.shape[-1]) == (2, 3)
    fine, coarse = np.ones((1, 4, 4, 1), np.float32), np.arange(4.0).reshape(1, 2, 2, 1)
    fused = blocks.CBFuse((2,))([fine, coarse.astype(np.float32)])
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(fused)[0, :, :, 0],
        1 + np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]),
    )


@pytest.mark.backends
def test_border_cells_of_the_pooled_way_are_never_zero_for_padding():
    """`ADown` pools averages; at the border of a map of -1 the maximum is -1, not 0."""
    down = blocks.ADown(4)
    down(np.zeros((1, 6, 6, 4), np.float32))
    pooled = keras.ops.convert_to_numpy(down.pool(np.full((1, 5, 5, 2), -1, np.float32)))
    assert pooled.shape == (1, 3, 3, 2)
    assert (pooled == -1).all()


def test_a_shortcut_to_other_channels_is_refused():
    with pytest.raises(UserError, match="different shapes"):
        blocks.Residual(16).build((None, 8, 8, 8))


def test_every_block_is_registered():
    known = {r.cls for r in registry.registered().values()}
    assert all(getattr(blocks, name) in known for name in blocks.__all__)
