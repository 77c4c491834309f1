"""Losses and assigners are fields of heads: chosen by name, saved, checked and replaced."""

import warnings

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.errors import ConfigError, UserError
from visiongarden.losses import quotients
from visiongarden.ops import cells_of
from visiongarden.types import Assignment, Candidates, FeatureSpec, HeadContext, LevelSpec

SIZE = (64, 64)
LEVELS = FeatureSpec({"p3": LevelSpec(8, 8), "p4": LevelSpec(8, 16)})
BOXES = np.array([[[4, 6, 30, 40], [33, 30, 60, 62]], [[10, 10, 22, 24], [0, 0, 0, 0]]], np.float32)
CLASSES = np.array([[0, 2], [1, -1]], np.int32)
DETECTION = {
    "free": vg.heads.AnchorFree(num_classes=3, bins=4),
    "decoupled": vg.heads.Decoupled(num_classes=3, width=0.0625),
    "based": vg.heads.AnchorBased(
        num_classes=3, anchors={"p3": ((10, 13), (16, 30)), "p4": ((30, 33),)}
    ),
}


def raw_maps(head, seed=0):
    rng = np.random.default_rng(seed)
    return {
        level: {
            name: rng.normal(0, 1, (2, *shape[1:])).astype(np.float32)
            for name, shape in tensors.items()
        }
        for level, tensors in head.shapes(LEVELS, SIZE).items()
    }


def values_of(head, raw, boxes=BOXES, classes=CLASSES, **more):
    targets = {"boxes": boxes, "classes": classes, **more}
    found = quotients(head.loss(raw, targets, HeadContext(head, SIZE, LEVELS)))
    return {name: float(value) for name, value in found.items()}


def with_loss(name, **fields):
    head = DETECTION[name]
    return head.replace(loss=head.loss.replace(**fields))


@pytest.mark.parametrize("name", DETECTION)
@pytest.mark.parametrize(
    "box_loss", [vg.losses.IoU, vg.losses.GIoU, vg.losses.DIoU, vg.losses.SIoU, vg.losses.SmoothL1]
)
def test_each_box_loss_changes_the_box_term_alone(name, box_loss):
    if DETECTION[name].loss.box_loss == box_loss():
        box_loss = vg.losses.CIoU  # of two that are the same, nothing changes
    raw = raw_maps(DETECTION[name])
    plain, other = (
        values_of(DETECTION[name], raw),
        values_of(with_loss(name, box_loss=box_loss()), raw),
    )
    assert other["box"] != pytest.approx(plain["box"])
    assert {n: v for n, v in plain.items() if n != "box"} == {
        n: v for n, v in other.items() if n != "box"
    }


@pytest.mark.parametrize("name", DETECTION)
@pytest.mark.parametrize("loss", ["Focal", "Varifocal", "QualityFocal"])
def test_each_class_loss_is_that_of_dense_targets(name, loss):
    """The sum over all cells equals that of the elementwise formula, where targets are known."""
    head = with_loss(name, class_loss=loss)
    raw = raw_maps(head)
    plain, other = values_of(DETECTION[name], raw), values_of(head, raw)
    assert other["class"] != pytest.approx(plain["class"])
    assert other["box"] == plain["box"]
    nothing = np.full((2, 1), -1, np.int32)
    empty = values_of(head, raw, np.zeros((2, 1, 4), np.float32), nothing)
    if name == "free":
        logits = np.concatenate([raw[lv]["classes"].reshape(2, -1, 3) for lv in ("p3", "p4")], 1)
        dense = keras.ops.convert_to_numpy(head.loss.class_loss(np.zeros_like(logits), logits))
        assert empty["class"] == pytest.approx(0.5 * dense.sum(), rel=1e-4)
    else:
        assert empty["class"] == 0


def test_the_class_term_equals_the_elementwise_formula():
    """TaskAligned's qualities, written as dense targets."""
    head = with_loss("free", class_loss="QualityFocal", class_gain=1.0)
    raw = raw_maps(head)
    boxes, scores = head.decoding(raw, HeadContext(head, SIZE, LEVELS)).values()
    cells = cells_of(("p3", "p4"), SIZE)
    found = head.assigner(
        Candidates(scores, boxes, cells.centers, cells.strides),
        {"boxes": BOXES, "classes": CLASSES},
    )
    index, quality = (keras.ops.convert_to_numpy(x) for x in found)
    targets = np.zeros((2, len(cells.strides), 3), np.float32)
    for image, cell in np.argwhere(index >= 0):
        targets[image, cell, CLASSES[image, index[image, cell]]] = quality[image, cell]
    logits = np.concatenate([raw[lv]["classes"].reshape(2, -1, 3) for lv in ("p3", "p4")], 1)
    dense = keras.ops.convert_to_numpy(vg.losses.quality_focal(targets, logits)).sum()
    wanted = dense / max(quality.sum(), 1)
    assert values_of(head, raw)["class"] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("name", DETECTION)
def test_classes_that_are_ignored_or_not_known_do_not_count(name):
    raw = raw_maps(DETECTION[name])
    plain = values_of(DETECTION[name], raw)
    ones = values_of(with_loss(name, class_weights=(1.0, 1.0, 1.0)), raw)
    assert ones == pytest.approx(plain, rel=1e-6)
    changed = {level: dict(tensors) for level, tensors in raw.items()}
    for tensors in changed.values():
        tensors["classes"] = tensors["classes"].copy()
        tensors["classes"][..., 2] += 0.5
    # With the assignment of geometry alone, a change of the ignored column changes nothing.
    ignoring = with_loss(name, class_weights=(1.0, 1.0, 0.0))
    known = np.array([[True, True, False]] * 2)
    if name == "based":
        assert values_of(ignoring, changed) == values_of(ignoring, raw)
        head = DETECTION[name]
        found = values_of(head, changed, known_classes=known)
        assert found == values_of(head, raw, known_classes=known)
    assert values_of(ignoring, raw) == pytest.approx(
        values_of(DETECTION[name], raw, known_classes=known)
    )
    assert values_of(ignoring, raw)["class"] < plain["class"]


