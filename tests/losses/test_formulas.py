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
