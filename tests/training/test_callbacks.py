"""Optimizers and callbacks of Keras in a run, and what is refused before it starts."""

import csv
import logging

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.errors import UserError
from visiongarden.training import Training, fit, lower_rate
from visiongarden.training.building import make_optimizer


@vg.register(package="test_callbacks")
class Patches(vg.Backbone):
    """One convolution, which is traced in no time."""

    levels: tuple[str, ...] = ("p5",)

    def wire(self, image):
        return {"p5": keras.layers.Conv2D(4, 32, strides=32)(image)}


def model():
    keras.utils.set_random_seed(0)
    return vg.Classifier(
        backbone=Patches(), head=vg.heads.Classification(num_classes=2), image_size=(32, 32)
    )


def batches(count=3):
    random = np.random.default_rng(0)
    return [
        (
            random.integers(0, 255, (4, 32, 32, 3)).astype(np.uint8),
            {"labels": np.eye(2, dtype=np.float32)[random.integers(0, 2, 4)]},
        )
        for _ in range(count)
    ]


def scores(*values):
    """A function that evaluates to these values in turn."""
    rest = iter(values)
    return lambda averaged: {"top1": next(rest)}


def run(folder, values, callbacks, epochs=None, **settings):
    settings = Training(
        epochs=epochs or len(values), tensorboard=False, callbacks=callbacks, **settings
    )
    trained = model()
    return trained, fit(trained, batches(), folder, settings, scores(*values))


KERAS = {"type": "SGD", "learning_rate": 0.1}


def test_early_stopping_stops_after_its_patience(tmp_path):
    stop = {"type": "EarlyStopping", "monitor": "val_top1", "mode": "max", "patience": 2}
    _, history = run(tmp_path, [0.1, 0.5, 0.4, 0.3, 0.9], [stop])
    # The best epoch is the second; two epochs without improvement follow.
    assert [row["top1"] for row in history] == [0.1, 0.5, 0.4, 0.3]


def test_reduce_on_plateau_lowers_the_rate(tmp_path):
    rates = []

    class Rates(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))

    reduce = {"type": "ReduceLROnPlateau", "monitor": "val_top1", "mode": "max", "factor": 0.1}
    settings = Training(
        epochs=4, tensorboard=False, optimizer=KERAS, callbacks=[reduce | {"patience": 1}]
    )
    fit(model(), batches(), tmp_path, settings, scores(0.5, 0.5, 0.5, 0.5), callbacks=(Rates(),))
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.001])


def test_callbacks_receive_the_model_and_it_stays_as_it_was_compiled(tmp_path):
    class Models(keras.callbacks.Callback):
        found = ()

        def on_epoch_end(self, epoch, logs=None):
            self.found += (self.model,)

    trained, models = model(), Models()
    trained.compile(keras.optimizers.Adam(0.25))
    before = trained.optimizer
    fit(trained, batches(), tmp_path, Training(epochs=2, tensorboard=False), callbacks=(models,))
    assert models.found == (trained, trained)
    assert trained.optimizer is before
    assert int(before.iterations) == 0
    assert trained.compiled
    trained.fit(*batches()[0], verbose=0)
    assert int(before.iterations) == 1


def test_checkpoints_are_models(tmp_path):
    path = str(tmp_path / "best_{epoch}.keras")
    save = {"type": "ModelCheckpoint", "filepath": path, "monitor": "val_top1", "mode": "max"}
    run(tmp_path / "run", [0.1, 0.5, 0.4], [save | {"save_best_only": True}])
    assert sorted(p.name for p in tmp_path.glob("*.keras")) == ["best_1.keras", "best_2.keras"]
    saved = vg.load(tmp_path / "best_2.keras")
    assert type(saved) is vg.Classifier
    assert int(saved.optimizer.iterations) == 6


def test_the_table_has_the_names_of_keras(tmp_path):
    file = tmp_path / "log.csv"
    _, history = run(
        tmp_path / "run",
        [0.5, 0.25],
        [{"type": "CSVLogger", "filename": str(file)}],
        epochs=4,
        validate_every=2,
    )
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert [row["val_top1"] for row in rows] == ["NA", "0.5", "NA", "0.25"]
    assert [float(row["loss"]) for row in rows] == pytest.approx([row["loss"] for row in history])


