"""Losses of classification and segmentation equal PyTorch's and values computed by hand."""

import numpy as np
import pytest
from keras import ops as k

from visiongarden import losses

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


@pytest.mark.backends
def test_pixels_of_255_are_ignored():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 4, 6, 3)).astype(np.float32)
    masks = rng.integers(0, 3, (2, 4, 6)).astype(np.uint8)
    masks[0, :2] = 255
    loss = losses.SegmentationLoss(num_classes=3)
    assert loss.terms == ("pixel",)
    found = loss({"p2": {"classes": logits}}, semantic=masks, image_size=(4, 6))
    wanted = entropy(
        torch.tensor(logits).permute(0, 3, 1, 2),
        torch.tensor(masks.astype(np.int64)),
        ignore_index=255,
    )
    assert float(found["pixel"]) == pytest.approx(float(wanted), rel=1e-5)
    masks[:] = 255
    nothing = loss({"p2": {"classes": logits}}, semantic=masks, image_size=(4, 6))
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
    assert float(value) == pytest.approx(wanted, abs=1e-6)
    # A fifth pixel that does not count changes nothing.
    more = losses.dice(
        hot[[*ground_truth, 0]][None],
        hot[[*found, 1]][None],
        np.array([[1, 1, 1, 1, 0]], np.float32),
    )
    assert float(more) == pytest.approx(wanted, abs=1e-6)


def test_dice_joins_the_crossentropy():
    logits = np.zeros((1, 2, 2, 2), np.float32)
    loss = losses.SegmentationLoss(num_classes=2, dice_gain=2.0)
    found = loss({"p0": {"classes": logits}}, semantic=np.zeros((1, 2, 2)), image_size=(2, 2))
    assert set(found) == set(loss.terms) == {"pixel", "dice"}
    # Four pixels at 0.5: 1 - 2·2 / (4 + 1), twice.
    assert float(found["dice"]) == pytest.approx(2 * (1 - 4 / 5))
    assert float(found["pixel"]) == pytest.approx(np.log(2))


def test_label_smoothing_reaches_the_loss():
    raw = {"p5": {"classes": np.array([[4.0, 0.0]], np.float32)}}
    plain, smooth = (
        float(
            losses.ClassificationLoss(label_smoothing=s)(
                raw, labels=np.array([[1.0, 0.0]]), image_size=(8, 8)
            )["class"]
        )
        for s in (0.0, 0.2)
    )
    assert smooth == pytest.approx(plain + 0.1 * 4.0)
