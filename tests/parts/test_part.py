"""Parts as values: fields, specs without weights, config, measured strides."""

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.errors import ConfigError, ContractError, UserError
from visiongarden.layers import ConvNormAct
from visiongarden.types import FeatureSpec, LevelSpec


@vg.register(package="tests")
class Strided(vg.Backbone):
    """p3 as it should be, p4 with the stride of `wrong`."""

    wrong: int = 2

    def wire(self, images):
        p3 = ConvNormAct(8, 3, strides=2, name="a")(images)
        p3 = ConvNormAct(8, 3, strides=2, name="b")(p3)
        p3 = ConvNormAct(8, 3, strides=2, name="c")(p3)
        return {"p3": p3, "p4": ConvNormAct(16, 3, strides=self.wrong, name="d")(p3)}


def test_one_number_is_a_square_image():
    assert Strided(levels=("p3",)).as_model(image_size=64).input_shape == (None, 64, 64, 3)


@pytest.mark.parametrize(
    ("backbone", "spec"),
    [
        (vg.backbones.CSPDarknet(depth=0.33, width=0.25), {"p3": 64, "p4": 128, "p5": 256}),
        (vg.backbones.CSPDarknet(width=1.0, levels=("p2", "p3")), {"p2": 128, "p3": 256}),
        (vg.backbones.Darknet53(), {"p3": 256, "p4": 512, "p5": 1024}),
        (vg.backbones.ResNet(depth=18), {"p3": 128, "p4": 256, "p5": 512}),
        (vg.backbones.ResNet(depth=50), {"p3": 512, "p4": 1024, "p5": 2048}),
    ],
)
def test_spec_of_published_backbones(backbone, spec):
    wanted = {level: LevelSpec(channels, 2 ** int(level[1])) for level, channels in spec.items()}
    assert backbone.spec() == FeatureSpec(wanted)


def test_spec_makes_no_weights(monkeypatch):
    made = []
    monkeypatch.setattr(
        keras.initializers.GlorotUniform, "__call__", lambda *a, **k: made.append(1)
    )
    vg.backbones.Darknet53().spec()
    assert not made


def test_a_wrong_stride_is_found_by_shapes():
    assert list(Strided(levels=("p3", "p4")).spec()) == ["p3", "p4"]
    with pytest.raises(ContractError) as error:
        Strided(levels=("p3", "p4"), wrong=1).spec()
    assert "p4" in str(error.value)
    assert "stride 16" in str(error.value)


def test_values_compare_and_print_the_given_fields():
    neck = vg.decoders.FPN(channels=96)
    assert neck == vg.decoders.FPN(channels=96) != vg.decoders.FPN()
    assert repr(neck) == "FPN(channels=96)"
    assert vg.decoders.FPN.from_config(neck.get_config()) == neck


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vg.decoders.FPN(chanels=96), "channels"),
        (lambda: vg.decoders.FPN(channels=0), "greater than 0"),
        (lambda: vg.decoders.FPN(channels=10**9), "65536"),
        (lambda: vg.decoders.FPN(channels="many"), "whole number"),
        (lambda: vg.backbones.ResNet(levels=("p3", "p3")), "without duplicates"),
        (lambda: vg.backbones.ResNet(depth=17), "18, 34, 50, 101 or 152"),
        (lambda: vg.heads.AnchorFree(), "num_classes"),
    ],
)
def test_wrong_fields(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_an_invalid_level_name():
    with pytest.raises(UserError, match="is not a valid level name"):
        vg.backbones.ResNet(levels=("stage3",))


def test_a_part_alone_is_a_plain_model():
    model = vg.backbones.CSPDarknet(width=0.125).as_model(image_size=(64, 96))
    maps = model(np.zeros((1, 64, 96, 3), np.float32))
    assert {level: tuple(x.shape) for level, x in maps.items()} == {
        "p3": (1, 8, 12, 32),
        "p4": (1, 4, 6, 64),
        "p5": (1, 2, 3, 128),
    }


def test_paths_do_not_depend_on_what_was_built_before():
    paths = []
    for _ in range(2):
        model = vg.backbones.ResNet(depth=18).as_model()
        paths.append([w.path for w in model.weights])
        keras.layers.Conv2D(1, 1)
    assert paths[0] == paths[1]
    assert all(path.startswith("backbone/") for path in paths[0])
