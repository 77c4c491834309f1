"""Every backbone with every decoder and every head: by shape inference all, a sample for real."""

import itertools

import keras
import numpy as np
import pytest
from tests.shared import for_one_step, inference

import visiongarden as vg
from visiongarden import backbones, decoders, heads, registry
from visiongarden.errors import ContractError
from visiongarden.parts import connect
from visiongarden.types import stride_of

LEVELS = ("p3", "p4", "p5")
SIZE = (64, 96)
SMALL = {"width": 0.125, "depth": 0.33, "channels": 16, "max_channels": 256}


def ours(role):
    """Every registered part of a role that is the project's own, by name."""
    return {
        key.split(">")[1]: found.cls
        for key, found in registry.registered(role).items()
        if key.startswith("visiongarden>")
    }


def small(cls, **fields):
    """The part with as few channels and units as its plain numbers allow."""
    known = cls.model_fields
    chosen = {
        name: value for name, value in SMALL.items()
        if name in known and isinstance(known[name].default, type(value))
    }  # fmt: skip
    return cls(**({"depth": 18} if cls is backbones.ResNet else chosen), **fields)


BACKBONES, DECODERS, HEADS = map(ours, (vg.Backbone, vg.Decoder, vg.Head))
# Those of other tasks output one map, or predict no boxes.
PYRAMIDS = [n for n, d in DECODERS.items() if small(d, levels=LEVELS).output_levels == LEVELS]
GIVEN = ("KerasApplication", "KerasHubBackbone", "KerasModel")  # a network is given to them
PAIRS = list(itertools.product([n for n in BACKBONES if n not in GIVEN], PYRAMIDS))


def test_every_part_is_included():
    assert set(BACKBONES) == set(backbones.__all__)
    assert set(DECODERS) == set(decoders.__all__)
    assert set(HEADS) == set(heads.__all__) - {"PrototypeMasks"}  # a mixin


DETECTION = {name: head for name, head in HEADS.items() if head.task == "detection"}

# The quick combinations cover every backbone, decoder and head.
QUICK = [
    (names[i % len(names)], PYRAMIDS[i % len(PYRAMIDS)], list(DETECTION)[i % len(DETECTION)])
    for names in [sorted({backbone for backbone, _ in PAIRS})]
    for i in range(max(len(names), len(PYRAMIDS), len(DETECTION)))
]


@pytest.mark.parametrize(("backbone", "decoder", "head"), QUICK)
def test_parts_fit(backbone, decoder, head):
    assert_fit(backbone, decoder, [head])


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "decoder"), PAIRS)
def test_every_pair_fits(backbone, decoder):
    assert_fit(backbone, decoder, DETECTION)


