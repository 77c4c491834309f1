"""Top-k accuracy equals scikit-learn and a case counted by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visiongarden.metrics import TopKAccuracy
from visiongarden.postprocess import Rank
from visiongarden.samples import ImageInfo, Sample
from visiongarden.types import ClassMap

sklearn = pytest.importorskip("sklearn.metrics")


def validated(scores, ground_truths):
    metric = TopKAccuracy(ClassMap([str(i) for i in range(scores.shape[1])]))
    for row, ground_truth in zip(scores, ground_truths, strict=True):
        labels = np.eye(scores.shape[1], dtype=np.float32)[int(ground_truth)]
        metric.update_state([Sample(ImageInfo(0, None, (8, 8)), labels=labels)], [Rank()(row)])
    return metric


def test_by_hand():
    """Six images of three classes; four are right."""
    scores = np.eye(3, dtype=np.float32)[[0, 0, 1, 2, 2, 1]]
    metric = validated(scores, [0, 0, 1, 2, 0, 2])
    result = metric.result()
    assert result["top1"] == pytest.approx(4 / 6)
    assert result["balanced"] == pytest.approx((2 / 3 + 1 + 1 / 2) / 3)
    assert "top5" not in result  # three classes: it would always be 1
    assert metric.per_class()["0"] == {"top1": pytest.approx(2 / 3), "precision": 1.0}
    assert metric.per_class()["1"] == {"top1": 1.0, "precision": 0.5}
    metric.merge_state([validated(scores[:2], [0, 1])])
    assert metric.result()["top1"] == pytest.approx(5 / 8)
    metric.reset_state()
    assert all(np.isnan(v) for v in metric.result().values())


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(2, 12), st.sampled_from([0, 2]))
def test_equals_scikit_learn(seed, count, classes, decimals):
    rng = np.random.default_rng(seed)
    # Different in every row: with ties each library has its own order.
    scores = np.stack([rng.permutation(classes) for _ in range(count)]) / classes
    scores = (scores + decimals).astype(np.float32)
    ground_truths = rng.integers(0, classes, count)
    result = validated(scores, ground_truths).result()
    labels = list(range(classes))
    if classes > 2:
        for k in (1, 5):
            if k < classes:
                wanted = sklearn.top_k_accuracy_score(ground_truths, scores, k=k, labels=labels)
                assert result[f"top{k}"] == pytest.approx(wanted)
    assert result["top1"] == pytest.approx(sklearn.accuracy_score(ground_truths, scores.argmax(1)))
    there = np.unique(ground_truths)
    recalls = sklearn.recall_score(
        ground_truths, scores.argmax(1), labels=there, average=None, zero_division=0
    )
    assert result["balanced"] == pytest.approx(recalls.mean())


def test_ranks():
    found = Rank(score_threshold=0.3)(np.array([0.1, 0.5, 0.4], np.float32))
    assert found.classes.tolist() == [1, 2]
    assert Rank(score_threshold=0.9)(np.array([0.1, 0.5], np.float32)).classes.tolist() == [1]
