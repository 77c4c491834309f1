"""Frozen layers stay bit-equal, cost no gradients, and are trained from a later epoch on."""

import itertools
import os
import signal

import keras
import numpy as np
import pytest
from tests.training.tiny import batches, classifier, settings, values

import visiongarden as vg
from visiongarden.errors import ConfigError, UserError
from visiongarden.training import Training, fit
from visiongarden.training.rates import rates_of

NATIVE = {"type": "Adam", "learning_rate": 0.01}
BACKBONE = ("backbone/**",)


class At(keras.callbacks.Callback):
    """Call a function with the model after some steps."""

    def __init__(self, steps, function):
        super().__init__()
        self.steps, self.function, self.count = steps, function, 0

    def on_train_batch_end(self, batch, logs=None):
        self.count += 1
        if self.count in self.steps:
            self.function(self.model)


def interrupt(model):
    os.kill(os.getpid(), signal.SIGINT)


def same(before, after, prefix="backbone/"):
    """Return whether all weights of a prefix are bit-equal, and all others changed."""
    equal = {path: np.array_equal(before[path], after[path]) for path in before}
    assert any(equal.values())
    return all(is_equal == path.startswith(prefix) for path, is_equal in equal.items())


@pytest.mark.slow_backends
@pytest.mark.parametrize("optimizer", ["VectorAdamW", NATIVE], ids=["vector", "Keras"])
def test_frozen_weights_statistics_and_averages_stay_bit_equal(tmp_path, optimizer):
    model = classifier()
    generator = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(generator.uniform(0.5, 1.5, weight.shape))
    before = values(model)
    # More steps than PyTorch needs until it captures them.
    options = settings(freeze=BACKBONE, optimizer=optimizer, epochs=2, ema_decay=0.9)
    trained = []
    watch = At([22], lambda model: trained.append(values(model)))
    fit(model, batches(11), tmp_path, options, lambda averaged: {"top1": 0.5}, callbacks=(watch,))
    assert same(before, trained[0])
    for name in ("last", "best"):
        assert same(before, values(vg.load(tmp_path / f"{name}.keras")))
    with np.load(tmp_path / "resume.npz") as archive:
        saved = [name for name in archive.files if name.startswith(("optimizer/", "average/"))]
        sizes = [archive[name].size for name in saved]
    head = sum(value.size for path, value in before.items() if path.startswith("head/"))
    # Two moments and the average, or none of a frozen weight.
    assert sum(size for size in sizes if size > 1) == 3 * head
    # The model is given back with the layers that it had.
    assert len(model.trainable_weights) == 11
    assert not vg.load(tmp_path / "last.keras").backbone.trainable


@pytest.mark.backends
def test_keras_itself_freezes_a_part():
    model = classifier()
    model.backbone.trainable = False
    before = values(model)
    model.compile("adam", jit_compile=False)
    images, targets = batches(1)[0]
    model.fit(images, targets, batch_size=2, epochs=12, verbose=0)
    assert same(before, values(model))


@pytest.mark.slow_backends
@pytest.mark.parametrize(
    ("optimizer", "stop_at"),
    [
        pytest.param("VectorAdamW", 4, marks=pytest.mark.slow, id="frozen"),
        pytest.param("VectorAdamW", 6, id="between"),
        pytest.param(NATIVE, 8, marks=pytest.mark.slow, id="unfrozen"),
    ],
)
def test_a_run_that_unfreezes_is_resumed_exactly(tmp_path, optimizer, stop_at):
    options = settings(
        freeze=BACKBONE, unfreeze_at_epoch=3, epochs=4, optimizer=optimizer,
        learning_rate_factors={"backbone/**": 0.5},
    )  # fmt: skip
    data = batches(3)
    seen = {}

    def watch():
        return At(range(13), lambda model: seen.setdefault(watched.count, values(model)))

    whole, watched = classifier(), watch()
    before = values(whole)
    fit(whole, data, tmp_path / "whole", options, callbacks=(watched,))
    assert same(before, seen[6])
    assert not any(np.array_equal(before[path], seen[12][path]) for path in before)
    with pytest.raises(KeyboardInterrupt):
        fit(classifier(), data, tmp_path / "parts", options, callbacks=(At([stop_at], interrupt),))
    resumed = classifier()
    fit(resumed, data, tmp_path / "parts", options, resume=True)
    for one, two in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    with (
        np.load(tmp_path / "whole" / "resume.npz") as one,
        np.load(tmp_path / "parts" / "resume.npz") as two,
    ):
        assert one.files == two.files
        for name in set(one.files) - {"header"}:
            np.testing.assert_array_equal(one[name], two[name])


