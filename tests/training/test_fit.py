"""`fit` learns, writes complete files, resumes exactly and stops on Ctrl-C."""

import itertools
import json
import os
import signal

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.data import Loader, read
from visiongarden.errors import UserError
from visiongarden.scenes import make_scenes
from visiongarden.scenes.scenes import make_mask_scenes
from visiongarden.tasks import find
from visiongarden.training import Training, fit
from visiongarden.transforms import Affine, HorizontalFlip, Mosaic
from visiongarden.types import Term

SIZE = (64, 64)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return read(make_scenes(tmp_path_factory.mktemp("data") / "scenes", 20, SIZE))


def loader(scenes):
    transforms = (Mosaic(skip_last_epochs=1), Affine(), HorizontalFlip())
    return Loader(scenes, SIZE, 4, transforms, shuffle=True, drop_remainder=True)


def model(dtype=None):
    keras.utils.set_random_seed(0)
    return vg.Detector(
        vg.backbones.CSPDarknet(depth=0.33, width=0.0625),
        vg.decoders.FPN(channels=16),
        vg.heads.AnchorFree(num_classes=5, bins=8),
        SIZE,
        dtype=dtype,
    )


def settings(**changes):
    return Training(
        **(
            {
                "epochs": 3,
                "optimizer": {"learning_rate": {"warmup_epochs": 0}},
                "tensorboard": False,
            }
            | changes
        )
    )


class StopAt(keras.callbacks.Callback):
    """Ctrl-C after so many steps."""

    def __init__(self, step):
        super().__init__()
        self.left = step

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


def rising():
    """Return a validation function whose AP rises with each call."""
    scores = itertools.count(1)
    return lambda averaged: {"AP": 0.1 * next(scores), "AP50": 0.5}


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory, scenes):
    """A run that nobody stopped: its weights and its history."""
    whole = model()
    history = fit(whole, loader(scenes), tmp_path_factory.mktemp("whole"), settings(), rising())
    return whole.get_weights(), history


