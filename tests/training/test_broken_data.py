"""Data that are damaged during a run end it with an error that names the file."""

import itertools
import re

import cv2
import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.data import read
from visiongarden.errors import DataError
from visiongarden.tasks import find
from visiongarden.training import Training, fit

SETTINGS = Training(
    epochs=8, batch_size=4, optimizer={"learning_rate": {"warmup_epochs": 0}}, tensorboard=False
)


@vg.register(package="test_broken_data")
class Patches(vg.Backbone):
    """One convolution, which is traced in no time."""

    levels: tuple[str, ...] = ("p5",)

    def wire(self, image):
        return {"p5": keras.layers.Conv2D(4, 32, strides=32)(image)}


def model():
    head = vg.heads.Classification(num_classes=2)
    return vg.Classifier(Patches(), head, vg.decoders.PassOn(levels=("p5",)), image_size=32)


@pytest.fixture
def images(tmp_path):
    for number in range(8):
        folder = tmp_path / "set" / "train" / ("dark" if number % 2 else "light")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (32, 32, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), pixels)
    return tmp_path / "set"


class Break(keras.callbacks.Callback):
    """Cuts all images short after the first epoch."""

    def __init__(self, root):
        super().__init__()
        self.files = list(root.rglob("*.png"))

    def on_epoch_end(self, epoch, logs=None):
        for file in self.files if epoch == 0 else ():
            file.write_bytes(file.read_bytes()[:200])


@pytest.mark.parametrize(
    "workers",
    [
        pytest.param(0, marks=pytest.mark.backends),
        pytest.param(1, marks=[pytest.mark.backends, pytest.mark.slow]),
    ],
)
def test_an_image_that_breaks_is_named(tmp_path, images, workers):
    loader = find("classification").loader(read(images), (32, 32), 4, workers=workers)
    loader.samples.max_kept = 0  # as where images do not fit into memory
    with pytest.raises(DataError) as error:
        fit(model(), loader, tmp_path / "run", SETTINGS, callbacks=(Break(images),))
    assert re.search(r"train.(dark|light).\d\.png: the image is truncated", error.value.what)
    # What was saved before is kept.
    with np.load(tmp_path / "run" / "resume.npz") as archive:
        assert np.isfinite(archive["optimizer/0"]).all()


def test_broken_images_are_skipped_and_counted(tmp_path, images, caplog):
    options = {"broken_images": "skip"}
    loader = find("classification").loader(read(images), (32, 32), 4, **options)
    loader.samples.max_kept = 0

    class BreakTwo(Break):
        def __init__(self, root):
            super().__init__(root)
            self.files = sorted(self.files)[:2]

    settings = SETTINGS.replace(epochs=3, broken_images="skip")
    history = fit(model(), loader, tmp_path / "run", settings, callbacks=(BreakTwo(images),))
    # An epoch is read ahead of its first step, so the second one may have some of them.
    assert [entry["skipped_images"] for entry in history][::2] == [0, 2]
    lines = [line for line in caplog.messages if line.startswith("skipped: ")]
    assert len(lines) == 2
    assert all("the image is truncated" in line for line in lines)
    # All are broken: there is nothing to put in their place.
    for file in images.rglob("*.png"):
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError):
        list(loader.epoch(0))


class Short:
    """A custom loader whose second epoch lacks its last batch."""

    def __init__(self, loader):
        self.loader, self.image_size, self.batch_size = loader, loader.image_size, 4

    def __len__(self):
        return len(self.loader)

    def epoch(self, number, epochs):
        return itertools.islice(self.loader.epoch(number, epochs), 1 if number else 2)


@pytest.mark.backends
def test_an_epoch_that_ends_early_ends_the_run(tmp_path, images):
    loader = Short(find("classification").loader(read(images), (32, 32), 4))
    with pytest.raises(DataError, match="epoch 2 of the training data ended after 1 of 2 batches"):
        fit(model(), loader, tmp_path / "run", SETTINGS)
    assert (tmp_path / "run" / "resume.npz").is_file()
