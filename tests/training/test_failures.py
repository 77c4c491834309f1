"""What ends a run in its middle: divergence, memory, a folder that vanishes, a dead process."""

import errno
import multiprocessing
import os
import re
import shutil
import signal
import sys

import cv2
import keras
import numpy as np
import pytest
from keras import ops
from tests.training.tiny import TinyBackbone, batches, settings

import visiongarden as vg
from visiongarden.backends.out_of_memory import out_of_memory
from visiongarden.data import read
from visiongarden.errors import DataError, UserError
from visiongarden.tasks import find
from visiongarden.training import (
    DivergedError,
    MemoryShortError,
    Training,
    fit,
    newest_checkpoint,
    read_state,
)
from visiongarden.types import Term


@vg.register(package="test_failures")
class Greedy(vg.Backbone):
    """Allocates 36 TB in a step."""

    levels: tuple[str, ...] = ("p3",)

    def wire(self, images):
        return {"p3": TooMuch()(TinyBackbone().wire(images)["p3"])}


@vg.register(package="test_failures")
class TooMuch(keras.layers.Layer):
    def call(self, inputs):
        # Constants would be computed while the graph is built, so this depends on the input.
        # A compiler can simplify the sort of equal values, so they differ.
        vector = ops.stop_gradient(ops.arange(3e6, dtype="float32") * ops.max(inputs))
        return inputs + ops.max(ops.sort(ops.outer(vector, vector))) * 0


def model(backbone=None):
    keras.utils.set_random_seed(0)
    head = vg.heads.Classification(num_classes=2)
    return vg.Classifier(backbone=backbone or TinyBackbone(), head=head, image_size=16)


class FakeError(RuntimeError):
    pass


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("ResourceExhaustedError", "Graph execution error:\n\nOOM when allocating tensor", True),
        ("OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB.", True),
        ("XlaRuntimeError", "RESOURCE_EXHAUSTED: Out of memory while trying to allocate", True),
        ("JaxRuntimeError", "RESOURCE_EXHAUSTED: Out of memory allocating 40 bytes.", True),
        ("RuntimeError", "DefaultCPUAllocator: can't allocate memory: you tried to", True),
        ("RuntimeError", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED", True),
        ("MemoryError", "", True),
        ("RuntimeError", "shapes do not match", False),
        ("ValueError", "out of memory", False),
    ],
)
def test_what_counts_as_short_memory(name, text, found):
    error = type(name, (Exception,), {})(text)
    assert (out_of_memory(error) is not None) == found
    outer = ValueError("wrapped")
    outer.__cause__ = error
    assert (out_of_memory(outer) is not None) == found


@pytest.mark.slow
@pytest.mark.backends
def test_short_memory_names_the_next_batch_size(tmp_path):
    with pytest.raises(MemoryShortError) as error:
        fit(model(Greedy()), batches(2, images=6), tmp_path, settings())
    assert "too small for a batch of 6 images of 16 × 16 pixels" in error.value.what
    assert error.value.fix == "batch_size=3 for the loader"
    assert error.value.batch_size == 3


class Raise(keras.callbacks.Callback):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def on_train_batch_end(self, batch, logs=None):
        raise self.error


def test_a_batch_of_one_image_has_no_smaller_one(tmp_path):
    with pytest.raises(MemoryShortError) as error:
        fit(model(), batches(2, images=1), tmp_path, settings(), callbacks=(Raise(MemoryError()),))
    assert error.value.batch_size is None
    assert error.value.fix == "a smaller image size or model"


class Vanish(keras.callbacks.Callback):
    def __init__(self, folder, comes_back):
        super().__init__()
        self.folder, self.comes_back = folder, comes_back

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            self.folder.rename(self.folder.with_name("moved"))
            if self.comes_back:
                self.folder.mkdir()


