"""Keras's own callbacks do what their documentation states, in `model.fit` and in runs."""

import csv

import cv2
import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.errors import UserError
from visiongarden.tasks import find
from visiongarden.training import Training, VectorAdamW, VectorSGD, fit

SIZE = (32, 32)


@vg.register(package="test_callbacks_of_keras")
class Patches(vg.Backbone):
    """One convolution, which is traced in no time."""

    levels: tuple[str, ...] = ("p5",)

    def wire(self, image):
        return {"p5": keras.layers.Conv2D(4, 32, strides=32)(image)}


def model(optimizer=None):
    keras.utils.set_random_seed(0)
    made = vg.Classifier(
        backbone=Patches(),
        head=vg.heads.Classification(num_classes=2, dropout=0.0),
        image_size=SIZE,
        class_map=("dark", "light"),
    )
    if optimizer is not None:
        made.compile(optimizer, jit_compile=keras.backend.backend() == "jax")
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "set"
    for number in range(12):
        target = root / ("val" if number > 7 else "train") / ("dark" if number % 2 else "light")
        target.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
        cv2.imwrite(str(target / f"{number}.png"), pixels)
    return root


def loader(folder, split="train"):
    make, shuffled = find("classification").loader, {"shuffle": True, "drop_remainder": True}
    data = vg.read(folder, split=split)
    return make(data, SIZE, 4, [], **shuffled) if split == "train" else make(data, SIZE, 4)


