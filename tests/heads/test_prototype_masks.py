"""Masks from prototypes: loss and decoding against PyTorch, one step of training on each head."""

import keras
import numpy as np
import pytest
import torch
from keras import ops as k
from tests.shared import for_one_step

import visiongarden as vg
from visiongarden.errors import ContractError, UserError
from visiongarden.losses import quotients
from visiongarden.postprocess import masks_of
from visiongarden.types import FeatureSpec, HeadContext, LevelSpec

SIZE = (64, 96)
LEVELS = FeatureSpec({"p3": LevelSpec(8, 8), "p4": LevelSpec(8, 16)})
BOXES = np.array([[[4, 6, 40, 34], [33, 10, 90, 62]], [[10, 10, 42, 44], [0, 0, 0, 0]]], np.float32)
CLASSES = np.array([[0, 1], [1, -1]], np.int32)
MASKS = np.zeros((2, 2, 16, 24), np.uint8)
MASKS[0, 0, 2:8, 1:9] = 1
MASKS[0, 1, 4:12, 10:20] = 1
MASKS[1, 0, 3:9, 4:10] = 1
TARGETS = {"boxes": BOXES, "classes": CLASSES, "masks": MASKS}
HEADS = {
    "free": vg.heads.AnchorFreeMasks(num_classes=2, bins=4, prototypes=5),
    "based": vg.heads.AnchorBasedMasks(
        num_classes=2, prototypes=5, anchors={"p3": ((30, 28), (32, 34)), "p4": ((57, 52),)}
    ),
    "decoupled": vg.heads.DecoupledMasks(num_classes=2, width=0.0625, prototypes=5),
    "retinanet": vg.heads.RetinaNetMasks(num_classes=2, filters=8, repeats=1, prototypes=5),
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


def terms_of(head, raw, targets=TARGETS):
    found = quotients(head.loss(raw, targets, HeadContext(head, SIZE, LEVELS)))
    return {name: float(value) for name, value in found.items()}


@pytest.mark.parametrize("name", HEADS)
def test_the_mask_term_equals_that_of_torch_and_the_others_are_those_of_detection(name):
    head = HEADS[name]
    raw, context = raw_maps(head), HeadContext(head, SIZE, LEVELS)
    found = terms_of(head, raw)
    alone = quotients(head.loss.detection(raw, TARGETS, context))
    assert {n: v for n, v in found.items() if n != "mask"} == pytest.approx(
        {n: float(v) for n, v in alone.items()}, rel=1e-5
    )
    assigned = head.loss.detection.assigned(raw, TARGETS, context, head.chosen_assigner())
    index, weight = k.convert_to_numpy(assigned.index), k.convert_to_numpy(assigned.weight)
    coefficients = np.concatenate([raw[lv]["coefficients"].reshape(2, -1, 5) for lv in raw], 1)
    prototypes = raw["p3"]["prototypes"]
    total, count = 0.0, 0
    for image, row in np.argwhere(weight > 0):
        owner = index[image, row]
        logits = prototypes[image] @ coefficients[image, row]
        x1, y1, x2, y2 = BOXES[image, owner]
        y, x = np.mgrid[:16, :24] * 4 + 2
        inside = torch.tensor((x >= x1) & (x <= x2) & (y >= y1) & (y <= y2))
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(
            torch.tensor(logits),
            torch.tensor(MASKS[image, owner], dtype=torch.float32),
            reduction="none",
        )
        total += float(entropy[inside].mean())
        count += 1
    assert count > 1
    assert found["mask"] == pytest.approx(6.125 * total / count, rel=1e-4)


def test_fields_of_the_inner_loss_are_changed_without_its_type():
    head = vg.heads.AnchorFreeMasks(num_classes=2, loss={"detection": {"box_gain": 2}})
    assert head.loss.detection == vg.losses.AnchorFreeLoss(box_gain=2)
    assert head.loss.mask_gain == 6.125


def test_only_the_masks_of_the_largest_weights_are_compared():
    head = HEADS["free"]
    raw = raw_maps(head)
    few = head.replace(loss=head.loss.replace(masks_per_image=1))
    assert terms_of(few, raw)["mask"] != pytest.approx(terms_of(head, raw)["mask"])


@pytest.mark.backends
def test_masks_of_equal_weight_are_those_of_all_objects():
    """The first positives would be those of the object at the top of the image."""
    ratios = {"anchor_ratios": (1,), "anchor_scales": (1, 1.1, 1.2, 1.3), "anchor_size": 3}
    head = vg.heads.RetinaNetMasks(num_classes=2, filters=8, repeats=1, prototypes=5, **ratios)
    head = head.replace(loss=head.loss.replace(masks_per_image=4))
    boxes = np.array([[[4, 0, 32, 28], [60, 36, 88, 64]]], np.float32)
    masks = np.ones((1, 2, 16, 24), np.uint8)
    targets = {"boxes": boxes, "classes": np.array([[0, 1]], np.int32), "masks": masks}
    raw = {level: {n: x[:1] for n, x in maps.items()} for level, maps in raw_maps(head).items()}
    context = HeadContext(head, SIZE, LEVELS)
    assigned = head.loss.detection.assigned(raw, targets, context, head.chosen_assigner())
    owners = k.convert_to_numpy(assigned.index)[0]
    assert min((owners == 0).sum(), (owners == 1).sum()) > 4
    before = terms_of(head, raw, targets)["mask"]
    for owner in (0, 1):
        inverted = masks.copy()
        inverted[:, owner] = 0
        assert terms_of(head, raw, {**targets, "masks": inverted})["mask"] != before


def test_images_without_objects_add_nothing_to_the_mask_term():
    nothing = {**TARGETS, "classes": np.full((2, 2), -1, np.int32)}
    assert terms_of(HEADS["free"], raw_maps(HEADS["free"]), nothing)["mask"] == 0


def test_masks_of_another_size_are_an_error():
    head = HEADS["free"]
    with pytest.raises(UserError, match="8 × 24 cells"):
        terms_of(head, raw_maps(head), {**TARGETS, "masks": MASKS[:, :, :8]})


def test_decoded_masks_are_enlarged_as_by_torch_and_cut_at_their_boxes():
    rng = np.random.default_rng(3)
    prototypes = np.abs(rng.normal(size=(16, 24, 5))).astype(np.float32)
    coefficients = np.tanh(rng.normal(size=(3, 5))).astype(np.float32)
    boxes = np.array([[-5, 3.2, 60.7, 61], [20, 20, 95, 63.5], [30, 30, 30, 40]], np.float32)
    found = masks_of(boxes, coefficients, prototypes, SIZE).bitmaps()
    logits = torch.einsum("kp,hwp->khw", torch.tensor(coefficients), torch.tensor(prototypes))
    large = torch.nn.functional.interpolate(
        logits[None], SIZE, mode="bilinear", align_corners=False
    )[0].numpy()
    wanted = np.zeros_like(found)
    wanted[0, 3:61, 0:61] = large[0, 3:61, 0:61] > 0
    wanted[1, 20:64, 20:95] = large[1, 20:64, 20:95] > 0
    # OpenCV interpolates with 5 bits of the position, so that pixels at the border may differ.
    assert (found != wanted).mean() < 0.001
    assert not found[2].any()
    assert 0.2 < found[1, 20:64, 20:95].mean() < 0.8


def detector(head):
    return vg.Detector(
        vg.backbones.CSPDarknet(depth=0.33, width=0.125, levels=("p3", "p4")),
        vg.decoders.FPN(channels=16, levels=("p3", "p4")),
        head,
        image_size=SIZE,
        class_map=("cat", "dog"),
    )


@pytest.mark.slow
@pytest.mark.backends
@pytest.mark.parametrize("name", ["free", "based"])
def test_a_detector_with_masks_trains_reopens_and_predicts(tmp_path, name):
    model = detector(HEADS[name])
    model.compile(keras.optimizers.SGD(1e-2), **for_one_step())
    images = np.random.default_rng(0).integers(0, 255, (2, *SIZE, 3)).astype(np.uint8)
    before = {w.path: k.convert_to_numpy(w) for w in model.head.trainable_weights}
    assert np.isfinite(np.asarray(model.train_on_batch(images, TARGETS))).all()
    still = [
        w.path
        for w in model.head.trainable_weights
        if "mask" in w.path and np.array_equal(before[w.path], k.convert_to_numpy(w))
    ]
    assert not still
    model.save(tmp_path / "m.keras")
    opened = vg.load(tmp_path / "m.keras")
    ours, theirs = (list(m.detect(images, score=1e-5)) for m in (model, opened))
    for one, other in zip(ours, theirs, strict=True):
        assert len(one) == len(other) > 0
        assert one.masks.size == SIZE
        assert np.array_equal(one.masks.bitmaps(), other.masks.bitmaps())
        # A mask is inside the box of its object.
        boxes, inner = np.asarray(one.boxes), one.masks.boxes()
        some = one.masks.area() > 0
        assert (inner[some, :2] >= np.floor(boxes[some, :2])).all()
        assert (inner[some, 2:] <= np.ceil(boxes[some, 2:])).all()


@pytest.mark.slow
def test_an_image_has_the_same_masks_alone_and_in_any_batch():
    """A combination that no card has; images of other sizes are resized, and a batch is padded."""
    model = vg.Detector(
        vg.backbones.GELAN(
            stem=(8, 8), channels=(8, 8, 8, 8), repeats=(0, 0, 0, 0), levels=("p3", "p4")
        ),
        vg.decoders.FPN(channels=8, levels=("p3", "p4")),
        HEADS["free"],
        image_size=SIZE,
        class_map=("cat", "dog"),
    )
    rng = np.random.default_rng(0)
    image, *others = (
        rng.integers(0, 255, (height, width, 3)).astype(np.uint8)
        for height, width in ((50, 70), (130, 150), (64, 96), (90, 40))
    )
    (alone,) = vg.predict(model, [image], score=1e-5)
    *_, second = vg.predict(model, [others[0], image], score=1e-5)
    # The only image of the last batch, which is padded to four.
    *_, last = vg.predict(model, [*others, *others[:1], image], score=1e-5, batch_size=4)
    assert len(alone) > 5
    assert alone.masks.area().sum() > 0
    for found in (second, last):
        assert len(found) == len(alone)
        np.testing.assert_allclose(np.asarray(found.boxes), np.asarray(alone.boxes), atol=1e-3)
        assert found.masks.size == alone.masks.size == (50, 70)
        assert (found.masks.bitmaps() != alone.masks.bitmaps()).mean() < 1e-4


def test_levels_finer_than_the_masks_are_an_error():
    offered = FeatureSpec({"p1": LevelSpec(8, 2), "p3": LevelSpec(8, 8)})
    with pytest.raises(ContractError, match="p2 or coarser") as error:
        vg.heads.AnchorFreeMasks(num_classes=2).check(offered, "decoder")
    head = eval(error.value.fix, {"AnchorFreeMasks": vg.heads.AnchorFreeMasks})  # noqa: S307
    head.check(FeatureSpec({level: offered[level] for level in head.levels}), "decoder")
