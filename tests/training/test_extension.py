"""Runs are extended, end early, and are the same run after each resume."""

import itertools
import json
import os
import re
import signal

import keras
import numpy as np
import pytest
from tests.training.tiny import batches, classifier, settings

import visiongarden as vg
from visiongarden.errors import UserError
from visiongarden.training import fit, record
from visiongarden.training.building import schedule_of


class Interrupt(keras.callbacks.Callback):
    """Ctrl-C after so many steps."""

    def __init__(self, step):
        super().__init__()
        self.left = step

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


def scores(*found):
    values = itertools.chain(found, itertools.repeat(found[-1]))
    return lambda averaged: {"top1": next(values)}


def state(folder):
    """Return the arrays of a checkpoint, and its progress without the time.

    The mean loss of an interrupted epoch is that of its last part, so that it is left out as well.
    """
    with np.load(folder / "resume.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    progress = json.loads(arrays.pop("header").tobytes())
    assert progress.pop("seconds") > 0
    for row in progress["history"]:
        del row["loss"], row["class"]
    return arrays, progress


def cosine(step, steps):
    """Loshchilov & Hutter 2017, equation 5, from 0.002 to 0.00002."""
    return 0.00002 + 0.5 * (0.002 - 0.00002) * (1 + np.cos(np.pi * step / steps))


@pytest.mark.parametrize("extend", ["stretch", pytest.param("restart", marks=pytest.mark.slow)])
def test_a_finished_run_is_extended(tmp_path, caplog, extend):
    caplog.set_level("INFO", logger="visiongarden")
    data, run = batches(3), tmp_path / "run"
    fit(classifier(), data, run, settings(epochs=2))
    caplog.clear()
    longer = settings(epochs=4, extend=extend)
    history = fit(classifier(), data, run, longer, resume=True)
    assert [entry["epoch"] for entry in history] == [1, 2, 3, 4]
    before, after = map(
        float, re.search(r"rate (\S+) before the join, (\S+) after", caplog.text).groups()
    )
    # The last of 6 steps, then step 6 of 12 or the first of 6.
    assert before == pytest.approx(cosine(5, 6), rel=1e-3)
    assert after == pytest.approx(cosine(6, 12) if extend == "stretch" else 0.002, rel=1e-3)
    assert "epochs 2 → 4" in caplog.text
    if extend == "stretch":
        return
    # The extended run is interrupted and resumed once more.
    other = tmp_path / "other"
    fit(classifier(), data, other, settings(epochs=2))
    with pytest.raises(KeyboardInterrupt):
        fit(classifier(), data, other, longer, resume=True, callbacks=(Interrupt(2),))
    caplog.clear()
    fit(classifier(), data, other, longer, resume=True)
    assert "before the join" not in caplog.text
    (one, first), (two, second) = state(run), state(other)
    assert first == second
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_fewer_epochs_than_are_complete(tmp_path):
    fit(classifier(), batches(1), tmp_path, settings(epochs=3))
    with pytest.raises(UserError, match="has 2 epochs, but 3 are complete") as error:
        fit(classifier(), batches(1), tmp_path, settings(epochs=2), resume=True)
    assert error.value.fix == "training.epochs=3"


@pytest.mark.slow
@pytest.mark.backends
def test_all_that_counts_steps_survives_a_resume(tmp_path):
    optimizer = {
        "type": "VectorAdamW", "gradient_accumulation_steps": 2, "global_clipnorm": 0.1,
        "learning_rate": {"warmup_epochs": 1},
    }  # fmt: skip
    options = settings(epochs=4, optimizer=optimizer, ema_decay=0.8, patience=3)
    found = (0.5, 0.6, 0.6, 0.5)
    fit(classifier(), batches(3), tmp_path / "whole", options, scores(*found))
    validate = scores(*found)
    for step in (5, 3):
        with pytest.raises(KeyboardInterrupt):
            fit(
                classifier(), batches(3), tmp_path / "parts", options, validate,
                resume=step == 3, callbacks=(Interrupt(step),),
            )  # fmt: skip
    fit(classifier(), batches(3), tmp_path / "parts", options, validate, resume=True)
    (one, first), (two, second) = (state(tmp_path / name) for name in ("whole", "parts"))
    assert first == second
    assert (first["best"], first["best_epoch"], first["waited"]) == (0.6, 3, 2)
    assert all(np.array_equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_patience_ends_a_run_and_is_kept_in_its_checkpoint(tmp_path, caplog):
    caplog.set_level("INFO", logger="visiongarden")
    options, data = settings(epochs=9, patience=2), batches(1)
    history = fit(classifier(), data, tmp_path, options, scores(0.1, 0.4, 0.4, 0.3))
    # An equal value is no better one.
    assert [row["top1"] for row in history] == [0.1, 0.4, 0.4, 0.3]
    assert "ended after epoch 4 of 9, 2 epochs after its best value" in caplog.text
    assert state(tmp_path)[1]["best_epoch"] == 3
    # It has ended; a higher patience goes on from what was counted.
    assert len(fit(classifier(), data, tmp_path, options, scores(0.3), resume=True)) == 4
    longer = settings(epochs=9, patience=4)
    assert len(fit(classifier(), data, tmp_path, longer, scores(0.3), resume=True)) == 6
    with pytest.raises(UserError, match="patience is set, but the run is not evaluated"):
        fit(classifier(), data, tmp_path / "other", options)


@pytest.mark.slow
def test_the_time_limit_counts_all_parts_of_a_run(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", logger="visiongarden")
    clock = itertools.count()
    monkeypatch.setattr(record.time, "monotonic", lambda: float(next(clock)))
    options = settings(epochs=50, time_limit=20)
    history = fit(classifier(), batches(4), tmp_path, options, scores(0.5))
    assert 1 <= len(history) < 50
    assert "training.time_limit=20" in caplog.text
    assert vg.load(tmp_path / "best.keras").task == "classification"
    again = fit(classifier(), batches(4), tmp_path, options, scores(0.5), resume=True)
    assert len(again) == len(history)
    more = settings(epochs=50, time_limit=40)
    assert len(fit(classifier(), batches(4), tmp_path, more, scores(0.5), resume=True)) > len(again)


@pytest.mark.slow
def test_the_best_model_exists_whatever_ended_the_run(tmp_path, monkeypatch):
    # The time is up in the first step.
    options = settings(epochs=2, time_limit=1e-9)
    assert fit(classifier(), batches(2), tmp_path / "time", options, scores(0.5)) == []
    assert vg.load(tmp_path / "time" / "best.keras")
    # A callback ends the run between two evaluations.
    stop = keras.callbacks.EarlyStopping(monitor="loss", patience=1, min_delta=100.0)
    options = settings(epochs=9, validate_every=4)
    history = fit(
        classifier(), batches(1), tmp_path / "stop", options, scores(0.5), callbacks=(stop,)
    )
    assert len(history) < 4
    assert history[-1]["top1"] == 0.5
    assert vg.load(tmp_path / "stop" / "best.keras")
    assert json.loads((tmp_path / "stop" / "history.json").read_text()) == history


def test_schedules_count_updates_of_the_weights():
    decay = {"type": "PiecewiseConstantDecay", "boundaries": [1], "values": [1.0, 0.5]}
    options = settings(
        optimizer={"type": "SGD", "learning_rate": decay, "gradient_accumulation_steps": 3}
    )
    schedule = schedule_of(options, 12)
    # Updates are made in batches 2, 5, 8, …; the value of a boundary is still the one before it.
    assert [float(schedule(batch)) for batch in (2, 5, 8)] == [1.0, 1.0, 0.5]
    fields = {"learning_rate": {"warmup_epochs": 1}, "gradient_accumulation_steps": 3}
    warmup = schedule_of(settings(epochs=4, optimizer=fields), 12)
    found = [float(warmup(batch)) / 0.002 for batch in (2, 5, 8, 11)]
    np.testing.assert_allclose(found, [0.25, 0.5, 0.75, 1], rtol=1e-6)
