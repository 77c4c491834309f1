"""Formulas equal PyTorch's and the special cases of the papers."""

import numpy as np
import pytest
from keras import ops as k

from visiongarden import losses

torch = pytest.importorskip("torch")


def found(x):
    return k.convert_to_numpy(x)


@pytest.mark.backends
def test_binary_crossentropy_equals_torch():
    rng = np.random.default_rng(0)
    logits = np.concatenate([rng.normal(0, 5, 50), [-1000, 1000, 0]]).astype(np.float32)
    targets = rng.random(53).astype(np.float32)
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.tensor(logits), torch.tensor(targets), reduction="none"
    ).numpy()
    np.testing.assert_allclose(
        found(losses.binary_crossentropy(targets, logits)), wanted, rtol=1e-5, atol=1e-6
    )


@pytest.mark.backends
@pytest.mark.parametrize("right", [0.1, 0.5, 0.9, 0.99])
def test_focal_is_the_papers_formula(right):
    """Lin et al. 2017, equation 5: -alpha (1 - p)**gamma log p."""
    logit = np.float32(np.log(right / (1 - right)))
    wanted = -0.25 * (1 - right) ** 2 * np.log(right)
    assert float(losses.focal(np.float32(1), logit)) == pytest.approx(wanted, rel=1e-3)
    wanted = -0.75 * (1 - right) ** 2 * np.log(right)
    assert float(losses.focal(np.float32(0), -logit)) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.backends
def test_distribution_focal_is_the_papers_formula():
    """Li et al. 2020, equation 6, by cross-entropies of the two neighbors."""
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(20, 8)).astype(np.float32), rng.uniform(0, 7, 20)
    low = np.floor(targets).astype(int).clip(0, 6)
    loss = torch.nn.functional.cross_entropy
    wanted = (low + 1 - targets) * loss(
        torch.tensor(logits), torch.tensor(low), reduction="none"
    ).numpy() + (targets - low) * loss(
        torch.tensor(logits), torch.tensor(low + 1), reduction="none"
    ).numpy()
    np.testing.assert_allclose(
        found(losses.distribution_focal(targets.astype(np.float32), logits)), wanted, rtol=1e-4
    )


PROBABILITIES = [0.05, 0.3, 0.5, 0.9]


def logits_of(probabilities):
    p = np.asarray(probabilities, np.float64)
    return np.log(p / (1 - p)).astype(np.float32)


@pytest.mark.backends
@pytest.mark.parametrize("quality", [0.0, 0.2, 0.7, 1.0])
def test_varifocal_is_the_papers_formula(quality):
    """Zhang et al. 2021, equation 2, for each kind of target."""
    p = np.array(PROBABILITIES)
    positive = -quality * (quality * np.log(p) + (1 - quality) * np.log(1 - p))
    wanted = positive if quality else -0.75 * p**2 * np.log(1 - p)
    targets = np.full(4, quality, np.float32)
    np.testing.assert_allclose(found(losses.varifocal(targets, logits_of(p))), wanted, rtol=1e-4)


@pytest.mark.backends
@pytest.mark.parametrize("quality", [0.0, 0.2, 0.7, 1.0])
def test_quality_focal_is_the_papers_formula(quality):
    """Li et al. 2020, equation 4."""
    p = np.array(PROBABILITIES)
    entropy = -(quality * np.log(p) + (1 - quality) * np.log(1 - p))
    wanted = np.abs(quality - p) ** 2 * entropy
    targets = np.full(4, quality, np.float32)
    np.testing.assert_allclose(
        found(losses.quality_focal(targets, logits_of(p))), wanted, rtol=1e-4, atol=1e-7
    )


@pytest.mark.backends
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_smooth_l1_equals_torch(beta):
    rng = np.random.default_rng(0)
    targets, values = rng.normal(0, 2, (2, 200)).astype(np.float32)
    wanted = torch.nn.functional.smooth_l1_loss(
        torch.tensor(values), torch.tensor(targets), reduction="none", beta=beta
    )
    np.testing.assert_allclose(
        found(losses.smooth_l1(targets, values, beta)), wanted.numpy(), rtol=1e-5, atol=1e-6
    )


@pytest.mark.backends
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_softmax_crossentropy_equals_torch(smoothing):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (50, 5)).astype(np.float32)
    ids = rng.integers(0, 5, 50)
    weights = np.array([0, 0.5, 1, 2, 3], np.float32)
    wanted = torch.nn.functional.cross_entropy(
        torch.tensor(logits),
        torch.tensor(ids),
        weight=torch.tensor(weights),
        label_smoothing=smoothing,
        reduction="none",
    )
    hot = np.eye(5, dtype=np.float32)[ids]
    result = losses.softmax_crossentropy(hot, logits, smoothing, class_weights=weights)
    np.testing.assert_allclose(found(result), wanted.numpy(), rtol=1e-5, atol=1e-6)


