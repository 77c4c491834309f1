"""Statistics of batch normalization that a short run saves."""

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.data import read
from visiongarden.scenes import make_mask_scenes
from visiongarden.tasks import find
from visiongarden.training import Training, fit

SIZE = (64, 64)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = make_mask_scenes(tmp_path_factory.mktemp("data") / "scenes", 5, SIZE)
    return find("segmentation").loader(read(root), SIZE, 4)


def segmenter():
    keras.utils.set_random_seed(0)
    return vg.Segmenter(
        vg.backbones.CSPDarknet(levels=("p2",), depth=0.33, width=0.0625),
        vg.decoders.PassOn(levels=("p2",)),
        vg.heads.Segmentation(num_classes=6, dropout=0.0),
        SIZE,
    )


def settings(**changes):
    fields = {
        "epochs": 3,
        "optimizer": {"learning_rate": 1e-12, "weight_decay": 0},
        "tensorboard": False,
    }
    return Training(**(fields | changes))


def of_the_stem(model, name):
    return next(weight for weight in model.weights if weight.path.endswith(f"stem/{name}"))


def statistics(model):
    mean, variance = (of_the_stem(model, f"norm/moving_{n}") for n in ("mean", "variance"))
    return keras.ops.convert_to_numpy(mean), keras.ops.convert_to_numpy(variance)


def of_the_batch(model, images):
    """Mean and variance of the stem's convolution over the one batch, by NumPy."""
    batch = next(images.epoch(0)).images.astype("float32") / 255
    kernel = keras.ops.convert_to_numpy(of_the_stem(model, "conv/kernel"))
    padded = np.pad(batch, ((0, 0), (1, 1), (1, 1), (0, 0)))
    maps = sum(
        padded[:, i : i + SIZE[0] : 2, j : j + SIZE[1] : 2] @ kernel[i, j]
        for i in range(3)
        for j in range(3)
    )
    return maps.mean(axis=(0, 1, 2)), maps.var(axis=(0, 1, 2))


@pytest.mark.slow
def test_a_short_run_saves_what_it_saw(images, tmp_path):
    """Three steps on one batch: without correction 0.97³ of the start would be left."""
    model = segmenter()
    fit(model, images, tmp_path, settings())
    for each in (model, vg.load(tmp_path / "last.keras"), vg.load(tmp_path / "best.keras")):
        for found, expected in zip(statistics(each), of_the_batch(each, images), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_existing_statistics_are_continued(images, tmp_path):
    """A model that brings statistics along keeps 0.97³ of them, as Keras does."""
    model = segmenter()
    before = of_the_stem(model, "norm/moving_mean")
    before.assign(np.full(before.shape, 5.0))
    fit(model, images, tmp_path, settings())
    expected = zip(of_the_batch(model, images), (5, 1), strict=True)
    for found, (seen, start) in zip(statistics(model), expected, strict=True):
        np.testing.assert_allclose(found, seen + 0.97**3 * (start - seen), rtol=1e-4)
