"""Mean IoU equals scikit-learn and a case counted by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visiongarden.errors import UserError
from visiongarden.metrics import MeanIoU
from visiongarden.samples import ImageInfo, Sample
from visiongarden.types import ClassMap, Segments

sklearn = pytest.importorskip("sklearn.metrics")


def validated(pairs, classes=3):
    metric = MeanIoU(ClassMap([str(i) for i in range(classes)]))
    for found, ground_truth in pairs:
        found = np.asarray(found, np.uint8)
        mask = np.asarray(ground_truth, np.uint8)
        sample = Sample(ImageInfo(0, None, mask.shape), semantic=mask)
        metric.update_state([sample], [Segments(found, np.ones(found.shape))])
    return metric


def test_by_hand():
    """Eight pixels, one ignored: class 0 has 2 of 4, class 1 has 3 of 5, class 2 does not occur."""
    metric = validated([([[0, 0, 1, 1], [1, 1, 0, 1]], [[0, 0, 0, 1], [1, 1, 1, 255]])])
    result = metric.result()
    assert metric.per_class()["0"]["IoU"] == pytest.approx(2 / 4)
    assert metric.per_class()["1"]["IoU"] == pytest.approx(3 / 5)
    assert np.isnan(metric.per_class()["2"]["IoU"])
    assert result["mIoU"] == pytest.approx((2 / 4 + 3 / 5) / 2)
    assert result["accuracy"] == pytest.approx(5 / 7)
    assert result["balanced"] == pytest.approx((2 / 3 + 3 / 4) / 2)


def test_merged_metrics_equal_one_metric_of_all_images():
    pairs = [([[0, 1, 2]], [[0, 1, 1]]), ([[2, 2, 0]], [[2, 0, 0]])]
    whole, first = validated(pairs), validated(pairs[:1])
    first.merge_state([validated(pairs[1:])])
    assert first.result() == whole.result()


def test_a_class_that_is_only_predicted_counts():
    assert validated([([[0, 2]], [[0, 0]])]).result()["mIoU"] == pytest.approx((1 / 2 + 0) / 2)


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(1, 4))
def test_equals_scikit_learn(seed, classes, images):
    rng = np.random.default_rng(seed)
    sizes = [tuple(rng.integers(1, 9, 2)) for _ in range(images)]
    pairs = [
        (rng.integers(0, classes, size), np.where(rng.random(size) < 0.1, 255, ground_truth))
        for size in sizes
        for ground_truth in [rng.integers(0, classes, size)]
    ]
    metric = validated(pairs, classes)
    ground_truth = np.concatenate([t.ravel() for _, t in pairs])
    found = np.concatenate([f.ravel() for f, _ in pairs])[ground_truth != 255]
    ground_truth = ground_truth[ground_truth != 255]
    labels = range(classes)
    if not len(ground_truth):
        assert np.isnan(metric.result()["mIoU"])
        return
    np.testing.assert_array_equal(
        metric.confusion, sklearn.confusion_matrix(ground_truth, found, labels=list(labels))
    )
    there = np.union1d(ground_truth, found)
    wanted = sklearn.jaccard_score(ground_truth, found, labels=there, average=None)
    assert metric.result()["mIoU"] == pytest.approx(wanted.mean())
    assert metric.result()["accuracy"] == pytest.approx(sklearn.accuracy_score(ground_truth, found))


@pytest.mark.parametrize(
    ("found", "ground_truth", "message"),
    [([[0, 1]], [[0], [1]], "different sizes"), ([[7]], [[0]], "outside the 3")],
)
def test_invalid_masks(found, ground_truth, message):
    with pytest.raises(UserError, match=message):
        validated([(found, ground_truth)])
