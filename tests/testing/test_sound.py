"""Sound layers pass: those of the zoo of sound ones, and every registered one of our own."""

import keras
import pytest
from tests import zoo_of_sound_layers as zoo

import visiongarden as vg
from visiongarden import registry
from visiongarden.testing import check, check_many

SMALL = {
    "ResNet": {"depth": 18, "levels": ("p2", "p3", "p4", "p5")},
    "CSPDarknet": {"depth": 0.33, "width": 0.0625},
}
"""Sizes where the defaults are large; the same classes, fewer channels."""
LARGE = {"Darknet53"}
"""Whose size no field changes; its stages and its kind are checked by others."""
ROOMS = ("layers", "blocks", "backbones", "decoders", "heads")


def own():
    vg.layers, vg.blocks, vg.backbones, vg.decoders, vg.heads  # noqa: B018  registers them
    return [
        r.cls
        for r in registry.registered().values()
        if r.module.split(".")[:1] == ["visiongarden"]
        and r.module.split(".")[1] in ROOMS
        and issubclass(r.cls, (keras.layers.Layer, vg.parts.Part))
        and r.cls.__name__ not in LARGE
    ]


OWN = own()


@pytest.fixture(scope="module")
def reports():
    items = [{"source": cls} | options for cls, options in zoo.ZOO.items()]
    items += [{"source": cls, "config": SMALL.get(cls.__name__)} for cls in OWN]
    return dict(zip([*zoo.ZOO, *OWN], check_many(items, skip=("onnx", "jit")), strict=True))


@pytest.mark.parametrize("cls", [*zoo.ZOO, *OWN], ids=lambda cls: cls.__name__)
def test_sound(reports, cls):
    assert reports[cls].ok, reports[cls]


@pytest.mark.backends
@pytest.mark.parametrize(
    "cls",
    [
        zoo.WithDropout,
        zoo.OverTime,
        zoo.TwoInputs,
        zoo.AttentionBlock,
        zoo.MovingMean,
        zoo.LayerScale,
        zoo.DropPath,
        vg.blocks.Residual,
        vg.decoders.FPN,
    ],
    ids=lambda cls: cls.__name__,
)
def test_sound_on_every_backend(cls):
    report = check(cls, backends=(), **zoo.ZOO.get(cls, {}))
    assert report.ok, report