class Interrupt(keras.callbacks.Callback):
    """Fails at the beginning of an epoch, as a machine does."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise RuntimeError("interrupted")


class Epochs(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.numbers, self.rates, self.weights = [], [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.numbers.append(epoch)
        self.rates.append(float(self.model.optimizer.learning_rate))
        self.weights.append(self.model.get_weights())


def assert_same(one, other):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.slow_backends
def test_backup_and_restore_continues_fit(folder, tmp_path):
    """The weights are those of a run without interruption: optimizer, epochs and images agree."""

    def run(*callbacks):
        made = model(VectorAdamW(0.01))
        made.fit(loader(folder), epochs=4, verbose=0, callbacks=[*callbacks])
        return made

    whole, epochs = run(), Epochs()
    backup = tmp_path / "backup"
    with pytest.raises(RuntimeError, match="interrupted"):
        run(keras.callbacks.BackupAndRestore(backup), Interrupt(2))
    assert backup.exists()
    again = run(epochs, keras.callbacks.BackupAndRestore(backup))
    assert epochs.numbers == [2, 3]
    assert_same(again, whole)
    assert not backup.exists()


@pytest.mark.slow
def test_backup_and_restore_continues_a_run(folder, tmp_path):
    """By name in the settings; the moving average continues, too."""
    backup = tmp_path / "backup"
    named = {"type": "BackupAndRestore", "backup_dir": str(backup)}

    def run(name, *callbacks, settings=()):
        made = model()
        training = Training(epochs=4, tensorboard=False, callbacks=list(settings))
        history = fit(made, loader(folder), tmp_path / name, training, callbacks=callbacks)
        return made, history

    whole, _ = run("whole")
    with pytest.raises(RuntimeError, match="interrupted"):
        run("first", Interrupt(2), settings=[named])
    again, history = run("second", settings=[named])
    assert [row["epoch"] for row in history] == [3, 4]
    assert_same(again, whole)
    assert not backup.exists()


@pytest.mark.slow
def test_a_resumed_run_ignores_no_backup(folder, tmp_path):
    """`resume` and a backup of the same epoch continue with the same weights."""
    named = {"type": "BackupAndRestore", "backup_dir": str(tmp_path / "backup")}
    settings = Training(epochs=3, tensorboard=False, callbacks=[named])
    whole, again = model(), model()
    fit(whole, loader(folder), tmp_path / "whole", Training(epochs=3, tensorboard=False))
    with pytest.raises(RuntimeError, match="interrupted"):
        fit(model(), loader(folder), tmp_path / "run", settings, callbacks=(Interrupt(1),))
    history = fit(again, loader(folder), tmp_path / "run", settings, resume=True)
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert_same(again, whole)


@pytest.mark.slow_backends
@pytest.mark.parametrize("optimizer", [VectorAdamW, VectorSGD])
def test_reduce_on_plateau_sets_the_rate_of_vectorized_optimizers(folder, optimizer):
    """The loss never falls by 100, so that the rate is 0 from the third epoch on."""
    made, epochs = model(optimizer(learning_rate=0.01)), Epochs()
    reduce = keras.callbacks.ReduceLROnPlateau("loss", factor=0.0, patience=1, min_delta=100.0)
    made.fit(loader(folder), epochs=4, verbose=0, callbacks=[epochs, reduce])
    assert epochs.rates == pytest.approx([0.01, 0.01, 0.0, 0.0])
    first, second, third, fourth = epochs.weights
    assert not np.array_equal(first[0], second[0])
    assert not np.array_equal(second[0], third[0])
    assert all(map(np.array_equal, third, fourth))


def test_early_stopping_restores_the_best_weights(folder):
    """Weights that get worse: those of the first epoch remain."""
    made, epochs = model(keras.optimizers.SGD(-0.05)), Epochs()
    stop = keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True)
    history = made.fit(
        loader(folder), validation_data=loader(folder, "val"), epochs=5, verbose=0,
        callbacks=[epochs, stop],
    ).history  # fmt: skip
    losses = history["val_loss"]
    assert len(losses) < 5
    found = made.evaluate(loader(folder, "val"), verbose=0, return_dict=True)["loss"]
    assert found == pytest.approx(min(losses), rel=1e-5)


def test_restored_weights_would_be_lost_in_a_run(folder, tmp_path):
    stop = {"type": "EarlyStopping", "monitor": "loss", "restore_best_weights": True}
    settings = Training(epochs=1, tensorboard=False, callbacks=[stop])
    with pytest.raises(UserError, match="moving average") as error:
        fit(model(), loader(folder), tmp_path / "run", settings)
    assert "training.ema_decay=null" in error.value.fix
    assert not (tmp_path / "run").exists()


def test_checkpoints_of_weights(folder, tmp_path):
    made = model(VectorAdamW(0.01))
    path = tmp_path / "{epoch}.weights.h5"
    save = keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
    made.fit(loader(folder), epochs=2, verbose=0, callbacks=[save])
    again = model(VectorAdamW(0.01))
    again.optimizer.build(again.trainable_variables)
    again.load_weights(tmp_path / "2.weights.h5")
    assert_same(again, made)
    assert int(again.optimizer.iterations) == 4


@pytest.mark.slow
def test_a_recipe_names_them(folder, tmp_path):
    """Each by name in one recipe; the files are those that their documentation describes."""
    watch = {"monitor": "val_top1", "mode": "max"}
    fields = {
        "data": {"path": str(folder)},
        "transforms": [],
        "model": {
            "backbone": {"type": "test_callbacks_of_keras>Patches"},
            "decoder": {"type": "PassOn", "levels": ["p5"]},
            "head": {"type": "Classification", "dropout": 0.0},
            "image_size": 32,
        },
        "training": {
            "epochs": 6,
            "batch_size": 4,
            "tensorboard": False,
            "optimizer": {"type": "SGD", "learning_rate": 1e-12},
            "callbacks": [
                {"type": "EarlyStopping", "patience": 3} | watch,
                {"type": "ModelCheckpoint", "filepath": str(tmp_path / "{epoch}.keras")} | watch,
                {"type": "ReduceLROnPlateau", "patience": 1, "factor": 0.5} | watch,
                {"type": "CSVLogger", "filename": str(tmp_path / "log.csv")},
                {"type": "BackupAndRestore", "backup_dir": str(tmp_path / "backup")},
            ],
        },
    }
    result = vg.train(fields, output=tmp_path / "run")
    # Nothing is learned at such a rate: three epochs follow the first without improvement.
    assert len(result.history) == 4
    assert sorted(p.name for p in tmp_path.glob("*.keras")) == [f"{n}.keras" for n in (1, 2, 3, 4)]
    assert vg.load(tmp_path / "4.keras").class_map.names == ("dark", "light")
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [float(row["val_top1"]) for row in rows] == [row["top1"] for row in result.history]
    assert not (tmp_path / "backup").exists()
