"""Optimizers, schedules, metrics and callbacks of Keras as plain data."""

import re
import sys
import types

import keras
import pytest
from pydantic import ValidationError

import visiongarden as vg
from visiongarden.config import (
    KerasCallback,
    KerasMetric,
    KerasObject,
    KerasOptimizer,
    KerasSchedule,
)
from visiongarden.errors import ConfigError, UserError

COSINE = {"type": "CosineDecay", "initial_learning_rate": 0.5, "decay_steps": 10}


@vg.register(package="test_keras_object")
class Halved(keras.optimizers.SGD):
    def __init__(self, share=0.5, **kwargs):
        super().__init__(**kwargs)
        self.share = share

    def get_config(self):
        return super().get_config() | {"share": self.share}


@pytest.mark.parametrize(
    ("role", "count", "some"),
    [
        (KerasOptimizer, 14, {"AdamW", "SGD", "Lion", "Muon", "RMSprop"}),
        (KerasSchedule, 6, {"CosineDecay", "PiecewiseConstantDecay"}),
        (KerasMetric, 30, {"AUC", "F1Score", "MeanIoU"}),
        (KerasCallback, 8, {"EarlyStopping", "ModelCheckpoint", "CSVLogger", "BackupAndRestore"}),
    ],
)
def test_every_public_class_of_keras_has_a_name(role, count, some):
    names = role.kinds()
    assert some <= names.keys()
    assert len(names) >= count
    module = sys.modules[role.modules[0]]
    for name, kind in names.items():
        if kind.__module__.startswith("keras."):
            assert getattr(module, name) is kind


@pytest.mark.parametrize(
    "written",
    [
        {"type": "AdamW", "learning_rate": 0.01, "weight_decay": 0.1, "clipnorm": 2.0},
        {"type": "SGD", "learning_rate": COSINE, "momentum": 0.9, "nesterov": True},
        {"type": "Halved", "learning_rate": 0.1, "share": 0.25},
        {"type": "test_keras_object>Halved", "learning_rate": 0.1},
        {"type": f"{__name__}:Halved", "learning_rate": 0.1},
        {"type": "LossScaleOptimizer", "inner_optimizer": {"type": "Adam", "learning_rate": 0.5}},
    ],
)
def test_an_optimizer_is_built_and_written_back(written):
    value = KerasOptimizer.from_dict(written)
    assert value.to_dict() == written
    assert KerasOptimizer.from_dict(value.to_dict()) == value
    built = value.build()
    assert isinstance(built, keras.optimizers.Optimizer)
    # An object gives the same config when it is converted and built once more.
    again = KerasOptimizer.model_validate(built)
    assert again.build().get_config() == built.get_config()


def test_a_whole_number_is_a_learning_rate():
    value = KerasOptimizer.from_dict({"type": "SGD", "learning_rate": 1})
    assert float(value.build().learning_rate) == 1


def test_a_schedule_is_that_of_keras():
    found = KerasSchedule.from_dict(COSINE).build()
    # Half a cosine: 0.5 × (1 + cos(π / 2)) / 2 at the middle.
    assert [float(found(step)) for step in (0, 5, 10)] == pytest.approx([0.5, 0.25, 0.0], abs=1e-7)


def test_arguments_that_are_objects():
    written = {"type": "GlorotUniform", "seed": 3}
    assert isinstance(KerasObject.from_dict(written).build(), keras.initializers.GlorotUniform)
    metric = KerasMetric.from_dict({"type": "MeanIoU", "num_classes": 3})
    assert metric.build().num_classes == 3


@pytest.mark.parametrize(
    ("role", "written", "words"),
    [
        (KerasOptimizer, "Adm", "unknown optimizer 'Adm'.*did you mean Adam"),
        (KerasOptimizer, {"learning_rate": 0.1}, "type of the optimizer is missing"),
        (KerasOptimizer, {"type": "Adam", "beta_3": 0.1}, "Adam has no argument 'beta_3'"),
        (KerasOptimizer, {"type": "Adam", "amsgrad": "yes"}, "'amsgrad' of Adam must be true or"),
        (KerasOptimizer, {"type": "Adam", "learning_rate": "0.1"}, "must be a number"),
        (KerasOptimizer, {"type": "Adam", "beta_1": float("nan")}, "is not finite"),
        (
            KerasOptimizer,
            {"type": "Adam", "learning_rate": COSINE | {"alfa": 1}},
            "did you mean al",
        ),
        (KerasOptimizer, {"type": "Halved", "shere": 1}, "did you mean share"),
        (KerasOptimizer, "EarlyStopping", "unknown optimizer"),
        (KerasOptimizer, "not_imported.at_all:Mine", "import not_imported.at_all"),
        (KerasOptimizer, "keras.optimizers:Mine", "keras.optimizers has no optimizer 'Mine'"),
        (KerasOptimizer, 3, "unsupported type"),
        (
            KerasSchedule,
            {"type": "CosineDecay"},
            "needs the arguments 'initial_learning_rate', 'decay_steps'",
        ),
        (KerasCallback, "LambdaCallback", "cannot be named in a recipe"),
        (KerasCallback, "RemoteMonitor", "cannot be named in a recipe"),
        (KerasCallback, {"type": "EarlyStopping", "patience": [1]}, "must be a number"),
        (KerasMetric, {"type": "MeanIoU"}, "needs the argument 'num_classes'"),
    ],
)
def test_what_is_wrong_is_named(role, written, words):
    with pytest.raises(ConfigError) as error:
        owner(role)(value=written)
    assert re.search(words, str(error.value), re.DOTALL)
    assert error.value.fix


def owner(role):
    return type("Owner", (vg.config.Value,), {"__annotations__": {"value": role}})


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"type": "Adam", "clipnorm": 1.0, "clipvalue": 1.0}, "Only one of"),
        ({"type": "SGD", "momentum": 2.0}, "momentum"),
    ],
)
def test_what_keras_refuses_is_one_error(written, words):
    with pytest.raises(ConfigError, match=words) as error:
        KerasOptimizer.from_dict(written).build()
    assert "keras.optimizers." in error.value.fix


def test_an_unknown_mode_is_refused():
    callback = KerasCallback.from_dict({"type": "EarlyStopping", "mode": "maximum"})
    with pytest.raises(ConfigError, match="mode 'maximum' is unknown"):
        callback.build()


def test_an_object_of_an_unregistered_class():
    class Mine(keras.optimizers.SGD):
        pass

    with pytest.raises((UserError, ValidationError), match="optimizer 'Mine' is not registered"):
        KerasOptimizer.model_validate(Mine(0.1))


def test_reading_a_name_imports_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "seen_module", types.ModuleType("seen_module"))
    before = set(sys.modules)
    for name in ("os:system", "antigravity:Optimizer", "seen_module:Optimizer"):
        with pytest.raises(UserError):
            KerasOptimizer.find(name)
    assert set(sys.modules) == before
