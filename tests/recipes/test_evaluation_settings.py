"""Metrics by name in a recipe, and the one that selects the best model."""

import cv2
import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.errors import UserError
from visiongarden.recipes import resolve, train


@vg.register(package="test_evaluation")
class Spread(vg.Backbone):
    """One convolution, which is traced in no time."""

    levels: tuple[str, ...] = ("p5",)

    def wire(self, image):
        return {"p5": keras.layers.Conv2D(4, 32, strides=32)(image)}


@vg.register(package="test_evaluation")
class MeanScore:
    """Mean score of the best class: a metric that is no metric of Keras."""

    def __init__(self, name="score", power=1.0):
        self.name, self.power = name, power
        self.reset_state()

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.scores += [float(found.scores[0]) ** self.power for found in y_pred]

    def result(self):
        return sum(self.scores) / len(self.scores)

    def reset_state(self):
        self.scores = []


@vg.register(package="test_evaluation")
class Incomplete:
    name = "incomplete"

    def update_state(self, y_true, y_pred, sample_weight=None):
        pass

    def result(self):
        return 0.0


@vg.register(package="test_evaluation")
class Failing(MeanScore):
    def update_state(self, y_true, y_pred, sample_weight=None):
        raise KeyError("a")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "set"
    for number in range(12):
        split = "val" if number % 3 == 2 else "train"
        folder = root / split / ("dark" if number % 2 else "light")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (32, 32, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), pixels)
    return root


def recipe(images, **evaluation):
    return {
        "model": {
            "backbone": {"type": "Spread"},
            "head": {"type": "Classification"},
            "image_size": 32,
        },
        "data": {"path": str(images)},
        "training": {"epochs": 2, "batch_size": 4, "validate_every": 1, "tensorboard": False},
        "evaluation": evaluation,
    }


def test_metrics_of_keras_and_of_others_are_logged_and_select_the_best(images, tmp_path):
    fields = recipe(
        images,
        metrics=[
            {"type": "CategoricalCrossentropy", "name": "entropy"},
            {"type": "MeanScore", "power": 2.0},
        ],
        per_class=["precision"],
        monitor="entropy",
        mode="min",
    )
    fields["training"]["callbacks"] = [
        {"type": "EarlyStopping", "monitor": name, "mode": "max", "patience": 9}
        for name in ("val_score", "val_precision/dark")
    ]
    result = train(fields, output=tmp_path / "run")
    logged = {"entropy", "score", "top1", "precision/dark", "precision/light"}
    assert all(logged <= row.keys() for row in result.history)
    last = result.metrics.per_class["dark"]["precision"]
    assert result.metrics["precision/dark"] == pytest.approx(last, nan_ok=True)
    best = min(row["entropy"] for row in result.history)
    assert result.metrics["entropy"] == pytest.approx(best, rel=1e-5)
    # From the images alone: the mean squared score of the best class.
    found = list(result.model().classify(sorted((images / "val").rglob("*.png"))))
    assert result.metrics["score"] == pytest.approx(
        np.mean([float(each.scores[0]) ** 2 for each in found]), rel=1e-4
    )
    assert "entropy=" in repr(result)
    again = resolve(tmp_path / "run" / "recipe.yaml")
    assert again.evaluation.to_dict() == {
        "metrics": fields["evaluation"]["metrics"], "per_class": ["precision"],
        "monitor": "entropy", "mode": "min",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("evaluation", "words", "fix"),
    [
        ({"metrics": ["F1Scor"]}, "unknown metric 'F1Scor'", "did you mean F1Score"),
        ({"metrics": [{"type": "F1Score", "averge": "macro"}]}, "no argument 'averge'", "average"),
        ({"metrics": [{"type": "F1Score", "average": "mean"}]}, "does not accept", "help("),
        ({"metrics": ["F1Score"]}, "is not a number", ""),
        ({"metrics": ["Incomplete"]}, "has no method reset_state", "def reset_state(self)"),
        ({"metrics": ["Failing"]}, "failed with KeyError: 'a'", "the code of Failing"),
        ({"metrics": ["MeanScore", "MeanScore"]}, "two metrics have the name", "score_2"),
        ({"metrics": ["MeanScore"], "monitor": "score"}, "rise or fall", "evaluation.mode=max"),
        ({"monitor": "val_top1"}, "is not computed", "evaluation.monitor=top1"),
        ({"per_class": ["AP"]}, "not computed for each class", "top1"),
        ({"monitor": "top1/dull"}, "is not computed", "top1/dark"),
        ({"monitor": "top2"}, "is not computed", "top1"),
        ({"monitor": "top1", "mode": "up"}, "evaluation.mode", ""),
        ({"metric": []}, "unknown field 'metric'", "metrics"),
    ],
)
def test_what_is_wrong_is_an_error_before_training(images, tmp_path, evaluation, words, fix):
    with pytest.raises(UserError) as error:
        train(recipe(images, **evaluation), output=tmp_path / "run")
    assert words in str(error.value)
    assert fix in (error.value.fix or "")
    assert not (tmp_path / "run").exists()
