"""Prior of an untrained head: biases of the published formulas, and the class loss."""

import math

import numpy as np
import pytest
from keras import ops

import visiongarden as vg
from visiongarden import cards
from visiongarden.errors import ConfigError
from visiongarden.losses import quotients
from visiongarden.ops import cells_of
from visiongarden.types import Candidates, FeatureSpec, HeadContext, LevelSpec

LEVELS = {"p2": 4, "p3": 8, "p5": 32, "p7": 128}
CLASSES = (1, 20, 80, 1000)


def features(levels):
    return FeatureSpec(
        {level: LevelSpec(channels=8, stride=2 ** int(level[1:])) for level in levels}
    )


def untrained(head, levels=tuple(LEVELS), image=128):
    """Raw predictions where the features are zero, so that every prediction is its bias."""
    model = head.as_model(features(levels), (image, image))
    zeros = {
        level: np.zeros((1, image // spec.stride, image // spec.stride, spec.channels), np.float32)
        for level, spec in features(levels).items()
    }
    return model(zeros)


def biases(raw, name):
    """The one value of each level."""
    found = {}
    for level, tensors in raw.items():
        values = np.unique(ops.convert_to_numpy(tensors[name]))
        assert len(values) == 1
        found[level] = float(values[0])
    return found


def logit(probability):
    return math.log(probability / (1 - probability))


def per_cell(objects, levels=LEVELS):
    """So many objects among the cells of an image of 640 × 640 pixels; at most 0.01."""
    return {lv: logit(min(0.01, objects / (640 / stride) ** 2)) for lv, stride in levels.items()}


@pytest.mark.parametrize(
    "num_classes",
    [pytest.param(n, marks=[pytest.mark.slow] * (n in (20, 1000))) for n in CLASSES],
)
def test_heads_without_objectness_assume_five_objects_of_any_class_on_each_level(num_classes):
    expected = pytest.approx(per_cell(5 / num_classes), rel=1e-5)
    assert (
        biases(untrained(vg.heads.AnchorFree(num_classes=num_classes, bins=2)), "classes")
        == expected
    )
    dual = untrained(vg.heads.DualAssignment(num_classes=num_classes, bins=2))
    assert biases(dual, "classes") == expected
    assert biases(dual, "many_classes") == expected


def test_coco_start_of_the_published_yolov8_table():
    raw = untrained(vg.heads.AnchorFree(num_classes=80, bins=2), ("p3", "p4", "p5"))
    # log(5 / 80 / 6400), log(5 / 80 / 1600), log(5 / 80 / 400), which are log(p), not its logit.
    assert biases(raw, "classes") == pytest.approx(
        {"p3": -11.5366, "p4": -10.1503, "p5": -8.7641}, abs=3e-4
    )


@pytest.mark.parametrize("num_classes", CLASSES)
@pytest.mark.parametrize("name", ["Decoupled", "AnchorBased"])
def test_heads_with_objectness_assume_eight_objects_and_an_even_chance_of_each_class(
    name, num_classes
):
    raw = untrained(with_objectness(name, num_classes))
    assert biases(raw, "objectness") == pytest.approx(per_cell(8), rel=1e-5)
    chance = logit(min(0.01, 0.6 / (num_classes - 1))) if num_classes > 1 else logit(0.01)
    assert biases(raw, "classes") == pytest.approx(dict.fromkeys(LEVELS, chance), rel=1e-5)
    if name == "AnchorBased":
        assert set(biases(raw, "boxes").values()) == {0.0}  # the anchors themselves


def with_objectness(name, num_classes, levels=tuple(LEVELS), **fields):
    if name == "Decoupled":
        return vg.heads.Decoupled(num_classes=num_classes, width=0.05, **fields)
    anchors = dict.fromkeys(levels, ((20, 30), (40, 40)))
    return vg.heads.AnchorBased(num_classes=num_classes, anchors=anchors, **fields)


@pytest.mark.parametrize("prior", [0.01, pytest.param(0.2, marks=pytest.mark.slow)])
def test_number_is_the_probability_of_every_prediction(prior):
    expected = pytest.approx(dict.fromkeys(LEVELS, logit(prior)), rel=1e-5)
    free = untrained(vg.heads.AnchorFree(num_classes=7, bins=2, prior=prior))
    assert biases(free, "classes") == expected
    dual = untrained(vg.heads.DualAssignment(num_classes=7, bins=2, prior=prior))
    assert biases(dual, "classes") == biases(dual, "many_classes") == expected
    for name in ("Decoupled", "AnchorBased"):
        raw = untrained(with_objectness(name, 7, prior=prior))
        assert biases(raw, "objectness") == biases(raw, "classes") == expected


@pytest.mark.parametrize(
    "name",
    [
        "AnchorFree",
        "AnchorBased",
        pytest.param("DualAssignment", marks=pytest.mark.slow),
        pytest.param("Decoupled", marks=pytest.mark.slow),
    ],
)
def test_class_loss_of_an_untrained_head_grows_no_faster_than_the_logarithm_of_the_classes(name):
    levels, boxes = ("p3", "p4", "p5"), np.array([[[40, 60, 150, 200]]], np.float32)

    def class_loss(num_classes, **fields):
        if name in ("AnchorFree", "DualAssignment"):
            head = getattr(vg.heads, name)(num_classes=num_classes, **fields)
        else:
            head = with_objectness(name, num_classes, levels, **fields)
        targets = {"boxes": boxes, "classes": np.zeros((1, 1), np.int32)}
        raw = untrained(head, levels, 320)
        terms = quotients(head.loss(raw, targets, HeadContext(head, (320, 320), None)))
        return float(terms["class"])

    one = class_loss(1)
    for num_classes in (20, 80, 1000):
        assert class_loss(num_classes) <= one + math.log(num_classes) + 0.7
    # With 0.01 for every class in every cell, each further class adds its share of all cells.
    if "bins" in getattr(vg.heads, name).model_fields:
        assert class_loss(80, prior=0.01) > one + 100
    else:
        assert class_loss(1000, prior=0.01) > one + 9


@pytest.mark.parametrize("prior", [0, 1, -0.5, float("nan"), "automatic", None])
def test_other_priors_are_refused_by_name(prior):
    with pytest.raises(ConfigError, match="prior"):
        vg.heads.AnchorFree(num_classes=2, prior=prior)


def test_prior_is_kept_in_files_and_cards():
    head = vg.heads.Decoupled(num_classes=3, prior=0.02)
    assert vg.heads.Decoupled.from_dict(head.to_dict()) == head
    assert vg.heads.Decoupled(num_classes=3).to_dict()["prior"] == "auto"
    # YOLOX's own code starts objectness and classes at 0.01.
    assert cards.load("yolox-s").model.head.prior == 0.01
    assert cards.load("yolov8n").model.head.prior == "auto"


@pytest.mark.parametrize("name", ["AnchorFree", "DualAssignment", "Decoupled"])
def test_untrained_boxes_are_four_strides_wide_around_their_cell(name):
    """RetinaNet's anchors: 32 pixels on p3, four times the stride."""
    head = getattr(vg.heads, name)(num_classes=2)
    context = HeadContext(head, (128, 128), None)
    boxes = head.decoding(untrained(head, ("p3", "p5")), context)["boxes"]
    boxes, cells = ops.convert_to_numpy(boxes)[0], cells_of(("p3", "p5"), (128, 128))
    sides = boxes[:, 2:] - boxes[:, :2]
    assert sides[: 16 * 16] == pytest.approx(4 * 8, rel=0.02)
    assert sides[16 * 16 :] == pytest.approx(4 * 32, rel=0.02)
    assert (boxes[:, :2] + boxes[:, 2:]) / 2 == pytest.approx(np.asarray(cells.centers), abs=1e-3)


def test_untrained_head_assigns_each_object_to_the_level_of_its_size():
    head, levels = vg.heads.AnchorFree(num_classes=2), ("p3", "p4", "p5")
    raw = untrained(head, levels, 320)
    cells = cells_of(levels, (320, 320))
    boxes, scores = head.decoding(raw, HeadContext(head, (320, 320), None)).values()
    targets = np.array([[[40, 40, 70, 72], [100, 30, 165, 92], [150, 150, 280, 275]]], np.float32)
    found = head.assigner(
        Candidates(scores, boxes, cells.centers, cells.strides),
        {"boxes": targets, "classes": np.zeros((1, 3), np.int32)},
    )
    quality, index = (ops.convert_to_numpy(x)[0] for x in (found.weight, found.index))
    for number, stride in enumerate((8, 16, 32)):
        mine = (quality > 0) & (index == number)
        best = np.argmax(quality * mine)
        assert cells.strides[best] == stride
        assert quality[best] > 0.6
