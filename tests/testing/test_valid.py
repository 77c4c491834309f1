"""Valid layers pass: those of the zoo and every registered class of visiongarden."""

import keras
import pytest
from tests import zoo_of_valid_layers as zoo

import visiongarden as vg
from visiongarden import registry
from visiongarden.testing import check, check_many
from visiongarden.testing.subject import Subject

ANCHORS = {"p3": [(16, 16), (24, 12)], "p4": [(40, 40), (60, 30)]}
OPTIONS = {
    "ResNet": {"config": {"depth": 18, "levels": ("p2", "p3", "p4", "p5")}},
    "CBFuse": {
        "config": {"factors": (2, 4)},
        "inputs": [(2, 16, 24, 8), (2, 8, 12, 8), (2, 4, 6, 8)],
    },
    "Preprocess": {
        "config": {"preprocessing": vg.Preprocessing(mean=0.5).to_dict()},
        "inputs": (2, 16, 24, 3),
    },
    "FlattenRegions": {"inputs": (2, 5, 4, 4, 8)},
    "RegionMasks": {"inputs": (2, 5, 4, 4, 8)},
    "RoIAlign": {
        "config": {"strides": (4, 8), "output_size": 3},
        "inputs": [[(2, 16, 24, 8), (2, 8, 12, 8)], (2, 5, 4)],
    },
    "ProposeRegions": {
        "config": {"image_size": (64, 96), "anchors": ANCHORS, "per_level": 20, "count": 10},
        "inputs": [[(2, 8, 12, 2), (2, 4, 6, 2)], [(2, 8, 12, 2, 4), (2, 4, 6, 2, 4)]],
    },
    "RefineRegions": {
        "config": {"image_size": (64, 96), "delta_weights": (1, 1, 1, 1)},
        "inputs": [(2, 5, 4), (2, 5, 1, 4)],
    },
    "SelectRegions": {
        "config": {"image_size": (64, 96), "delta_weights": (1, 1, 1, 1), "count": 5},
        "inputs": [(2, 8, 4), (2, 8, 3), (2, 8, 3, 4)],
    },
}
"""Inputs and config of classes for which the guesses are not valid."""
WITHOUT_GRADIENT = {"ProposeRegions", "RefineRegions", "SelectRegions"}
"""Layers whose outputs are regions, through which no gradient passes."""
LARGE = {"CompositeGELAN", "Darknet53", "KerasApplication"}
"""Classes whose size no field changes; other tests check their blocks and variants."""
OF_OTHERS = {"CombinedHeads", "KerasHubBackbone", "KerasModel"}
"""Classes that contain other parts or a Keras model; other files test them."""
PACKAGES = ("layers", "blocks", "backbones", "decoders", "heads")


def registered_classes():
    vg.layers, vg.blocks, vg.backbones, vg.decoders, vg.heads  # noqa: B018  registers them
    return [
        r.cls
        for r in registry.registered().values()
        if r.module.split(".")[:1] == ["visiongarden"]
        and r.module.split(".")[1] in PACKAGES
        and issubclass(r.cls, (keras.layers.Layer, vg.parts.Part))
        and r.cls.__name__ not in LARGE | OF_OTHERS
    ]


def narrow(cls):
    sizes = {"width": 0.0625, "depth": 0.33}
    fields = cls.model_fields if issubclass(cls, vg.parts.Part) else {}
    return {n: v for n, v in sizes.items() if n in fields and fields[n].annotation is float}


CLASSES = registered_classes()


LAYERS = [
    cls
    for cls in CLASSES
    if issubclass(cls, keras.layers.Layer) and cls.__name__ not in WITHOUT_GRADIENT
]
OF_REGIONS = [cls for cls in CLASSES if cls.__name__ in WITHOUT_GRADIENT]
PARTS = [cls for cls in CLASSES if issubclass(cls, vg.parts.Part)]
SMALL = [*zoo.ZOO, *LAYERS]


@pytest.fixture(scope="session")
def reports():
    items = [{"source": cls} | options for cls, options in zoo.ZOO.items()]
    items += [{"source": cls} | OPTIONS.get(cls.__name__, {}) for cls in LAYERS]
    found = check_many(items, backends=("tensorflow",), skip=("onnx", "jit"))
    return dict(zip(SMALL, found, strict=True))


# One worker makes all reports, in one fresh process.
@pytest.mark.slow
@pytest.mark.xdist_group("valid")
@pytest.mark.parametrize("cls", SMALL, ids=lambda cls: cls.__name__)
def test_layers_are_valid(reports, cls):
    assert reports[cls].ok, reports[cls]


@pytest.mark.slow
@pytest.mark.parametrize("cls", OF_REGIONS, ids=lambda cls: cls.__name__)
def test_layers_without_gradient_are_valid(cls):
    skip = ("onnx", "jit", "input_gradient")
    report = check(cls, backends=(), skip=skip, **OPTIONS[cls.__name__])
    assert report.ok, report


# A new class that needs options fails here already, and not only in the slow tests.
@pytest.mark.parametrize("cls", LAYERS, ids=lambda cls: cls.__name__)
def test_layers_can_be_built(cls):
    skip = [name for name in vg.testing.CHECKS if name != "runs"]
    report = check(cls, backends=(), skip=skip, **OPTIONS.get(cls.__name__, {}))
    assert report.ok, report


# Reloading and mixed precision of parts are tested with each model elsewhere.
@pytest.mark.slow
@pytest.mark.parametrize("cls", PARTS, ids=lambda cls: cls.__name__)
def test_parts_are_valid(cls):
    options = {"config": narrow(cls)} | OPTIONS.get(cls.__name__, {})
    skip = ("onnx", "jit", "mixed_bfloat16", "mixed_float16")
    report = check(cls, backends=(), skip=skip, **options)
    assert report.ok, report


@pytest.mark.parametrize("cls", PARTS, ids=lambda cls: cls.__name__)
def test_arguments_of_parts_are_known(cls):
    options = {"config": narrow(cls)} | OPTIONS.get(cls.__name__, {})
    assert Subject(cls, **options).arguments


@pytest.mark.slow
def test_equal_outputs_on_every_backend():
    blocks = (vg.blocks.C2f, vg.blocks.SPP, vg.blocks.RepConv, vg.layers.Convolution)
    for report in check_many(blocks, backends="all"):
        assert report.ok, report


@pytest.mark.backends
@pytest.mark.parametrize(
    "cls",
    [
        pytest.param(zoo.WithDropout, marks=pytest.mark.slow_backends),
        pytest.param(zoo.OverTime, marks=pytest.mark.slow),
        zoo.TwoInputs,
        pytest.param(zoo.AttentionBlock, marks=pytest.mark.slow),
        zoo.MovingMean,
        zoo.LayerScale,
        zoo.DropPath,
        pytest.param(vg.blocks.Residual, marks=pytest.mark.slow_backends),
        pytest.param(vg.decoders.FPN, marks=pytest.mark.slow),
    ],
    ids=lambda cls: cls.__name__,
)
def test_valid_on_every_backend(cls):
    report = check(cls, backends=(), **zoo.ZOO.get(cls, {}))
    assert report.ok, report
