"""Checkpoints within an epoch, the two that are kept, and what a resumed run continues with."""

import importlib.util
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from tests.training.tiny import TinyBackbone, batches, settings

import visiongarden as vg
from visiongarden.errors import ConfigError, UserError
from visiongarden.training import (
    CheckpointInterval,
    Stopped,
    Training,
    fit,
    newest_checkpoint,
    read_state,
)
from visiongarden.training.checkpoint_writer import CheckpointWriter
from visiongarden.training.checkpoints import write_checkpoint
from visiongarden.training.run_place import RunPlace


def model(precision=None):
    """A classifier with dropout, which draws random numbers in each step."""
    keras.utils.set_random_seed(0)
    head = vg.heads.Classification(num_classes=2, dropout=0.5)
    return vg.Classifier(backbone=TinyBackbone(), head=head, image_size=16, dtype=precision)


class Killed(BaseException):
    """Simulates SIGKILL: nothing in the program handles it."""


class KillAfter(keras.callbacks.Callback):
    """Ends the run after a number of steps, without a further checkpoint."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise Killed


class Signal(keras.callbacks.Callback):
    """Sends a signal after a number of steps."""

    def __init__(self, number, steps):
        super().__init__()
        self.number, self.left = number, steps

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.number)


class Lower(keras.callbacks.Callback):
    """A callback with a state: it counts epochs."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_begin(self, logs=None):
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(epoch)

    def get_state(self):
        return {"seen": self.seen}

    def set_state(self, state):
        self.seen = state["seen"]


def scores():
    """A validation whose value falls from the second epoch on."""
    return lambda averaged: {"top1": 0.5}


PLATEAU = {"type": "EarlyStopping", "monitor": "val_top1", "mode": "max", "patience": 4}
FIELDS = {"epochs": 4, "checkpoint_every": "2 steps", "callbacks": [PLATEAU]}


def run(folder, *callbacks, precision="float32", **options):
    trained, fields = model(precision), settings(**FIELDS, precision=precision)
    history = fit(trained, batches(5), folder, fields, scores(), callbacks=callbacks, **options)
    return trained, history


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    counted = Lower()
    _, history = run(folder, counted)
    assert counted.seen == [0, 1, 2, 3]
    return read_state(newest_checkpoint(folder)), history


def assert_equal(state, other):
    progress, arrays = state
    assert progress.history == other[0].history
    assert (progress.epoch, progress.step) == (other[0].epoch, other[0].step)
    assert (progress.best, progress.waited) == (other[0].best, other[0].waited)
    assert progress.callbacks == other[0].callbacks
    assert arrays.keys() == other[1].keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, other[1][name], err_msg=name)


@pytest.mark.backends
@pytest.mark.parametrize("steps", [(3, 4), pytest.param((8, 1, 1, 7), marks=pytest.mark.slow)])
def test_a_killed_run_is_the_same_run(tmp_path, whole, steps):
    """Also the means of the epoch in which it was killed, and what callbacks count."""
    folder = tmp_path / "run"
    for number, count in enumerate(steps):
        with pytest.raises(Killed):
            run(folder, Lower(), KillAfter(count), resume=number > 0)
        assert newest_checkpoint(folder).name == "resume.npz"
    counted = Lower()
    _, history = run(folder, counted, resume=True)
    assert counted.seen == [0, 1, 2, 3]
    assert history == whole[1]
    assert_equal(whole[0], read_state(newest_checkpoint(folder)))


@pytest.mark.slow
@pytest.mark.backends
def test_a_killed_run_in_bfloat16_is_the_same_run(tmp_path):
    complete, killed = tmp_path / "complete", tmp_path / "killed"
    _, expected = run(complete, precision="mixed_bfloat16")
    with pytest.raises(Killed):
        run(killed, KillAfter(7), precision="mixed_bfloat16")
    trained, history = run(killed, precision="mixed_bfloat16", resume=True)
    assert trained.dtype_policy.name == "mixed_bfloat16"
    assert history == expected
    assert_equal(*(read_state(newest_checkpoint(folder)) for folder in (complete, killed)))


RESUME = """
import sys
from pathlib import Path
from tests.training.test_checkpoints import run

trained, history = run(Path(sys.argv[1]), resume=True)
print([entry["epoch"] for entry in history])
"""


@pytest.mark.slow
@pytest.mark.parametrize("other", ["jax", "torch"])
def test_a_run_is_resumed_on_another_backend(tmp_path, other):
    """In the middle of an epoch; the weights of the epochs before are those of the checkpoint."""
    if importlib.util.find_spec(other) is None:
        pytest.skip(f"{other} is not installed")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", Signal(signal.SIGINT, 8))
    before, _ = read_state(newest_checkpoint(tmp_path / "run"))
    assert (before.epoch, before.step) == (1, 3)
    words = [sys.executable, "-c", RESUME, str(tmp_path / "run")]
    path = os.pathsep.join(each or str(Path.cwd()) for each in sys.path)
    environment = os.environ | {"KERAS_BACKEND": other, "PYTHONPATH": path}
    found = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert found.stdout.splitlines()[-1:] == ["[1, 2, 3, 4]"], found.stderr[-2000:]
    after, _ = read_state(newest_checkpoint(tmp_path / "run"))
    assert after.history[: before.epoch] == before.history


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1"])
def test_a_signal_saves_the_step(tmp_path, name, caplog):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt) as stopped:
        run(tmp_path / "run", Signal(number, 3))
    assert isinstance(stopped.value, Stopped) == (name != "SIGINT")
    assert signal.getsignal(number) is before
    assert f"{name}: the run is saved and ends" in caplog.text
    progress, arrays = read_state(tmp_path / "run" / "resume.npz")
    assert (progress.epoch, progress.step) == (0, 3)
    assert int(arrays["optimizer/0"]) == 3


