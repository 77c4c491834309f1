"""Every block computes the same once folded, whatever its moving statistics are."""

import keras
import numpy as np
import pytest
from tests.testing.test_valid import LAYERS, OPTIONS

import visiongarden as vg
from visiongarden.layers.fold import folding
from visiongarden.models.fuse import _values
from visiongarden.testing.subject import Subject

QUICK = (
    vg.layers.ConvNormAct,
    vg.layers.DepthwiseNormAct,
    vg.blocks.RepConv,
    vg.blocks.RepDepthwise,
)


def spread(model, rng):
    """Statistics over five orders of magnitude, and kernels that keep the scale of their input."""
    for weight in model.weights:
        name = weight.path.rpartition("/")[2]
        if name == "moving_variance":
            weight.assign(10 ** rng.uniform(-4, 1, weight.shape))
        elif name == "gamma":
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif name in ("moving_mean", "beta", "bias"):
            weight.assign(rng.normal(0, 1, weight.shape))
        else:
            weight.assign(rng.normal(0, np.prod(weight.shape[:-1]) ** -0.5, weight.shape))


@pytest.mark.parametrize(
    "cls",
    [pytest.param(cls, marks=[] if cls in QUICK else pytest.mark.slow) for cls in LAYERS],
    ids=lambda cls: cls.__name__,
)
def test_a_folded_block_is_within_a_ten_thousandth(cls):
    subject, rng = Subject(cls, **OPTIONS.get(cls.__name__, {})), np.random.default_rng(0)
    model = subject.model(subject.fresh())
    with folding():
        folded = subject.model(subject.fresh())
    if len(model.weights) == len(folded.weights):
        pytest.skip("nothing folds")
    assert not [weight.path for weight in folded.weights if "moving" in weight.path]
    spread(model, rng)
    values = _values(model)
    for weight in folded.weights:
        weight.assign(values[weight.path])
    outputs = (keras.tree.flatten(m(*subject.tensors(), training=False)) for m in (model, folded))
    for wanted, found in zip(*outputs, strict=True):
        wanted, found = keras.ops.convert_to_numpy(wanted), keras.ops.convert_to_numpy(found)
        assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()