def pixels(seed, hard=False):
    """Return targets, probabilities and weights of 2 images of 40 pixels with 3 of 4 classes."""
    rng = np.random.default_rng(seed)
    targets = np.eye(4, dtype=np.float32)[rng.integers(0, 3, (2, 40))]
    values = rng.normal(0, 2, (2, 40, 4))
    probabilities = np.exp(values) / np.exp(values).sum(axis=-1, keepdims=True)
    if hard:
        probabilities = np.eye(4)[values.argmax(axis=-1)]
    return targets, probabilities.astype(np.float32), (rng.random((2, 40)) > 0.2).astype(np.float32)


def iou_of(real, guess):
    return (real & guess).sum() / (real | guess).sum()


@pytest.mark.backends
@pytest.mark.parametrize("seed", range(3))
def test_lovasz_of_hard_predictions_is_one_minus_iou(seed):
    """Berman et al. 2018, section 2.2: the extension equals the set function on its corners."""
    targets, probabilities, weights = pixels(seed, hard=True)
    result = found(losses.lovasz(targets, probabilities, weights))
    for image in range(2):
        rows = weights[image] > 0
        real, guess = targets[image][rows] > 0, probabilities[image][rows] > 0
        wanted = np.mean(
            [1 - iou_of(real[:, c], guess[:, c]) for c in range(4) if real[:, c].any()]
        )
        assert result[image] == pytest.approx(wanted, abs=1e-5)


@pytest.mark.backends
def test_lovasz_is_the_integral_over_thresholds():
    """The extension is the mean, over thresholds, of 1 - IoU of the errors above the threshold."""
    targets, probabilities, weights = pixels(0)
    result = found(losses.lovasz(targets, probabilities, weights))
    edges = np.linspace(0, 1, 20001)
    thresholds = (edges[1:] + edges[:-1]) / 2
    for image in range(2):
        rows = weights[image] > 0
        real, share = targets[image][rows] > 0, probabilities[image][rows].astype(np.float64)
        errors = np.abs(real - share)
        values = []
        for c in range(3):
            wrong = errors[:, c] > thresholds[:, None]
            missed, false = (wrong & real[:, c]).sum(axis=1), (wrong & ~real[:, c]).sum(axis=1)
            count = real[:, c].sum()
            values.append(np.mean(1 - (count - missed) / (count + false)))
        assert result[image] == pytest.approx(np.mean(values), abs=2e-4)


@pytest.mark.backends
@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.7), (0.5, 0.5), (1.0, 1.0)])
def test_tversky_is_the_papers_formula(alpha, beta):
    targets, probabilities, weights = pixels(1)
    result = found(losses.tversky(targets, probabilities, weights, alpha, beta))
    for image in range(2):
        rows = weights[image] > 0
        real, share = targets[image][rows], probabilities[image][rows]
        both = (real * share).sum(axis=0)
        false, missed = ((1 - real) * share).sum(axis=0), (real * (1 - share)).sum(axis=0)
        values = (1 - both / (both + alpha * false + beta * missed))[real.any(axis=0)]
        assert result[image] == pytest.approx(values.mean(), abs=1e-5)


@pytest.mark.backends
@pytest.mark.parametrize("loss", [losses.lovasz, losses.tversky])
def test_an_image_without_counted_pixels_has_no_loss(loss):
    targets, probabilities, _ = pixels(2)
    assert found(loss(targets, probabilities, np.zeros((2, 40), np.float32))).tolist() == [0, 0]


@pytest.mark.backends
@pytest.mark.parametrize("fraction", [0.01, 0.25, 1.0])
def test_hardest_selects_the_largest_losses_that_count(fraction):
    rng = np.random.default_rng(0)
    values = rng.exponential(size=(3, 30)).astype(np.float32)
    weights = (rng.random((3, 30)) > 0.4).astype(np.float32)
    weights[2] = 0
    top, kept = map(found, losses.hardest(values, weights, fraction))
    count = max(1, int(np.ceil(fraction * 30)))
    assert top.shape == kept.shape == (3, count)
    for image in range(3):
        wanted = np.sort(values[image][weights[image] > 0])[::-1][:count]
        assert sorted(top[image][kept[image] > 0], reverse=True) == wanted.tolist()
