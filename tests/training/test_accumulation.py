"""An update of several batches is the one of a batch of all their images."""

import keras
import numpy as np
import pytest
from tests.training import tiny, two_processes

import visiongarden as vg
from visiongarden.backends import torch_step
from visiongarden.training import Training, fit

LOSS = vg.losses.SegmentationLoss(region_loss="Dice")
SGD = {"type": "VectorSGD", "learning_rate": 0.05, "momentum": 0.0, "global_clipnorm": None}


@vg.register(package="test_accumulation")
class PlainBackbone(vg.Backbone):
    """Convolutions without normalization, whose weights are regularized."""

    levels: tuple[str, ...] = ("p3",)

    def wire(self, images):
        x = images
        for number in range(3):
            x = keras.layers.Conv2D(
                4, 3, 2, "same", activation="silu", name=f"conv_{number}",
                kernel_regularizer=keras.regularizers.L2(0.1),
            )(x)  # fmt: skip
        return {"p3": x}


def segmenter():
    """Its two terms have different counts, pixels and images."""
    keras.utils.set_random_seed(0)
    return vg.Segmenter(
        backbone=PlainBackbone(),
        decoder=vg.decoders.PassOn(levels=("p3",)),
        head=vg.heads.Segmentation(num_classes=3, dropout=0.0, loss=LOSS),
        image_size=16,
    )


def masks(images=8):
    """Most pixels of the first half of the batch are ignored, so that its count is small."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, (images, 16, 16)).astype(np.int32)
    classes[: images // 2, 2:] = 255
    pixels = rng.integers(0, 255, (images, 16, 16, 3)).astype(np.uint8)
    return pixels, {"semantic": classes}


def updated(make, batch, folder, pieces, **changes):
    """Weights after and before the updates of an epoch."""
    model = make()
    before = two_processes.trained(model)
    settings = Training(**{"epochs": 1, "optimizer": SGD, "ema_decay": None, "tensorboard": False,
                           "accumulate_steps": pieces, **changes})  # fmt: skip
    fit(model, two_processes.pieces(batch, pieces), folder, settings)
    return two_processes.trained(model), before


def assert_one_update(make, batch, tmp_path, pieces=2, **changes):
    expected, before = updated(make, batch, tmp_path / "whole", 1, **changes)
    found, _ = updated(make, batch, tmp_path / "parts", pieces, **changes)
    assert max(np.abs(a - b).max() for a, b in zip(expected, before, strict=True)) > 1e-3
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.backends
def test_terms_with_one_count(tmp_path):
    """The numbers of objects of the two halves of the batch differ."""
    (batch,) = two_processes.batches(1)
    batch[1]["classes"][:4, 1:] = -1
    assert_one_update(lambda: two_processes.detector(normalizes=False), batch, tmp_path)


@pytest.mark.slow
@pytest.mark.slow_backends
def test_terms_with_several_counts_and_losses_of_layers(tmp_path):
    assert_one_update(segmenter, masks(), tmp_path)


@pytest.mark.slow
@pytest.mark.backends
def test_steps_that_are_not_captured(tmp_path, monkeypatch):
    """As with an untested version of PyTorch; the step of Keras has no parts."""
    if keras.backend.backend() != "torch":
        pytest.skip("other backends capture no steps")
    monkeypatch.setattr(torch_step, "is_on", lambda name: False)
    assert_one_update(segmenter, masks(), tmp_path)


def test_an_optimizer_of_keras(tmp_path):
    rates = {"type": "SGD", "learning_rate": 0.05}
    assert_one_update(segmenter, masks(), tmp_path, pieces=4, optimizer=rates)


@pytest.mark.slow  # tests/training/test_optimizers.py counts the updates of a complete run
def test_the_last_update_of_an_epoch_has_the_remaining_batches(tmp_path):
    """Three batches are two updates in each epoch, and a run ends after one of them."""
    counted = []

    class Count(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            counted.append(int(self.model.optimizer.iterations))
            if len(counted) == 4:
                self.model.stop_training = True

    model = tiny.classifier()
    run = tiny.settings(epochs=2, accumulate_steps=2)
    fit(model, tiny.batches(3), tmp_path, run, callbacks=(Count(),))
    assert counted == [0, 1, 2, 2, 3]
    fit(tiny.classifier(), tiny.batches(3), tmp_path, run, callbacks=(Count(),), resume=True)
    assert counted == [0, 1, 2, 2, 3, 4]
    plain = tiny.classifier()
    fit(plain, tiny.batches(3), tmp_path / "plain", run)
    last = vg.load(tmp_path / "last.keras")
    for path, value in tiny.values(plain).items():
        assert np.array_equal(value, tiny.values(last)[path]), path
