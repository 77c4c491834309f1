"""Tests of the components, with the checks of visiongarden and exact values."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from acme_vision import Asymmetric, QuadraticKappa


@pytest.mark.visiongarden("acme_vision")  # one test for each component
def test_is_valid(case):
    """Run all checks."""
    case.assert_valid(backends=())


def test_asymmetric_without_focusing_is_the_cross_entropy():
    """Compare with log 2 at p = 0.5."""
    loss = Asymmetric(positive_gamma=0, negative_gamma=0, margin=0)
    assert float(loss(1.0, np.float32(0))) == pytest.approx(np.log(2))
    assert float(loss(0.0, np.float32(0))) == pytest.approx(np.log(2))


def test_kappa():
    """Compare with scikit-learn's cohen_kappa_score(weights="quadratic") of the same grades."""
    metric = QuadraticKappa(3)
    true, found = [0, 1, 2, 2], [0, 2, 2, 0]
    metric.update_state(
        [SimpleNamespace(labels=np.eye(3)[grade]) for grade in true],
        [SimpleNamespace(classes=np.array([grade])) for grade in found],
    )
    assert metric.result()["kappa"] == pytest.approx(0.2857143)
    assert metric.result()["MAE"] == 0.75
