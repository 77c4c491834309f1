"""Sound layers pass: those of the zoo of sound ones, and every registered one of our own."""

import keras
import pytest
from tests import zoo_of_valid_layers as zoo

import visiongarden as vg
from visiongarden import registry
from visiongarden.testing import check, check_many

GIVEN = {
    "ResNet": {"config": {"depth": 18, "levels": ("p2", "p3", "p4", "p5")}},
    "CBFuse": {
        "config": {"factors": (2, 4)},
        "inputs": [(2, 16, 24, 8), (2, 8, 12, 8), (2, 4, 6, 8)],
    },
}
"""What suits a class, where a guess would not; parts with a width are made narrow besides."""
LARGE = {"CompositeGELAN", "Darknet53", "KerasApplication"}
"""Whose size no field changes; their stages and their kinds are checked by others."""
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


def narrow(cls):
    sizes = {"width": 0.0625, "depth": 0.33}
    fields = cls.model_fields if issubclass(cls, vg.parts.Part) else {}
    return {n: v for n, v in sizes.items() if n in fields and fields[n].annotation is float}


OWN = own()


LAYERS = [cls for cls in OWN if issubclass(cls, keras.layers.Layer)]
PARTS = [cls for cls in OWN if cls not in LAYERS]
SMALL = [*zoo.ZOO, *LAYERS]


@pytest.fixture(scope="session")
def reports():
    items = [{"source": cls} | options for cls, options in zoo.ZOO.items()]
    items += [{"source": cls} | GIVEN.get(cls.__name__, {}) for cls in LAYERS]
    found = check_many(items, backends=("tensorflow",), skip=("onnx", "jit"))
    return dict(zip(SMALL, found, strict=True))


# One worker makes all the reports, and one fresh process.
@pytest.mark.slow
@pytest.mark.xdist_group("sound")
@pytest.mark.parametrize("cls", SMALL, ids=lambda cls: cls.__name__)
def test_layers_are_sound(reports, cls):
    assert reports[cls].ok, reports[cls]


# That parts reopen in a fresh process and keep precision is held model by model elsewhere.
@pytest.mark.slow
@pytest.mark.parametrize("cls", PARTS, ids=lambda cls: cls.__name__)
def test_parts_are_sound(cls):
    options = {"config": narrow(cls)} | GIVEN.get(cls.__name__, {})
    skip = ("onnx", "jit", "mixed_bfloat16", "mixed_float16")
    report = check(cls, backends=(), skip=skip, **options)
    assert report.ok, report


@pytest.mark.slow
def test_the_same_numbers_on_every_backend():
    blocks = (vg.blocks.C2f, vg.blocks.SPP, vg.blocks.RepConv, vg.layers.Convolution)
    for report in check_many(blocks, backends="all"):
        assert report.ok, report


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