@pytest.mark.slow  # test_callbacks and test_checkpoints resume smaller runs
@pytest.mark.slow_backends
@pytest.mark.xdist_group("resumed")
@pytest.mark.parametrize("stop_at", [2, 6])
def test_a_resumed_run_is_the_same_run(tmp_path, scenes, whole_run, stop_at):
    weights, history = whole_run
    validate = rising()
    assert [entry["epoch"] for entry in history] == [1, 2, 3]
    with pytest.raises(KeyboardInterrupt):
        fit(
            model(),
            loader(scenes),
            tmp_path / "parts",
            settings(),
            validate,
            callbacks=(StopAt(stop_at),),
        )
    assert (tmp_path / "parts" / "resume.npz").is_file()
    resumed = model()
    again = fit(resumed, loader(scenes), tmp_path / "parts", settings(), validate, resume=True)
    for a, b in zip(weights, resumed.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert [entry["epoch"] for entry in again] == [1, 2, 3]
    assert again[-1]["box"] == pytest.approx(history[-1]["box"], rel=1e-3)


@pytest.mark.slow
def test_what_a_run_leaves(tmp_path, scenes):
    metrics = iter([0.2, 0.5, 0.3])

    def validate(averaged):
        return {"AP": next(metrics)}

    trained = model()
    fit(trained, loader(scenes), tmp_path, settings(tensorboard=True), validate)
    assert {p.name for p in tmp_path.iterdir()} >= {
        "best.keras",
        "last.keras",
        "history.json",
        "resume.npz",
    }
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    history = json.loads((tmp_path / "history.json").read_text())
    assert [entry["AP"] for entry in history] == [0.2, 0.5, 0.3]
    assert set(history[0]) >= {"loss", "box", "class", "dfl"}
    assert history[0]["loss"] == pytest.approx(
        history[0]["box"] + history[0]["class"] + history[0]["dfl"], rel=1e-3
    )
    last = vg.load(tmp_path / "last.keras")
    assert all(map(np.array_equal, last.get_weights(), trained.get_weights()))
    best = vg.load(tmp_path / "best.keras")
    assert not all(map(np.array_equal, best.get_weights(), trained.get_weights()))


@pytest.mark.parametrize(
    "precision",
    [pytest.param(name, marks=pytest.mark.slow) for name in ("mixed_bfloat16", "mixed_float16")],
)
def test_mixed_precision(tmp_path, scenes, precision):
    trained = model(precision)
    history = fit(
        trained, loader(scenes), tmp_path, settings(epochs=2, precision=precision), validate=None
    )
    assert all(np.isfinite(entry["loss"]) for entry in history)
    assert {w.dtype for w in trained.weights} == {"float32"}


@pytest.mark.slow
def test_a_nan_loss_stops_the_run(tmp_path, scenes):
    class Broken(vg.losses.Loss):
        terms = ("box",)

        def __call__(self, raw, targets, context):
            return {"box": Term(keras.ops.sum(raw["p3"]["boxes"]) * np.nan, keras.ops.ones(()))}

    with pytest.raises(UserError, match="the loss became nan in epoch 1"):
        fit(model(), loader(scenes), tmp_path, settings(), loss=Broken())
    assert not (tmp_path / "last.keras").exists()


def test_nothing_to_resume(tmp_path, scenes):
    with pytest.raises(UserError, match="has no checkpoint to resume"):
        fit(model(), loader(scenes), tmp_path, settings(), resume=True)


@pytest.mark.slow  # test_checkpoints has a quick one
@pytest.mark.parametrize("spoil", ["cut", "other run", "no archive"])
def test_a_checkpoint_that_does_not_fit(tmp_path, scenes, spoil):
    fit(model(), loader(scenes), tmp_path, settings(epochs=1))
    file = tmp_path / "resume.npz"
    raw = file.read_bytes()
    changed = settings(epochs=1)
    if spoil == "cut":
        file.write_bytes(raw[: len(raw) // 2])
    elif spoil == "no archive":
        file.write_bytes(b"hello")
    else:
        changed = settings(epochs=1, seed=1)
    with pytest.raises(
        UserError,
        match="a different run: training" if spoil == "other run" else "complete checkpoint",
    ):
        fit(model(), loader(scenes), tmp_path, changed, resume=True)


@pytest.mark.slow
def test_frozen_layers_stay_as_they_are(tmp_path, scenes):
    trained = model()
    for layer in trained.layers:
        layer.trainable = not layer.name.startswith("backbone")
    before = {weight.path: weight.numpy() for weight in trained.weights}
    fit(trained, loader(scenes), tmp_path, settings(epochs=1))
    saved = vg.load(tmp_path / "last.keras")
    for weight, again in zip(trained.weights, saved.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), again.numpy())
        same = (weight.numpy() == before[weight.path]).all()
        assert same == weight.path.startswith("backbone"), weight.path


@vg.register(package="test_fit")
class Dropping(vg.Decoder):
    """Single values; the head's dropout is of channels, which Keras samples in another way."""

    levels: tuple[str, ...] = ("p3",)

    def wire(self, features):
        return {level: keras.layers.Dropout(0.5)(x) for level, x in features.items()}


def segmenter():
    keras.utils.set_random_seed(0)
    return vg.Segmenter(
        vg.backbones.CSPDarknet(levels=("p3",), depth=0.33, width=0.0625),
        Dropping(),
        vg.heads.Segmentation(num_classes=6, dropout=0.5),
        SIZE,
    )


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    root = make_mask_scenes(tmp_path_factory.mktemp("data") / "masks", 10, SIZE)
    order = {"shuffle": True, "drop_remainder": True}
    return find("segmentation").loader(read(root), SIZE, 4, **order)


@pytest.mark.backends
@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() == "jax", reason="seeds are kept as on TensorFlow")
def test_a_resumed_run_samples_the_same_dropout(tmp_path, masks):
    images, whole, parts = masks, segmenter(), tmp_path / "parts"
    fit(whole, images, tmp_path / "whole", settings(epochs=12))
    with pytest.raises(KeyboardInterrupt):
        fit(segmenter(), images, parts, settings(epochs=12), callbacks=(StopAt(3),))
    resumed = segmenter()
    fit(resumed, images, parts, settings(epochs=12), resume=True)
    for one, two in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.backends
@pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch's generator")
@pytest.mark.parametrize(
    ("state", "message"),
    [
        (np.zeros(100_000, np.uint8), "array generator/cpu is larger than"),
        (np.zeros(5000, np.uint8), "complete checkpoint"),
        (np.full(5056, 255, np.uint8), "complete checkpoint"),
        (np.zeros((79, 64), np.uint8), "complete checkpoint"),
        (np.zeros(632), "complete checkpoint"),
        (np.array("x"), "complete checkpoint"),
        (np.array([{}]), "complete checkpoint"),
    ],
)
def test_a_hostile_generator_is_refused(tmp_path, masks, state, message):
    fit(segmenter(), masks, tmp_path, settings(epochs=1))
    with np.load(tmp_path / "resume.npz") as archive:
        arrays = dict(archive)
    assert arrays["generator/cpu"].dtype == np.uint8
    np.savez(tmp_path / "resume.npz", **(arrays | {"generator/cpu": state}))
    with pytest.raises(UserError, match=message):
        fit(segmenter(), masks, tmp_path, settings(epochs=1), resume=True)