@vg.register(package="losses_of_heads")
class FirstCells(vg.assigners.Assigner):
    """The first cell learns the first object, the second is ignored, all others are background."""

    ignores = True

    def __call__(self, candidates, targets):
        count = candidates.boxes.shape[1]
        row = np.full(count, -1, np.int32)
        row[:2] = 0, -2
        index = keras.ops.convert_to_tensor(np.tile(row, (2, 1)))
        return Assignment(index, keras.ops.cast(index >= 0, "float32"))


@pytest.mark.parametrize("name", DETECTION)
def test_ignored_predictions_do_not_count(name):
    head = DETECTION[name].replace(assigner=FirstCells())
    raw = raw_maps(head)
    changed = {level: {n: x.copy() for n, x in tensors.items()} for level, tensors in raw.items()}
    for tensor in ("classes", "objectness"):
        if tensor in changed["p3"]:
            rows = changed["p3"][tensor].reshape(2, 64 * (2 if name == "based" else 1), -1)
            rows[:, 1] += 3
    assert values_of(head, changed) == values_of(head, raw)
    rows = changed["p3"]["classes"].reshape(2, 64 * (2 if name == "based" else 1), -1)
    rows[:, 0] += 3
    assert values_of(head, changed)["class"] != values_of(head, raw)["class"]


def test_fields_of_the_default_are_changed_without_its_type():
    head = vg.heads.AnchorFree.from_dict({"num_classes": 3, "loss": {"box_gain": 5}})
    assert head.loss == vg.losses.AnchorFreeLoss(box_gain=5)
    head = vg.Head.from_dict(
        {"type": "AnchorFree", "num_classes": 3, "assigner": {"type": "SimOTA", "radius": 1.5}}
    )
    assert head.assigner == vg.assigners.SimOTA(radius=1.5)
    assert repr(head) == "AnchorFree(num_classes=3, assigner=SimOTA(radius=1.5))"
    assert vg.heads.AnchorFree.from_dict(head.to_dict()) == head


def test_losses_are_saved_and_change_no_weight(tmp_path):
    def detector(**fields):
        keras.utils.set_random_seed(0)
        head = vg.heads.AnchorFree(num_classes=3, bins=4, **fields)
        backbone = vg.backbones.DarknetTiny(width=0.0625, levels=("p3", "p4"))
        return vg.Detector(backbone, vg.decoders.PassOn(levels=("p3", "p4")), head, SIZE)

    plain, other = detector(), detector(loss={"class_loss": "Focal", "class_weights": (1, 2, 0)})
    for a, b in zip(plain.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    other.save(tmp_path / "m.keras")
    again = vg.load(tmp_path / "m.keras")
    assert again.parts == other.parts
    assert again.parts.head.loss.class_loss == vg.losses.Focal()
    assert again.context().head == other.parts.head
    assert dict(again.context((32, 64)).levels) == dict(plain.context().levels)


WRONG = {
    "an unknown loss": ({"loss": "AnchorFreLoss"}, "did you mean AnchorFreeLoss"),
    "an unknown field": ({"loss": {"box_gian": 5}}, "box_gain"),
    "a wrong type": ({"loss": {"box_gain": "much"}}, "box_gain"),
    "a negative gain": ({"loss": {"box_gain": -1}}, "box_gain"),
    "a loss of boxes as one of scores": ({"loss": {"class_loss": "GIoU"}}, "GIoU"),
    "a loss of another head": ({"loss": "AnchorBasedLoss"}, "does not fit the head AnchorFree"),
    "an assigner as a loss": ({"loss": "TaskAligned"}, "TaskAligned"),
    "an unknown assigner": ({"assigner": "TaskAlign"}, "did you mean TaskAligned"),
}


@pytest.mark.parametrize("name", WRONG)
def test_invalid_values_are_refused(name):
    fields, words = WRONG[name]
    with pytest.raises(ConfigError) as error:
        vg.heads.AnchorFree.from_dict({"num_classes": 3, **fields})
    assert words in str(error.value)


def test_a_method_named_loss_is_refused():
    with pytest.raises(UserError, match=r"the head Old has a method loss\(\)") as error:

        class Old(vg.heads.AnchorFree):
            def loss(self):
                return None

    assert error.value.fix == "loss: vg.losses.Loss = …"


def test_a_head_without_a_loss_or_an_assigner():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        head = vg.heads.AnchorFree(num_classes=3).replace(assigner=vg.assigners.SimOTA())
    assert head.chosen_assigner() == vg.assigners.SimOTA()
    with pytest.raises(UserError, match="the head Classification has no assigner"):
        vg.heads.Classification(num_classes=3).chosen_assigner()
    assert vg.heads.AnchorBased(num_classes=3).chosen_assigner() == vg.assigners.AnchorIoU()
    one = vg.heads.AnchorBased(num_classes=3, scale_xy=1.0)
    assert one.chosen_assigner() == vg.assigners.AnchorIoU(neighbors=False)
