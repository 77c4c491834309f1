"""Extra levels of the feature pyramid."""

import keras
import numpy as np
import pytest
import torch

import visiongarden as vg
from visiongarden.types import FeatureSpec, LevelSpec

SPEC = FeatureSpec({"p4": LevelSpec(8, 16), "p5": LevelSpec(12, 32)})
RNG = np.random.default_rng(0)
MAPS = {
    "p4": RNG.normal(size=(1, 6, 10, 8)).astype(np.float32),
    "p5": RNG.normal(size=(1, 3, 5, 12)).astype(np.float32),
}


def run(**fields):
    decoder = vg.decoders.FPN(channels=4, levels=("p4", "p5"), **fields)
    model = decoder.as_model(SPEC, image_size=(96, 160))
    for weight in model.weights:
        weight.assign(RNG.normal(size=weight.shape))
    return model, {n: keras.ops.convert_to_numpy(x) for n, x in model(MAPS).items()}


def by_torch(x, layer):
    kernel, bias = (torch.tensor(keras.ops.convert_to_numpy(w)) for w in layer.weights)
    x = torch.tensor(x).permute(0, 3, 1, 2)
    x = torch.nn.functional.conv2d(x, kernel.permute(3, 2, 0, 1), bias, stride=2, padding=1)
    return x.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("source", ["output", "input"])
def test_strided_convolutions_equal_those_of_torch(source):
    model, maps = run(extra_levels=2, extra_levels_from=source)
    start = maps["p5"] if source == "output" else MAPS["p5"]
    p6 = by_torch(start, model.get_layer("out_p6"))
    assert maps["p6"] == pytest.approx(p6, abs=1e-4)
    p7 = by_torch(np.maximum(p6, 0), model.get_layer("out_p7"))
    assert maps["p7"] == pytest.approx(p7, abs=1e-3)
    assert maps["p6"].shape == (1, 2, 3, 4)


def test_max_pooling_takes_every_second_cell_without_weights():
    model, maps = run(extra_levels=1, extra_levels_by="max_pooling")
    assert np.array_equal(maps["p6"], maps["p5"][:, ::2, ::2])
    plain, _ = run()
    assert model.count_params() == plain.count_params()


def test_levels_are_those_of_the_backbone_and_the_added_ones():
    decoder = vg.decoders.FPN(levels=("p4", "p5"), extra_levels=3)
    assert decoder.output_levels == ("p4", "p5", "p6", "p7", "p8")
