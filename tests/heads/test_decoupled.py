"""The decoupled head of YOLOX: its channels."""

import pytest

import visiongarden as vg
from visiongarden.types import FeatureSpec, LevelSpec


@pytest.mark.parametrize("width", [0.25, 0.375, 0.5, 1.0])
def test_the_default_channels_are_those_of_the_published_sizes(width):
    channels = int(256 * width)
    maps = {f"p{n}": LevelSpec(channels * 2 ** (n - 3), 2**n) for n in (3, 4, 5)}
    published, default = (
        vg.heads.Decoupled(num_classes=80, **fields).as_model(FeatureSpec(maps), image_size=64)
        for fields in ({"width": width}, {})
    )
    assert default.count_params() == published.count_params()


def test_the_width_is_a_field():
    maps = FeatureSpec({"p3": LevelSpec(16, 8)})
    model = vg.heads.Decoupled(num_classes=3, width=0.125).as_model(maps, image_size=64)
    # Stem 1×1, two branches of two 3×3 (each with 4 vectors of batch norm), three 1×1 predictions.
    convolutions = 16 * 32 + 4 * 9 * 32 * 32 + 5 * 4 * 32
    assert model.count_params() == convolutions + (32 + 1) * (3 + 4 + 1)