@pytest.mark.slow
def test_a_frozen_run_that_has_ended_is_extended_and_unfrozen(tmp_path):
    """It equals the run of this length that was to be unfrozen from the beginning."""
    fields = {"freeze": BACKBONE, "optimizer": NATIVE}
    data = batches(2)
    whole = classifier()
    fit(whole, data, tmp_path / "whole", settings(**fields, epochs=3, unfreeze_at_epoch=3))
    fit(classifier(), data, tmp_path / "parts", settings(**fields, epochs=2))
    early = settings(**fields, epochs=3, unfreeze_at_epoch=2)
    with pytest.raises(UserError, match="unfreeze_at_epoch is 2, but epoch 2 has begun") as error:
        fit(classifier(), data, tmp_path / "parts", early, resume=True)
    assert error.value.fix == "training.unfreeze_at_epoch=3"
    resumed, options = classifier(), settings(**fields, epochs=3, unfreeze_at_epoch=3)
    fit(resumed, data, tmp_path / "parts", options, resume=True)
    for one, two in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    with pytest.raises(UserError, match="are trained already"):
        fit(classifier(), data, tmp_path / "parts", settings(**fields, epochs=4), resume=True)


@pytest.mark.slow
@pytest.mark.slow_backends
def test_a_frozen_run_is_unfrozen_with_a_factor_that_it_did_not_have(tmp_path):
    """It equals the run that had the factor from the beginning, while the backbone was frozen."""
    data, factors = batches(2), {"learning_rate_factors": {"backbone/**": 0.1}}
    fields = {"freeze": BACKBONE, "optimizer": NATIVE, "epochs": 3, "unfreeze_at_epoch": 3}
    whole, resumed = classifier(), classifier()
    fit(whole, data, tmp_path / "whole", settings(**fields, **factors))
    first = settings(freeze=BACKBONE, optimizer=NATIVE, epochs=2)
    fit(classifier(), data, tmp_path / "parts", first)
    options = {"settings": settings(**fields, **factors), "resume": True}
    with pytest.raises(UserError, match="learning_rate_factors changed") as error:
        fit(classifier(), data, tmp_path / "parts", **options)
    assert error.value.fix == (
        "training.learning_rate_factors='{}', or accept the change: accept_changes=True"
    )
    fit(resumed, data, tmp_path / "parts", **options, accept_changes=True)
    for one, two in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def first_updates(tmp_path, optimizer, **changes):
    """Return the change of each weight in the first step of a run."""
    model, seen = classifier(), []
    before = values(model)
    watch = At([1], lambda model: seen.append(values(model)))
    options = settings(optimizer=optimizer, epochs=1, **changes)
    fit(
        model,
        batches(1),
        tmp_path / str(len(list(tmp_path.iterdir()))),
        options,
        callbacks=(watch,),
    )
    trained = {weight.path for weight in model.trainable_weights}
    return {path: seen[0][path] - before[path] for path in before if path in trained}


SGD = {"type": "SGD", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01}
VECTOR = {"type": "VectorSGD", "learning_rate": 0.1, "global_clipnorm": None}


@pytest.mark.slow_backends
@pytest.mark.parametrize(
    "optimizer",
    [pytest.param(SGD, marks=pytest.mark.slow, id="Keras"), pytest.param(VECTOR, id="vector")],
)
def test_the_first_update_is_proportional_to_the_factor(tmp_path, optimizer):
    plain = first_updates(tmp_path, optimizer)
    factors = {"backbone/**": 0.1, "backbone/stem/**": 0.01}
    scaled = first_updates(tmp_path, optimizer, learning_rate_factors=factors)
    for path, change in plain.items():
        factor = 0.01 if "/stem/" in path else 0.1 if path.startswith("backbone/") else 1
        assert np.abs(change).max() > 0
        np.testing.assert_allclose(scaled[path], factor * change, rtol=1e-3, atol=1e-7)


def test_late_weights_start_like_new_ones(tmp_path):
    # The first update of Adam is the learning rate for every gradient that is not 0 (Kingma & Ba
    # 2015, section 2.1), whatever the step at which a weight begins.
    rate = {"type": "WarmupCosine", "peak": 0.01, "warmup_epochs": 0, "final_lr_fraction": 1}
    optimizer = {"type": "VectorAdamW", "learning_rate": rate, "weight_decay": None}
    options = settings(
        freeze=BACKBONE, unfreeze_at_epoch=2, epochs=2, optimizer=optimizer, ema_decay=0.5
    )
    model, seen = classifier(), []
    watch = At([50, 51], lambda model: seen.append(values(model)))
    fit(model, batches(50), tmp_path, options, callbacks=(watch,))
    paths = [path for path in seen[0] if path.startswith("backbone/") and "moving" not in path]
    changes = np.concatenate([np.abs(seen[1][p] - seen[0][p]).ravel() for p in paths])
    changes = changes[changes > 1e-4]
    assert len(changes) > 100
    np.testing.assert_allclose(changes, 0.01, rtol=1e-3)


def test_layer_decay_never_rises_from_the_head_to_the_stem():
    model = classifier()
    factors = rates_of(model, {}, 0.5).factors
    assert set(factors) == {weight.path for weight in model.weights}
    places = ("head", "backbone/last", "backbone/middle", "backbone/stem")
    for place, factor in zip(places, (1, 0.5, 0.25, 0.125), strict=True):
        found = {value for path, value in factors.items() if path.startswith(place)}
        assert found == {factor}, place