def assert_fit(backbone, decoder, names):
    giver = small(BACKBONES[backbone], levels=LEVELS)
    taker = small(DECODERS[decoder], levels=LEVELS)
    for head in map(DETECTION.get, names):
        last = small(head, num_classes=3)
        channels = {spec.channels for spec in taker.spec(giver.spec()).values()}
        if head is heads.RetinaNetHead and len(channels) > 1:
            with pytest.raises(ContractError, match="equal on all levels"):
                connect(giver, taker, last, SIZE)
            continue
        found = connect(giver, taker, last, SIZE)
        assert tuple(found.features) == tuple(found.decoded) == LEVELS
        raw = last.shapes(found.decoded, SIZE)
        assert tuple(raw) == LEVELS
        for level, tensors in raw.items():
            sides = (SIZE[0] // stride_of(level), SIZE[1] // stride_of(level))
            assert all(shape[1:3] == sides for shape in tensors.values())
            assert {"boxes", "classes"} <= set(tensors)


# The finest and the coarsest levels of each part, and levels of different channels.
TWO_STAGES = [("CSPDarknet", decoder) for decoder in PYRAMIDS] + [
    (backbone, "PassOn") for backbone in dict(PAIRS) if backbone != "CSPDarknet"
]


@pytest.mark.parametrize(
    ("backbone", "decoder"),
    [
        pytest.param(*pair, marks=[] if number < 4 else pytest.mark.slow)
        for number, pair in enumerate(TWO_STAGES)
    ],
)
def test_two_stages_fit_every_part(backbone, decoder):
    head = heads.MaskRCNN(num_classes=3, filters=8, box_units=8, proposals=20, detections=5)
    taker = small(DECODERS[decoder], levels=LEVELS)
    found = connect(small(BACKBONES[backbone], levels=LEVELS), taker, head, SIZE)
    raw = head.shapes(found.decoded, SIZE)
    assert tuple(raw) == LEVELS
    assert raw["p4"]["boxes"] == (None, 4, 6, 3, 4)
    assert raw["p3"]["masks"] == (None, 5, 28, 28, 3)


TINY_ANCHORS = {"p4": ((10, 14), (23, 27)), "p5": ((81, 82),)}
SAMPLE = {
    "yolov3-tiny": (
        backbones.DarknetTiny(width=0.125),
        decoders.TinyDecoder(width=0.125),
        heads.AnchorBased(num_classes=2, anchors=TINY_ANCHORS, scale_xy=1.0, hidden_conv=False),
    ),
    "yolov4-tiny": (
        backbones.CSPDarknetTiny(width=0.125, levels=LEVELS),
        decoders.TinyDecoder(width=0.125, levels=LEVELS),
        heads.Decoupled(num_classes=2, width=0.0625),
    ),
    "yolov3-spp": (
        backbones.ResNet(depth=18),
        decoders.YOLOv3Decoder(width=0.125, pool_sizes=(5, 3)),
        heads.AnchorBased(num_classes=2, scale_xy={"p3": 1.2, "p4": 1.1, "p5": 1.05}),
    ),
    "yolov4": (
        backbones.CSPDarknet53(width=0.125),
        decoders.YOLOv4Decoder(width=0.125),
        heads.AnchorFree(num_classes=2, bins=8),
    ),
    "yolov4-csp": (
        backbones.CSPDarknet53(width=0.125, plain_stages=1),
        decoders.YOLOv4CSPDecoder(width=0.125),
        heads.AnchorBased(num_classes=2, size_encoding="squared"),
    ),
    "yolox-nano": (
        backbones.YOLOXDarknet(width=0.125, depthwise=True),
        decoders.CSPPathAggregation(depthwise=True),
        heads.Decoupled(num_classes=2, width=0.125, depthwise=True),
    ),
}
MARKS = {"yolov4-tiny": [pytest.mark.backends]} | {
    name: [pytest.mark.slow, pytest.mark.slow_backends("torch")]
    for name in ("yolox-nano", "yolov3-spp", "yolov4", "yolov4-csp")
}


@pytest.mark.slow_backends
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=MARKS.get(name, [])) for name in SAMPLE],
)
def test_a_sample_trains_and_reopens(tmp_path, name):
    model = vg.Detector(*SAMPLE[name], SIZE, class_map=("cat", "dog"))
    model.compile(keras.optimizers.SGD(1e-3), **for_one_step())
    images = np.random.default_rng(0).integers(0, 255, (2, *SIZE, 3)).astype(np.uint8)
    boxes = [[[5, 5, 40, 50], [30, 8, 90, 60]], [[0, 0, 20, 20], [0, 0, 0, 0]]]
    targets = {
        "boxes": np.array(boxes, np.float32),
        "classes": np.array([[0, 1], [1, -1]], np.int32),
    }
    before = model.get_weights()
    assert np.isfinite(np.asarray(model.train_on_batch(images, targets))).all()
    still = [
        weight.path
        for weight, old, new in zip(model.weights, before, model.get_weights(), strict=True)
        if np.array_equal(old, new)
    ]
    # Of a head, a level's boxes learn only where one was assigned to it, and three are few.
    assert not [path for path in still if not path.startswith("head/")]
    model.save(tmp_path / "m.keras")
    again = vg.load(tmp_path / "m.keras")
    for one, two in zip(
        keras.tree.flatten(inference(model, images)),
        keras.tree.flatten(inference(again, images)),
        strict=True,
    ):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(two)
        )
    found, scores = again.parts.head.decoding(again(images), again.context()).values()
    assert found.shape[:2] == scores.shape[:2]
