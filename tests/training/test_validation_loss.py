"""The loss on the validation split: its value, in the logs and in the picture of a run."""

import keras
import numpy as np
import pytest
from tests.training.tiny import TinyBackbone, batches, classifier, settings

import visiongarden as vg
from visiongarden.data import Loader, read
from visiongarden.evaluation import make_validator
from visiongarden.reporting import plot_history
from visiongarden.scenes import make_scenes
from visiongarden.training import fit


def cross_entropy(logits, labels, smoothing=0.1):
    """Szegedy et al. 2016, section 7: labels smoothed over all classes."""
    labels = labels * (1 - smoothing) + smoothing / labels.shape[1]
    shifted = logits - logits.max(axis=1, keepdims=True)
    return -(labels * (shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))).sum(1)


@pytest.mark.slow_backends
def test_the_validation_loss_is_that_of_the_saved_model(tmp_path):
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=9)
    held_out = [*batches(1), *batches(1, images=3)]
    history = fit(
        classifier(), batches(2), tmp_path, settings(epochs=2), held_out, callbacks=(stop,)
    )
    saved = vg.load(tmp_path / "last.keras")
    losses = []
    for images, targets in held_out:
        (raw,) = saved(images).values()
        logits = keras.ops.convert_to_numpy(raw["classes"])
        losses.append(cross_entropy(logits, targets["labels"]))
    assert history[-1]["val_loss"] == pytest.approx(np.concatenate(losses).mean(), rel=1e-4)
    assert history[0]["val_loss"] != history[1]["val_loss"]
    path = plot_history(history, tmp_path / "curves.png", ("top1",), "top-1")
    assert path.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_padding_of_the_last_batch_is_no_background(tmp_path):
    dataset = read(make_scenes(tmp_path / "scenes", 20, (64, 64)), split="val")
    assert len(dataset) == 4
    keras.utils.set_random_seed(0)
    model = vg.Detector(
        TinyBackbone(),
        vg.decoders.PassOn(levels=("p3",)),
        vg.heads.AnchorFree(num_classes=5, levels=("p3",)),
        64,
    )
    found = make_validator(dataset, batch_size=3, loss=model.parts.head.chosen_loss())(model)
    model.compile("sgd")
    whole = model.evaluate(Loader(dataset, (64, 64), 4), verbose=0, return_dict=True)
    assert found["val_loss"] == pytest.approx(whole["loss"], rel=1e-4)


def test_a_missing_validation_loss_is_reported_once(tmp_path, caplog):
    dataset = read(make_scenes(tmp_path / "scenes", 20, (64, 64)), split="val")
    model = vg.Detector(
        TinyBackbone(),
        vg.decoders.PassOn(levels=("p3",)),
        vg.heads.AnchorFree(num_classes=5, levels=("p3",)),
        64,
    )
    validate = make_validator(Loader(dataset, (96, 96), 4), loss=model.parts.head.chosen_loss())
    for _ in range(2):
        assert "val_loss" not in validate(model)
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "val_loss is not computed"
    ]
