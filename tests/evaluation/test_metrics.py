"""Metrics besides those of the task: custom ones, and Keras's."""

import importlib

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.errors import UserError
from visiongarden.evaluation import evaluate
from visiongarden.samples import ImageInfo, Sample
from visiongarden.types import ClassMap, Ranking, Segments

NAMES = ClassMap(("cat", "dog", "owl"))
SCORES = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.5, 0.4, 0.1], [0.2, 0.2, 0.6]], np.float32)
LABELS = np.eye(3, dtype=np.float32)[[0, 2, 1, 0]]


class Model:
    task = "classification"
    class_map = NAMES
    image_size = (8, 8)


class Fixed:
    """Replaces a predictor: the i-th image of the dataset has the i-th row of scores."""

    image_size = (8, 8)

    def __call__(self, images):
        rows = images[:, 0, 0, 0]
        order = [np.argsort(-SCORES[i], kind="stable") for i in rows]
        return [Ranking(o.astype(np.int32), SCORES[i][o]) for i, o in zip(rows, order, strict=True)]


def dataset():
    samples = [
        Sample(ImageInfo(i, None, (8, 8)), np.full((8, 8, 3), i, np.uint8), labels=label)
        for i, label in enumerate(LABELS)
    ]
    return vg.data.Dataset(NAMES, samples)


class ImagesSeen:
    name = "images_seen"

    def reset_state(self):
        self.ids, self.best = [], []

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.ids += [sample.info.id for sample in y_true]
        self.best += [found.scores.max() for found in y_pred]

    def result(self):
        return {"images": len(self.ids), "best": np.float32(np.mean(self.best))}


def test_custom_metrics_receive_lists_of_samples_and_results():
    metric = ImagesSeen()
    result = evaluate(Model, dataset(), predictor=Fixed(), metrics=[metric], batch_size=3)
    assert metric.ids == [0, 1, 2, 3]
    assert result["images"] == 4
    assert result["best"] == pytest.approx(np.mean([0.7, 0.6, 0.5, 0.6]))
    assert result["top1"] == pytest.approx(2 / 4)
    assert "images_seen" not in result.metrics


def test_metrics_of_keras_receive_arrays():
    """By hand: cross-entropy of the scores of the right classes, and two of four are right."""
    metrics = [keras.metrics.CategoricalAccuracy(), keras.metrics.CategoricalCrossentropy()]
    result = evaluate(Model, dataset(), predictor=Fixed(), metrics=metrics, batch_size=3)
    assert result["categorical_accuracy"] == pytest.approx(2 / 4)
    expected = -np.log([0.7, 0.6, 0.4, 0.2]).mean()
    assert result["categorical_crossentropy"] == pytest.approx(expected, rel=1e-5)
    # Each evaluation begins without the images of the one before.
    again = evaluate(Model, dataset(), predictor=Fixed(), metrics=metrics, batch_size=2)
    assert again.metrics == pytest.approx(result.metrics)


def test_metrics_of_keras_leave_out_ignored_pixels():
    """Three of four counted pixels are right; the fifth is ignored."""
    mask = np.array([[0, 1, 1, 2, 255]], np.uint8)
    sample = Sample(ImageInfo(0, None, mask.shape), semantic=mask)
    classes = np.array([[0, 1, 2, 2, 1]], np.uint8)
    arrays = vg.tasks.find("segmentation").arrays([sample], [Segments(classes, np.ones((1, 5)))])
    metric = keras.metrics.Accuracy()
    metric.update_state(*arrays)
    assert float(metric.result()) == pytest.approx(3 / 4)


class WithoutReset:
    name = "x"

    def update_state(self, y_true, y_pred, sample_weight=None): ...
    def result(self): ...


class NoneInPlaceOfAMethod(keras.metrics.Mean):
    reset_state = None


class WithoutNumber(ImagesSeen):
    def result(self):
        return {"images": "many"}


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ([WithoutReset()], r"the metric WithoutReset has no method reset_state\(\)"),
        (
            [NoneInPlaceOfAMethod()],
            r"the metric NoneInPlaceOfAMethod has no method reset_state\(\)",
        ),
        ([ImagesSeen], "the metric ImagesSeen is a class"),
        ([WithoutNumber()], "the metric 'images_seen' is not a number"),
        ([ImagesSeen(), ImagesSeen()], "two metrics have the name 'images_seen'"),
        ([keras.metrics.CategoricalAccuracy(name="top1")], "two metrics return the value 'top1'"),
        ("AP", "metrics is of type str"),
    ],
)
def test_invalid_metrics_are_refused(metrics, message):
    with pytest.raises(UserError, match=message):
        evaluate(Model, dataset(), predictor=Fixed(), metrics=metrics)


def test_a_metric_of_keras_cannot_evaluate_boxes():
    task = vg.tasks.find("detection")
    with pytest.raises(UserError, match="cannot be evaluated by a metric of Keras") as error:
        task.arrays([], [])
    assert "update_state" in error.value.fix


def test_our_metrics_refuse_weights():
    with pytest.raises(UserError, match="has no weights"):
        vg.metrics.TopKAccuracy(NAMES).update_state([], [], sample_weight=[1])


def test_every_metric_of_a_task_has_the_methods_of_keras():
    module = importlib.import_module("visiongarden.metrics")
    for name in set(module.__all__) - {"Metric"}:
        assert isinstance(getattr(module, name)(NAMES), vg.metrics.Metric)