def test_layer_decay_of_a_backbone_of_many_layers():
    backbone = vg.backbones.KerasApplication(name="MobileNetV2", levels=("p5",))
    model = vg.Classifier(
        backbone=backbone, head=vg.heads.Classification(num_classes=2), image_size=32
    )
    factors = rates_of(model, {}, 0.75).factors
    order = [factors[weight.path] for weight in model.backbone.weights]
    assert order == sorted(order)
    # 52 convolutions and 52 normalizations, 7 in a group.
    assert order[0] == pytest.approx(0.75**15)
    assert set(factors) == {weight.path for weight in model.weights}


def test_the_table_lists_each_trained_weight_once(tmp_path, caplog):
    caplog.set_level("INFO", logger="visiongarden")
    factors = {"backbone/**": 0.1, "backbone/stem/**": 0.01}
    options = settings(epochs=1, learning_rate_factors=factors, freeze=("backbone/middle",))
    model = classifier()
    fit(model, batches(1), tmp_path, options)
    table = caplog.text.partition("learning rates:")[2]
    rows = [line.split() for line in table.splitlines()[3:6]]
    counts = {row[0]: int(row[1]) for row in rows}
    paths = [weight.path for weight in model.trainable_weights]
    stem = sum("/stem/" in path for path in paths)
    middle = sum("/middle/" in path for path in paths)
    head = sum(path.startswith("head/") for path in paths)
    assert counts == {"1": head, "0.1": len(paths) - head - stem - middle, "0.01": stem}
    assert "frozen: 5 of" in caplog.text


@pytest.mark.parametrize(
    ("changes", "loaded", "message"),
    [
        (
            {"freeze": ("backbon/**",)},
            None,
            r"training\.freeze: .*'backbon/\*\*'.*\n.*\n.*backbone",
        ),
        ({"freeze": ("**/gamma",)}, None, "only some weights of the layer backbone/stem/norm"),
        ({"freeze": ("**",)}, None, "freezes the whole model"),
        ({"freeze": BACKBONE}, (), "15 weights that hold no loaded values"),
        ({"freeze": BACKBONE}, ("backbone/stem/conv/kernel",), "14 weights that hold no"),
        ({"learning_rate_factors": {"nek/**": 1}}, None, "learning_rate_factors: .*'nek"),
        (
            {"learning_rate_factors": {"backbone/*/conv": 1, "backbone/stem": 0.1}},
            None,
            "match the same weights",
        ),
        (
            {"freeze": BACKBONE, "learning_rate_factors": {"backbone/stem": 0.1, "head": 2}},
            None,
            "the factor of 'backbone/stem' has no effect",
        ),
    ],
)
def test_mistakes_are_errors_before_the_first_step(tmp_path, changes, loaded, message):
    model = classifier()
    before = values(model)
    with pytest.raises(ConfigError, match=message):
        fit(model, batches(1), tmp_path / "run", settings(**changes), loaded=loaded)
    assert not (tmp_path / "run").exists()
    assert same(before, values(model), "")
    assert len(model.trainable_weights) == 11


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"unfreeze_at_epoch": 2}, "nothing is frozen"),
        ({"freeze": ["a"], "unfreeze_at_epoch": 5, "epochs": 4}, "has 4 epochs"),
        ({"freeze": ["a"], "unfreeze_at_epoch": 1}, "unfreeze_at_epoch"),
        ({"layer_decay": 0.5, "learning_rate_factors": {"a": 1}}, "both"),
        ({"layer_decay": 0}, "layer_decay"),
        ({"layer_decay": 1.5}, "layer_decay"),
        ({"learning_rate_factors": {"a": 0}}, "learning_rate_factors"),
    ],
)
def test_fields_that_do_not_go_together(fields, message):
    with pytest.raises(ConfigError, match=message):
        Training(**fields)


@pytest.mark.slow
@pytest.mark.slow_backends("torch")
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_several_sizes_and_mixed_precision(tmp_path, precision):
    class Sizes:
        """A loader whose batches alternate between two sizes."""

        image_size, sizes, batch_size = (16, 16), ((16, 16), (24, 24)), 4

        def __len__(self):
            return 4

        def epoch(self, number, epochs=None):
            pairs = itertools.zip_longest(batches(2, 16), batches(2, 24))
            for images, targets in itertools.chain(*pairs):
                yield vg.samples.Batch(images, targets, None)

    options = settings(
        freeze=BACKBONE, unfreeze_at_epoch=2, epochs=2, precision=precision,
        learning_rate_factors={"head/**": 0.5},
    )  # fmt: skip
    model, seen = classifier(dtype=precision), []
    before = values(model)
    watch = At([4, 8], lambda model: seen.append(values(model)))
    fit(model, Sizes(), tmp_path, options, callbacks=(watch,))
    assert same(before, seen[0])
    assert not any(np.array_equal(before[path], seen[1][path]) for path in before)
