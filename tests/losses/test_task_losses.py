"""Losses of classification and segmentation equal PyTorch's and values computed by hand."""

import numpy as np
import pytest
from keras import ops as k

from visiongarden import heads, losses
from visiongarden.errors import UserError
from visiongarden.types import HeadContext

torch = pytest.importorskip("torch")
entropy = torch.nn.functional.cross_entropy


@pytest.mark.backends
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_softmax_crossentropy_equals_torch(smoothing):
    rng = np.random.default_rng(0)
    logits = np.concatenate([rng.normal(0, 5, (20, 7)), [[1e4] * 6 + [-1e4]]]).astype(np.float32)
    targets = rng.dirichlet(np.ones(7), 21).astype(np.float32)
    wanted = entropy(
        torch.tensor(logits), torch.tensor(targets), reduction="none", label_smoothing=smoothing
    ).numpy()
    found = k.convert_to_numpy(losses.softmax_crossentropy(targets, logits, smoothing))
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=1e-5)


def values_of(loss, num_classes, raw, image_size, **targets):
    head = heads.Segmentation(num_classes=num_classes)
    return losses.quotients(loss(raw, targets, HeadContext(head, image_size, None)))


@pytest.mark.backends
def test_pixels_of_255_are_ignored():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 4, 6, 3)).astype(np.float32)
    masks = rng.integers(0, 3, (2, 4, 6)).astype(np.uint8)
    masks[0, :2] = 255
    loss = losses.SegmentationLoss()
    assert loss.terms == ("pixel",)
    found = values_of(loss, 3, {"p2": {"classes": logits}}, (4, 6), semantic=masks)
    wanted = entropy(
        torch.tensor(logits).permute(0, 3, 1, 2),
        torch.tensor(masks.astype(np.int64)),
        ignore_index=255,
    )
    assert float(found["pixel"]) == pytest.approx(float(wanted), rel=1e-5)
    masks[:] = 255
    nothing = values_of(loss, 3, {"p2": {"classes": logits}}, (4, 6), semantic=masks)
    assert float(nothing["pixel"]) == 0


@pytest.mark.backends
@pytest.mark.parametrize(
    ("ground_truth", "found", "wanted"),
    [
        ([0, 0, 1, 1], [0, 0, 1, 1], 0.0),
        ([0, 0, 1, 1], [1, 1, 0, 0], 1.0),
        # Class 0: 2·1 / (2 + 1); class 1: 2·2 / (2 + 3).
        ([0, 0, 1, 1], [0, 1, 1, 1], 1 - (2 / 3 + 4 / 5) / 2),
        # The ground truth has no class 1, so only class 0 counts: 2·3 / (4 + 3).
        ([0, 0, 0, 0], [0, 0, 0, 1], 1 - 6 / 7),
    ],
)
def test_dice_by_hand(ground_truth, found, wanted):
    hot = np.eye(2, dtype=np.float32)
    weights = np.ones((1, 4), np.float32)
    value = losses.dice(hot[ground_truth][None], hot[found][None], weights)
    assert value.shape == (1,)
    assert float(value[0]) == pytest.approx(wanted, abs=1e-6)
    # A fifth pixel that does not count changes nothing.
    more = losses.dice(
        hot[[*ground_truth, 0]][None],
        hot[[*found, 1]][None],
        np.array([[1, 1, 1, 1, 0]], np.float32),
    )
    assert float(more[0]) == pytest.approx(wanted, abs=1e-6)


def test_dice_joins_the_crossentropy():
    logits = np.zeros((1, 2, 2, 2), np.float32)
    loss = losses.SegmentationLoss(region_loss=losses.Dice(), region_gain=2.0)
    found = values_of(loss, 2, {"p0": {"classes": logits}}, (2, 2), semantic=np.zeros((1, 2, 2)))
    assert set(found) == set(loss.terms) == {"pixel", "region"}
    # Four pixels at 0.5: 1 - 2·2 / (4 + 1), twice.
    assert float(found["region"]) == pytest.approx(2 * (1 - 4 / 5))
    assert float(found["pixel"]) == pytest.approx(np.log(2))


def test_label_smoothing_reaches_the_loss():
    raw = {"p5": {"classes": np.array([[4.0, 0.0]], np.float32)}}
    plain, smooth = (
        float(
            values_of(
                losses.ClassificationLoss(label_smoothing=s),
                2,
                raw,
                (8, 8),
                labels=np.array([[1.0, 0.0]]),
            )["class"]
        )
        for s in (0.0, 0.2)
    )
    assert smooth == pytest.approx(plain + 0.1 * 4.0)


@pytest.mark.backends
def test_class_weights_equal_torch():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 4, 6, 3)).astype(np.float32)
    masks = rng.integers(0, 3, (2, 4, 6))
    masks[0, :2] = 255
    weights = (0.0, 1.0, 2.5)
    found = values_of(
        losses.SegmentationLoss(class_weights=weights),
        3,
        {"p2": {"classes": logits}},
        (4, 6),
        semantic=masks,
    )
    wanted = entropy(
        torch.tensor(logits).permute(0, 3, 1, 2),
        torch.tensor(masks),
        weight=torch.tensor(weights),
        ignore_index=255,
    )
    assert float(found["pixel"]) == pytest.approx(float(wanted), rel=1e-5)
    labels = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 5)]
    values = rng.normal(size=(5, 3)).astype(np.float32)
    loss = losses.ClassificationLoss(label_smoothing=0, class_weights=weights)
    found = values_of(loss, 3, {"p5": {"classes": values}}, (8, 8), labels=labels)
    wanted = entropy(
        torch.tensor(values), torch.tensor(labels.argmax(axis=1)), weight=torch.tensor(weights)
    )
    assert float(found["class"]) == pytest.approx(float(wanted), rel=1e-5)


def test_the_hardest_pixels_are_the_mean_of_the_largest_losses():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(1, 4, 5, 3)).astype(np.float32)
    masks = rng.integers(0, 3, (1, 4, 5))
    loss = losses.SegmentationLoss(hardest=0.25)
    found = values_of(loss, 3, {"p2": {"classes": logits}}, (4, 5), semantic=masks)
    each = entropy(
        torch.tensor(logits).permute(0, 3, 1, 2), torch.tensor(masks), reduction="none"
    ).numpy()
    assert float(found["pixel"]) == pytest.approx(np.sort(each.ravel())[-5:].mean(), rel=1e-5)


def test_the_number_of_class_weights_is_that_of_the_classes():
    loss = losses.ClassificationLoss(class_weights=(1.0, 2.0))
    raw = {"p5": {"classes": np.zeros((1, 3), np.float32)}}
    with pytest.raises(UserError, match="the loss has 2 class weights") as caught:
        values_of(loss, 3, raw, (8, 8), labels=np.eye(3)[:1])
    assert "3, one for each class" in str(caught.value)
