"""The YOLO family: published parameter counts; every part trains, reopens and recombines."""

import keras
import numpy as np
import pytest
from tests.shared import inference

import visiongarden as vg
from visiongarden import backbones, decoders, heads
from visiongarden.backends.weightless import weightless
from visiongarden.evaluation.forward import forward_of
from visiongarden.inspect import count, deployed

FIXED_BINS = 16
"""Numbers of the box distributions that published counts include and that are not trained."""

# name, published parameters with and without what folds away, fixed numbers among them
PUBLISHED = [
    ("yolov5n", 1_872_157, 1_867_405, 0),
    ("yolov5s", 7_235_389, 7_225_885, 0),
    ("yolov5m", 21_190_557, 21_172_173, 0),
    ("yolov5l", 46_563_709, 46_533_693, 0),
    ("yolov5x", 86_749_405, 86_705_005, 0),
    ("yolov7-tiny", 6_227_101, 6_219_709, 0),
    ("yolov7", 37_620_125, 36_905_341, 0),
    ("yolov8n", 3_157_200, 3_151_904, FIXED_BINS),
    ("yolov8s", 11_166_560, 11_156_544, FIXED_BINS),
    ("yolov8m", 25_902_640, 25_886_080, FIXED_BINS),
    ("yolov8l", 43_691_520, 43_668_288, FIXED_BINS),
    ("yolov8x", 68_229_648, 68_200_608, FIXED_BINS),
    ("yolov9t", 2_128_720, 2_094_000, FIXED_BINS),
    ("yolov9s", 7_318_368, 7_198_048, FIXED_BINS),
    ("yolov9m", 20_216_160, 20_070_832, FIXED_BINS),
    ("yolov9c", 25_590_912, 25_380_928, FIXED_BINS),
    ("yolov9e", 58_206_592, 57_438_080, FIXED_BINS),
    ("yolov10n", 2_775_520, 2_299_264, FIXED_BINS),
    ("yolov10s", 8_128_272, 7_248_960, FIXED_BINS),
    ("yolov10m", 16_576_768, 15_359_488, FIXED_BINS),
    ("yolov10b", 20_574_384, 19_065_792, FIXED_BINS),
    ("yolov10l", 25_888_688, 24_371_008, FIXED_BINS),
    ("yolov10x", 31_808_960, 29_473_568, FIXED_BINS),
    ("yolo11n", 2_624_080, 2_616_248, FIXED_BINS),
    ("yolo11s", 9_458_752, 9_443_760, FIXED_BINS),
    ("yolo11m", 20_114_688, 20_091_712, FIXED_BINS),
    ("yolo11l", 25_372_160, 25_340_992, FIXED_BINS),
    ("yolo11x", 56_966_176, 56_919_424, FIXED_BINS),
]
QUICK = ("yolov5n", "yolov7-tiny", "yolov10n", "yolo11n")


@pytest.mark.parametrize(
    ("name", "published", "folded", "fixed"),
    [pytest.param(*row, marks=[pytest.mark.slow] * (row[0] not in QUICK)) for row in PUBLISHED],
)
def test_published_parameters(name, published, folded, fixed):
    with weightless():
        model = vg.cards.build(name)
    assert count(model).trainable == published - fixed
    assert deployed(model).trainable == folded - fixed


@pytest.mark.parametrize(
    ("name", "millions", "gflops"),
    # README of the official repository, whose box branch has groups of 4
    [pytest.param("yolov9t", 2.0, 7.7, marks=pytest.mark.slow), ("yolov9c", 25.3, 102.1)],
)
def test_yolov9_with_its_papers_box_branch(name, millions, gflops):
    card = vg.cards.load(name)
    head = card.model.head.replace(box_groups=4)
    with weightless():
        model = vg.Detector(card.model.backbone, card.model.decoder, head, 640)
    found = deployed(model)
    assert round(found.trainable / 1e6, 1) == millions
    assert round(found.flops / 1e9, 1) == gflops