@pytest.fixture
def default_interrupt():
    """Python's handler of Ctrl-C, which a process that was started in the background lacks."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("default_interrupt")
def test_a_second_interrupt_waits_for_nothing(tmp_path, monkeypatch):
    writer = "visiongarden.training.checkpoint_writer.write_checkpoint"
    going_on = threading.Event()
    monkeypatch.setattr(writer, lambda *arguments: going_on.wait(60))

    class Twice(Signal):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch)
            if self.left == 0:
                # While the run waits for its checkpoint.
                threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", Twice(signal.SIGINT, 3))
    assert time.monotonic() - began < 45
    going_on.set()


def arrays_of(number):
    return {"header": np.frombuffer(b"{}", np.uint8), "model/a": np.full(1000, number)}


def spoil(file, how):
    raw = bytearray(file.read_bytes())
    if how == "cut":
        raw = raw[: len(raw) // 2]
    elif how == "empty":
        raw = b""
    else:
        place = raw.index(b"model/a") + 500
        raw[place] ^= 1
    file.write_bytes(raw)


@pytest.mark.parametrize("how", ["cut", "empty", "one bit"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, caplog, how):
    newest, previous = tmp_path / "resume.npz", tmp_path / "resume.previous.npz"
    for number in (1, 2, 3):
        write_checkpoint(tmp_path, arrays_of(number))
    assert sorted(p.name for p in tmp_path.iterdir()) == [newest.name, previous.name]
    assert newest_checkpoint(tmp_path) == newest
    assert not caplog.text
    spoil(newest, how)
    assert newest_checkpoint(tmp_path) == previous
    assert str(newest) in caplog.text
    assert str(previous) in caplog.text
    # The damaged file never replaces the good one.
    writer = CheckpointWriter(RunPlace(tmp_path), resumed_from=previous)
    writer.write(arrays_of(4))
    writer.wait()
    assert [np.load(file)["model/a"][0] for file in (newest, previous)] == [4, 2]
    writer.write(arrays_of(5))
    writer.wait()
    assert [np.load(file)["model/a"][0] for file in (newest, previous)] == [5, 4]
    spoil(newest, how)
    spoil(previous, "cut")
    with pytest.raises(UserError, match=r"resume.npz and .*resume.previous.npz are not a complete"):
        newest_checkpoint(tmp_path)


def test_a_run_killed_between_two_names_has_the_checkpoint_before(tmp_path, caplog):
    write_checkpoint(tmp_path, arrays_of(1))
    (tmp_path / "resume.npz").rename(tmp_path / "resume.previous.npz")
    assert newest_checkpoint(tmp_path).name == "resume.previous.npz"
    assert not caplog.text


def test_a_packed_checkpoint_is_not_unpacked(tmp_path):
    np.savez_compressed(tmp_path / "resume.npz", header=np.zeros(10**6, np.uint8))
    with pytest.raises(UserError, match="is compressed"):
        newest_checkpoint(tmp_path)


def test_a_state_that_is_not_finite_is_not_written(tmp_path):
    class Overflow(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                weight = self.model.trainable_weights[-1]
                weight.assign(weight.value * np.inf)

    with pytest.raises(UserError, match=r"became (infinite or NaN|nan) in epoch 1"):
        run(tmp_path / "run", Overflow())
    assert not list((tmp_path / "run").glob("resume*"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("10 minutes", (10.0, None)),
        ("0.5min", (0.5, None)),
        ("500 steps", (None, 500)),
        ({"minutes": 3, "steps": 7}, (3.0, 7)),
    ],
)
def test_intervals(given, expected):
    interval = Training(checkpoint_every=given).checkpoint_every
    assert (interval.minutes, interval.steps) == expected
    assert (
        Training.from_dict(Training(checkpoint_every=given).to_dict()).checkpoint_every == interval
    )


@pytest.mark.parametrize(
    "given", [10, "10", "10 epochs", "0 steps", "1.5 steps", {}, {"minutes": -1}]
)
def test_intervals_that_are_refused(given):
    with pytest.raises(ConfigError):
        Training(checkpoint_every=given)


def test_when_a_checkpoint_is_due():
    interval = CheckpointInterval(minutes=2, steps=100)
    assert not interval.is_over(119, 99)
    assert interval.is_over(120, 1)
    assert interval.is_over(1, 100)


@pytest.mark.slow
def test_a_callback_whose_state_cannot_be_saved(tmp_path):
    class Array(Lower):
        def get_state(self):
            return {"a": np.zeros(3)}

    with pytest.raises(UserError, match="the state of the callback Array cannot be saved"):
        run(tmp_path / "run", Array())


@pytest.mark.slow
def test_restored_weights_of_early_stopping_are_not_in_a_checkpoint(tmp_path, caplog):
    caplog.set_level(logging.WARNING, logger="visiongarden")
    stopping = PLATEAU | {"restore_best_weights": True}
    fields = FIELDS | {"callbacks": [stopping], "ema_decay": None, "epochs": 1}
    fit(model(), batches(2), tmp_path, settings(**fields), scores())
    more = settings(**fields | {"epochs": 2})
    fit(model(), batches(2), tmp_path, more, scores(), resume=True)
    assert "EarlyStopping 1 counts from the beginning" in caplog.text
    assert json.loads((tmp_path / "history.json").read_text())[-1]["epoch"] == 2
