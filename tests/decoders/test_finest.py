"""Decoders that merge all levels into the finest one, compared with their papers."""

import pytest

import visiongarden as vg

LEVELS = ("p2", "p3", "p4", "p5")
FEATURES = vg.backbones.ResNet(depth=50, levels=LEVELS).spec()


@pytest.mark.parametrize(
    ("decoder", "channels"),
    [
        (vg.decoders.SemanticFPN(), 128),
        (vg.decoders.UNet(), 64),
        (vg.decoders.DeepLabV3Plus(levels=LEVELS), 256),
    ],
    ids=lambda value: str(value),
)
def test_the_finest_level_is_passed_on(decoder, channels):
    spec = decoder.spec(FEATURES)
    assert list(spec) == ["p2"]
    assert (spec["p2"].channels, spec["p2"].stride) == (channels, 4)


def test_semantic_fpn_has_as_many_convolutions_as_halvings():
    """Kirillov et al. 2019, section 3.1: three upsampling stages from 1/32, two from 1/16, ..."""
    model = vg.decoders.SemanticFPN(channels=8, pyramid_channels=8).as_model(FEATURES)
    names = [layer.name for layer in model.layers]
    for level, convolutions, ups in (("p2", 1, 0), ("p3", 1, 1), ("p4", 2, 2), ("p5", 3, 3)):
        assert sum(name.startswith(f"{level}_conv") for name in names) == convolutions
        assert sum(name.startswith(f"{level}_up") for name in names) == ups


def test_unet_doubles_its_channels():
    """Ronneberger et al. 2015, figure 1: 64, 128, 256, 512 from the finest level down."""
    model = vg.decoders.UNet().as_model(FEATURES)
    widths = [model.get_layer(f"{level}_conv2").output.shape[-1] for level in LEVELS[:-1]]
    assert widths == [64, 128, 256]


def test_aspp_has_the_papers_branches():
    """Chen et al. 2017, section 3.3: 1×1, three atrous 3×3, the image's mean: five of 256."""
    block = vg.blocks.ASPP(256)
    assert block.compute_output_shape((None, 16, 16, 512)) == (None, 16, 16, 256)
    block.build((None, 16, 16, 512))
    assert [hole.conv.dilation_rate for hole in block.holes] == [(6, 6), (12, 12), (18, 18)]
    assert block.out.conv.kernel.shape == (1, 1, 5 * 256, 256)


def test_deeplab_matches_the_paper():
    features = vg.backbones.ResNet(depth=18, levels=("p2", "p4")).spec()
    decoder = vg.decoders.DeepLabV3Plus()
    assert list(decoder.spec(features)) == ["p2"]
    joined = decoder.as_model(features).get_layer("join").output.shape
    assert joined[-1] == 256 + 48