SIZE = (64, 96)
SMALL = {
    "yolov5": (
        backbones.YOLOv5Backbone(width=0.125),
        decoders.CSPPathAggregation(),
        heads.AnchorBased(num_classes=2, size_encoding="squared", hidden_conv=False),
    ),
    "yolov7": (
        backbones.ELANNet(width=0.125),
        decoders.ELANPathAggregation(channels=16),
        heads.AnchorBased(num_classes=2, size_encoding="squared", rep_conv=True),
    ),
    "yolov7-tiny": (
        backbones.ELANNetTiny(width=0.25),
        decoders.ELANPathAggregation(channels=16, tiny=True),
        heads.AnchorBased(num_classes=2, size_encoding="squared"),
    ),
    "yolov9t": (
        backbones.GELAN(stem=(8, 8), channels=(8, 16, 16, 24), repeats=(0, 1, 1, 1)),
        decoders.GELANPathAggregation(channels=(16, 16, 24), shrunk=(8, 8), repeats=1),
        heads.AnchorFree(num_classes=2, bins=8, box_groups=4),
    ),
    "yolov9e": (
        backbones.CompositeGELAN(
            stem=(8, 8), channels=(16, 16, 24, 24), hidden=(8, 8, 16, 16), repeats=1, pooled=16
        ),
        decoders.GELANPathAggregation(
            channels=(8, 16, 16), shrunk=(8, 16), hidden=(8, 16, 24), repeats=1, down="ADown"
        ),
        heads.AnchorFree(num_classes=2, bins=8),
    ),
    "yolov10": (
        backbones.YOLOv10Backbone(width=0.125, compact=("p4", "p5"), large_kernel=True),
        decoders.YOLOv10Decoder(compact=("down_p4", "up_p4", "up_p5")),
        heads.DualAssignment(num_classes=2, bins=8),
    ),
    "yolo11": (
        backbones.YOLO11Backbone(width=0.125),
        decoders.YOLO11Decoder(width=0.125),
        heads.AnchorFree(num_classes=2, bins=8, light_classes=True),
    ),
}


def batch():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (2, *SIZE, 3)).astype(np.uint8)
    # Small, middle and large, so that each level of each head has something to learn.
    boxes = np.array([[3, 5, 15, 18], [40, 8, 75, 45], [2, 1, 92, 62]], np.float32)
    classes = np.array([0, 1, 1], np.int32)
    return images, {"boxes": np.stack([boxes] * 2), "classes": np.stack([classes] * 2)}


def numbers(model):
    images = batch()[0]
    return [keras.ops.convert_to_numpy(x) for x in keras.tree.flatten(inference(model, images))]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("yolov5", marks=pytest.mark.slow),
        pytest.param("yolov7", marks=pytest.mark.slow),
        pytest.param("yolov7-tiny", marks=pytest.mark.slow),
        pytest.param("yolov9t", marks=pytest.mark.slow),
        pytest.param("yolov9e", marks=pytest.mark.slow),
        pytest.param("yolov10", marks=[pytest.mark.backends("torch"), pytest.mark.slow]),
        pytest.param("yolo11", marks=pytest.mark.slow),
    ],
)
def test_it_reopens_and_every_weight_learns(tmp_path, name):
    keras.utils.set_random_seed(0)
    model = vg.Detector(*SMALL[name], SIZE, class_map=("cat", "dog"))
    model.save(tmp_path / "m.keras")
    again = vg.load(tmp_path / "m.keras")
    assert again.parts == model.parts
    for a, b in zip(numbers(model), numbers(again), strict=True):
        np.testing.assert_array_equal(a, b)
    boxes, scores = forward_of(model, SIZE)(batch()[0]).values()
    assert boxes.shape[:2] == scores.shape[:2]
    # Eager, because a graph is traced longer than one step takes; JAX compiles either way.
    jax = keras.backend.backend() == "jax"
    model.compile(keras.optimizers.SGD(1.0), jit_compile=jax, run_eagerly=not jax)
    trained = model.trainable_weights
    before = [keras.ops.convert_to_numpy(w) for w in trained]
    assert np.isfinite(np.asarray(model.train_on_batch(*batch()))).all()
    still = [
        w.path
        for w, old in zip(trained, before, strict=True)
        if np.array_equal(old, keras.ops.convert_to_numpy(w))
    ]
    # A level's box branch learns only where a box was assigned to it.
    assert not [path for path in still if "_boxes/" not in path]


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n not in ("yolov5", "yolov9t"))) for n in SMALL],
)
def test_fewer_levels_make_fewer_stages(name):
    backbone, _, _ = SMALL[name]
    whole, shallow = (
        count(part, SIZE) for part in (backbone, backbone.replace(levels=("p3", "p4")))
    )
    assert list(backbone.replace(levels=("p2", "p3")).spec()) == ["p2", "p3"]
    assert shallow.trainable < whole.trainable


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: decoders.GELANPathAggregation(levels=("p3", "p4")), r"channels=\(64, 96\)"),
        (lambda: decoders.GELANPathAggregation(shrunk=(48,)), r"shrunk=\(48, 48\)"),
        (lambda: decoders.YOLOv10Decoder(levels=("p3", "p4")), "down_p3, up_p4"),
        (lambda: backbones.YOLOv10Backbone(compact=("p6",)), "p6"),
        (lambda: backbones.GELAN(channels=(32, 64, 96, 127)), "multiple of 2"),
    ],
)
def test_invalid_fields(make, message):
    with pytest.raises(vg.UserError, match=message):
        make()
