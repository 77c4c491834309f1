"""Any backbone with any decoder and any head: builds, trains a step, saves, reopens."""

import keras
import numpy as np
import pytest
from tests.shared import for_one_step, inference

import visiongarden as vg
from visiongarden.errors import ContractError, UserError
from visiongarden.evaluation.forward import forward_of

SIZE = (64, 96)
BACKBONES = {
    "darknet53": vg.backbones.Darknet53(width=0.125),
    "csp": vg.backbones.CSPDarknet(depth=0.33, width=0.125),
    "resnet": vg.backbones.ResNet(depth=18),
}
DECODERS = {
    "yolov3": vg.decoders.YOLOv3Decoder(width=0.125),
    "pan": vg.decoders.PathAggregation(depth=0.33),
    "fpn": vg.decoders.FPN(channels=16),
}
HEADS = {
    "anchors": vg.heads.AnchorBased(num_classes=2),
    "free": vg.heads.AnchorFree(num_classes=2, bins=8),
}
# Any two parts are together in one row or more.
ROWS = [
    ("darknet53", "yolov3", "anchors"),
    ("darknet53", "pan", "free"),
    ("darknet53", "fpn", "free"),
    ("csp", "yolov3", "free"),
    ("csp", "pan", "free"),
    ("csp", "fpn", "anchors"),
    ("resnet", "yolov3", "free"),
    ("resnet", "pan", "anchors"),
    ("resnet", "fpn", "anchors"),
]
# Compilation on JAX is slow, so it runs only these rows, which contain every part.
SAMPLE = [("darknet53", "yolov3", "anchors"), ("csp", "pan", "free"), ("resnet", "fpn", "anchors")]
QUICK = ("csp", "pan", "free")
TABLE = [
    pytest.param(
        *row,
        marks=[pytest.mark.slow_backends(*[] if row in SAMPLE else ["torch"])]
        + [pytest.mark.slow] * (row != QUICK),
    )
    for row in ROWS
]


def build(backbone, decoder, head):
    keras.utils.set_random_seed(0)
    return vg.Detector(
        BACKBONES[backbone], DECODERS[decoder], HEADS[head], SIZE, class_map=("cat", "dog")
    )


def batch():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (2, *SIZE, 3)).astype(np.uint8)
    boxes = np.array(
        [[[5, 5, 40, 50], [30, 8, 90, 60]], [[0, 0, 20, 20], [0, 0, 0, 0]]], np.float32
    )
    return images, {"boxes": boxes, "classes": np.array([[0, 1], [1, -1]], np.int32)}


def numbers(model):
    images = batch()[0]
    return [keras.ops.convert_to_numpy(x) for x in keras.tree.flatten(inference(model, images))]


@pytest.mark.parametrize(("backbone", "decoder", "head"), TABLE)
def test_a_combination_trains_and_reopens(tmp_path, backbone, decoder, head):
    model = build(backbone, decoder, head)
    model.compile(keras.optimizers.SGD(1e-3), **for_one_step())
    before = model.get_weights()
    images, targets = batch()
    loss = model.train_on_batch(images, targets)
    assert np.isfinite(np.asarray(loss)).all()
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    still = [w.path for w, yes in zip(model.weights, changed, strict=True) if not yes]
    # A level's box prediction learns only where a box was assigned to it, and three are few.
    may_not_learn = ("_boxes/", "_conv/", "_out/")
    assert not [path for path in still if not path.startswith("head/")]
    assert not [path for path in still if not any(part in path for part in may_not_learn)]
    model.save(tmp_path / "m.keras")
    again = vg.load(tmp_path / "m.keras")
    for a, b in zip(numbers(model), numbers(again), strict=True):
        np.testing.assert_array_equal(a, b)
    boxes, scores = forward_of(again, SIZE)(images[:1]).values()
    assert boxes.shape[:2] == scores.shape[:2]


def test_sub_models_and_paths():
    model = build("csp", "fpn", "free")
    assert [part.name for part in (model.backbone, model.decoder, model.head)] == [
        "backbone",
        "decoder",
        "head",
    ]
    paths = [w.path for w in model.weights]
    assert len(set(paths)) == len(paths)
    assert {path.split("/")[0] for path in paths} == {"backbone", "decoder", "head"}
    assert "backbone/stem/conv/kernel" in paths


def test_an_open_size_accepts_any_multiple_of_the_stride():
    model = vg.Detector(BACKBONES["csp"], DECODERS["pan"], HEADS["free"])
    for size in [(32, 32), (64, 96)]:
        raw = model(np.zeros((1, *size, 3), np.float32))
        assert raw["p3"]["classes"].shape[1:3] == (size[0] // 8, size[1] // 8)


def test_a_plain_config_builds_the_same_model():
    model = build("csp", "fpn", "free")
    again = vg.Detector.from_config(model.get_config())
    assert again.parts == model.parts
    assert [w.path for w in again.weights] == [w.path for w in model.weights]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"image_size": 100}, UserError, r"image_size=\(96, 96\) or \(128, 128\)"),
        ({"class_map": ("a", "b", "c")}, ContractError, "num_classes=3"),
        ({"class_map": ("a", "a")}, UserError, "duplicate class name in the class map: a"),
    ],
)
def test_invalid_arguments(options, error, message):
    with pytest.raises(error, match=message):
        vg.Detector(BACKBONES["csp"], DECODERS["fpn"], HEADS["free"], **options)