@pytest.mark.parametrize("comes_back", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_folder_that_vanishes_is_not_created_again(tmp_path, comes_back):
    folder = tmp_path / "run"
    with pytest.raises(UserError, match="run, was removed or replaced while it was used"):
        fit(model(), batches(2), folder, settings(), callbacks=(Vanish(folder, comes_back),))
    assert not folder.exists() or not list(folder.iterdir())
    assert read_state(newest_checkpoint(tmp_path / "moved"))[0].epoch in (1, 2)


class Full:
    """Replaces the system's write to the disk, which is full in the last epoch."""

    def __init__(self, error):
        self.error, self.is_full = error, False

    def __call__(self, number):
        if self.is_full:
            raise OSError(self.error, os.strerror(self.error))
        return os.fdatasync(number)


@pytest.mark.parametrize("error", [errno.ENOSPC, pytest.param(errno.EROFS, marks=pytest.mark.slow)])
def test_a_full_disk_keeps_the_checkpoint(tmp_path, monkeypatch, error):
    disk = Full(error)
    monkeypatch.setattr("visiongarden.storage.write.os.fsync", disk)

    class Fill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            disk.is_full = epoch == 2

    with pytest.raises(OSError, match=re.escape(os.strerror(error))):
        fit(model(), batches(2), tmp_path, settings(), callbacks=(Fill(),))
    assert read_state(newest_checkpoint(tmp_path))[0].epoch in (1, 2)
    assert not list(tmp_path.glob(".*"))


@vg.register(package="test_failures")
class Bright(vg.losses.Loss):
    """Becomes NaN, or huge, where the targets say so."""

    terms = ("class",)
    value: float = float("nan")

    def __call__(self, raw, targets, context):
        mean = ops.mean(next(iter(raw.values()))["classes"] ** 2)
        is_bad = ops.max(targets["labels"]) > 1
        return {"class": Term(ops.where(is_bad, self.value, mean), ops.ones(()))}


def spoiled(count, place):
    made = batches(count)
    made[place][1]["labels"][0, 0] = 2
    return made


@pytest.mark.parametrize(
    ("value", "words"), [(float("nan"), "became nan"), (1e9, "exploded from .* to 1e\\+09")]
)
def test_the_step_of_a_divergence_is_named(tmp_path, value, words):
    with pytest.raises(DivergedError, match=f"the loss {words} in epoch 1, step 3") as error:
        fit(model(), Plain(spoiled(4, 2)), tmp_path, settings(), loss=Bright(value=value))
    assert (error.value.epoch, error.value.step) == (0, 2)


class Plain:
    """A loader whose targets nobody checks."""

    image_size, batch_size = (16, 16), 4

    def __init__(self, made):
        self.made = made

    def __len__(self):
        return len(self.made)

    def epoch(self, number, epochs):
        for images, targets in self.made:
            yield vg.samples.Batch(images, targets, None)


class Poison(keras.callbacks.Callback):
    """Makes a weight infinite in the second epoch, while the learning rate is high."""

    def __init__(self, above):
        super().__init__()
        self.above, self.rates = above, []

    def on_epoch_begin(self, epoch, logs=None):
        rate = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.rates.append(rate)
        if epoch == 1 and rate > self.above:
            weight = self.model.trainable_weights[-1]
            weight.assign(weight.value * np.inf)


@pytest.mark.parametrize(
    "rate",
    [
        pytest.param(0.1, marks=pytest.mark.slow),
        {"type": "WarmupCosine", "peak": 0.1, "warmup_epochs": 0},
    ],
)
def test_a_run_that_diverges_is_rolled_back(tmp_path, caplog, rate):
    kind = "SGD" if isinstance(rate, float) else "VectorSGD"
    fields = {"optimizer": {"type": kind, "learning_rate": rate}, "rollbacks": 2}
    poison = Poison(above=0.05)
    history = fit(model(), batches(3), tmp_path, settings(**fields), callbacks=(poison,))
    assert [entry["epoch"] for entry in history] == [1, 2, 3]
    assert "continues from epoch 2, step 1, at a tenth of the learning rate" in caplog.text
    assert poison.rates[2] == pytest.approx(poison.rates[1] / 10, rel=1e-4)
    assert read_state(newest_checkpoint(tmp_path))[0].rollbacks == 1


@pytest.mark.slow
def test_rollbacks_are_limited(tmp_path):
    fields = {"rollbacks": 1, "optimizer": {"type": "SGD", "learning_rate": 0.1}}
    poison = Poison(above=0.0)
    with pytest.raises(UserError, match="became"):
        fit(model(), batches(3), tmp_path, settings(**fields), callbacks=(poison,))
    assert len(poison.rates) == 3
    # The checkpoint is the one of the first epoch, and can be resumed.
    assert read_state(newest_checkpoint(tmp_path))[0].epoch == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_loads_images(tmp_path, number):
    """It ignores the signals that end a job, and its death is named."""
    for place in range(8):
        folder = tmp_path / "set" / "train" / ("dark" if place % 2 else "light")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(place).integers(0, 255, (16, 16, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{place}.png"), pixels)
    loader = find("classification").loader(read(tmp_path / "set"), (16, 16), 2, workers=1)

    class Kill(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            for process in multiprocessing.active_children() if batch == 1 else ():
                os.kill(process.pid, number)

    head = vg.heads.Classification(num_classes=2)
    trained = vg.Classifier(backbone=TinyBackbone(), head=head, image_size=16)
    fields = Training(epochs=40, tensorboard=False, checkpoint_every="1 steps")
    run = tmp_path / "run"
    if number == signal.SIGTERM:
        fit(trained, loader, run, fields.replace(epochs=2), callbacks=(Kill(),))
        return
    with pytest.raises(DataError) as error:
        fit(trained, loader, run, fields, callbacks=(Kill(),))
    assert error.value.what == "one of the 1 processes that load images was killed (SIGKILL)"
    assert error.value.fix == "training.workers=0"
    assert newest_checkpoint(run)
    shutil.rmtree(run)