@pytest.mark.backends
@pytest.mark.parametrize(
    "optimizer",
    [
        {"type": "Adam", "learning_rate": 0.01, "clipnorm": 1.0},
        {"type": "VectorSGD", "gradient_accumulation_steps": 2},
    ],
    ids=["Keras", "vector"],
)
def test_a_run_resumes_exactly(tmp_path, optimizer):
    """Six steps together equal four, and then two more."""

    class StopAfter(keras.callbacks.Callback):
        seen = 0

        def on_train_batch_end(self, batch, logs=None):
            self.seen += 1
            if self.seen == 4:
                raise KeyboardInterrupt

    settings = Training(epochs=2, tensorboard=False, optimizer=optimizer)
    # Each is made just before it is trained: dropout draws from PyTorch's global generator.
    whole = model()
    fit(whole, batches(), tmp_path / "whole", settings)
    parts = model()
    with pytest.raises(KeyboardInterrupt):
        fit(parts, batches(), tmp_path / "parts", settings, callbacks=(StopAfter(),))
    resumed = model()
    fit(resumed, batches(), tmp_path / "parts", settings, resume=True)
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_optimizer_of_a_run_is_reported(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="visiongarden")
    run(tmp_path / "a", [0.5], [])
    run(tmp_path / "b", [0.5], [], optimizer=KERAS)
    lines = [line for line in caplog.messages if line.startswith("optimizer ")]
    assert lines[0].startswith("optimizer VectorAdamW (vectorized), learning rate WarmupCosine (")
    assert lines[1].startswith("optimizer SGD (Keras), learning rate 0.1, constant, ")


def test_objects_of_keras_are_optimizers(tmp_path):
    settings = Training(optimizer=keras.optimizers.RMSprop(0.25, rho=0.5))
    assert settings.optimizer.type == "RMSprop"
    built = make_optimizer(settings, 10).optimizer
    assert type(built).__name__ == "RMSprop"
    assert (float(built.learning_rate), built.rho) == (0.25, 0.5)


def test_a_number_is_the_peak_of_the_default_schedule():
    optimizer = make_optimizer(Training(epochs=10, optimizer={"learning_rate": 0.5}), 4)
    # Warm-up of a quarter of the run, at most 3 epochs: 10 steps.
    assert float(optimizer.optimizer.learning_rate) == pytest.approx(0.05)
    constant = make_optimizer(Training(optimizer={"type": "AdamW", "learning_rate": 0.5}), 4)
    assert float(constant.optimizer.learning_rate) == 0.5


@pytest.mark.parametrize(
    ("optimizer", "field", "rate"),
    [
        ({"learning_rate": 0.5}, "training.optimizer.learning_rate.peak", 0.002),
        ({"type": "SGD", "learning_rate": 0.5}, "training.optimizer.learning_rate", 0.05),
        ({"type": "Adam"}, "training.optimizer.learning_rate", 0.0001),
    ],
)
def test_a_rate_to_try_after_divergence(optimizer, field, rate):
    assert lower_rate(Training(optimizer=optimizer)) == (field, pytest.approx(rate))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"callbacks": ["ReduceLROnPlateau"]}, "which the schedule WarmupCosine determines"),
        ({"callbacks": [{"type": "EarlyStopping", "monitor": "loss", "mode": "m"}]}, "mode 'm'"),
        ({"optimizer": {"type": "SGD", "momentum": 2.0}}, "does not accept its arguments"),
        ({"optimizer": {"learning_rate": {"peak": -1.0}}}, "must be greater than 0"),
    ],
)
def test_what_is_refused_before_a_run(tmp_path, settings, words):
    settings = Training(epochs=1, tensorboard=False, **settings)
    with pytest.raises(UserError, match=words) as error:
        fit(model(), batches(), tmp_path / "run", settings)
    assert error.value.fix
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("callback", "words"),
    [
        ({"type": "EarlyStopping", "monitor": "val_los"}, "did you mean .*val_loss"),
        ({"type": "EarlyStopping", "monitor": "val_top2"}, "did you mean .*val_top1"),
        ({"type": "EarlyStopping", "monitor": "val_top1"}, "whether 'val_top1' should rise"),
    ],
)
def test_a_monitor_that_is_not_logged(tmp_path, callback, words):
    settings = Training(epochs=1, tensorboard=False, callbacks=[callback])
    with pytest.raises(UserError, match=words):
        fit(model(), batches(), tmp_path / "run", settings, validate=batches())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "warmup_epochs"])
def test_numbers_of_the_optimizer_have_one_place(name):
    with pytest.raises(UserError, match=f"unknown field '{name}'") as error:
        Training.from_dict({name: 1.0})
    assert error.value.fix.startswith("training.optimizer.")
    override = error.value.fix.removeprefix("training.")
    fields = vg.config.apply_overrides({}, [override])
    assert Training.from_dict(fields)
