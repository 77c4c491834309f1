"""Training at several image sizes with one set of weights."""

import os
import signal

import cv2
import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.config import load_yaml
from visiongarden.data import Loader, read
from visiongarden.errors import UserError
from visiongarden.recipes import resolve, train
from visiongarden.scenes import make_mask_scenes, make_scenes
from visiongarden.training import Training, check_sizes, fit, fitting
from visiongarden.training.running import trained_with
from visiongarden.training.size_variants import SizeVariants
from visiongarden.transforms import Affine, HorizontalFlip, Mosaic
from visiongarden.types import Term

SIZE, SIZES = (64, 64), ((32, 32), (64, 64), (96, 96))


@vg.register(package="multi_scale_tests")
class Small(vg.Backbone):
    """One convolution; the size goes into its numbers, and dropout has a state."""

    levels: tuple[str, ...] = ("p3",)
    dropout: float = 0.0

    def wire(self, images):
        x = keras.layers.Rescaling(64 / images.shape[1], name="by_size")(images)
        x = vg.layers.ConvNormAct(8, 3, 8, name="stem")(x)
        if self.dropout:
            x = keras.layers.SpatialDropout2D(self.dropout, seed=1, name="drop")(x)
        return {"p3": x}


@keras.saving.register_keras_serializable("multi_scale_tests")
class Place(keras.layers.Layer):
    """Adds a weight for each cell."""

    def build(self, shape):
        self.place = self.add_weight(shape=shape[1:], name="place")

    def call(self, x):
        return x + self.place


@vg.register(package="multi_scale_tests")
class WithPlaces(Small):
    """A weight for each cell: the weights are those of one size."""

    def wire(self, images):
        return {"p3": Place(name="place")(super().wire(images)["p3"])}


@vg.register(package="multi_scale_tests")
class Flattened(Small):
    """Counts on 64 cells."""

    def wire(self, images):
        row = keras.layers.Reshape((64, 8))(super().wire(images)["p3"])
        return {"p3": keras.layers.Reshape((8, 8, 8))(row)}


SEEN = []


class Recording(vg.losses.AnchorFreeLoss):
    """The head's loss; notes the sizes that it received, and compares them with the maps."""

    def __call__(self, raw, targets, context):
        size = context.image_size
        assert tuple(raw["p3"]["classes"].shape[1:3]) == tuple(side // 8 for side in size)
        SEEN.append(size)
        return super().__call__(raw, targets, context)


def model(backbone=None, dtype=None):
    keras.utils.set_random_seed(0)
    head = vg.heads.AnchorFree(num_classes=5, bins=4)
    return vg.Detector(
        backbone or Small(), vg.decoders.PassOn(levels=("p3",)), head, SIZE, dtype=dtype
    )


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return read(make_scenes(tmp_path_factory.mktemp("data") / "scenes", 20, SIZE))


TRANSFORMS = (Mosaic(skip_last_epochs=1), Affine(), HorizontalFlip())


def loader(scenes):
    options = {"shuffle": True, "drop_remainder": True, "multi_scale": 0.5}
    return Loader(scenes, SIZE, 4, TRANSFORMS, **options)


class StopAfter(keras.callbacks.Callback):
    """Ctrl-C after so many steps."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_train_batch_end(self, batch, logs=None):
        self.steps -= 1
        if not self.steps:
            os.kill(os.getpid(), signal.SIGINT)


SETTINGS = Training(epochs=2, optimizer={"learning_rate": {"warmup_epochs": 0}}, tensorboard=False)


@pytest.mark.slow
@pytest.mark.slow_backends
def test_training_uses_every_size_and_keeps_the_size_of_the_model(tmp_path, scenes):
    seen = [b.images.shape[1:3] for e in range(2) for b in loader(scenes).epoch(e)]
    assert set(seen) == set(SIZES)
    trained = model()
    start = trained.get_weights()
    SEEN.clear()
    history = fit(trained, loader(scenes), tmp_path, SETTINGS, loss=Recording())
    assert set(SEEN) == set(SIZES)
    if keras.backend.backend() == "tensorflow":
        assert len(SEEN) == len(SIZES), "one trace a size"
    assert all(np.isfinite(entry["loss"]) for entry in history)
    assert not any(map(np.array_equal, start, trained.get_weights()))
    again = vg.load(tmp_path / "last.keras")
    assert again.image_size == SIZE
    assert all(map(np.array_equal, again.get_weights(), trained.get_weights()))


class Squares(vg.losses.Loss):
    """A loss that compiles fast."""

    terms = ("squares",)

    def __call__(self, raw, targets, context):
        total = sum(keras.ops.mean(keras.ops.square(x)) for x in keras.tree.flatten(raw))
        return {"squares": Term(total, keras.ops.ones(()))}


@pytest.mark.slow
def test_a_resumed_run_is_the_same_run(tmp_path, scenes):
    whole, resumed = model(), model()
    fit(whole, loader(scenes), tmp_path / "whole", SETTINGS, loss=Squares())
    stop = (StopAfter(5),)
    with pytest.raises(KeyboardInterrupt):
        fit(model(), loader(scenes), tmp_path / "parts", SETTINGS, loss=Squares(), callbacks=stop)
    fit(resumed, loader(scenes), tmp_path / "parts", SETTINGS, loss=Squares(), resume=True)
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def batch(size, count=2):
    rng = np.random.default_rng(0)
    low = rng.uniform(0, size[0] / 2, (count, 3, 2))
    boxes = np.concatenate([low, low + rng.uniform(8, size[0] / 2, (count, 3, 2))], axis=-1)
    images = rng.integers(0, 255, (count, *size, 3)).astype(np.uint8)
    classes = np.array([[0, 1, -1]] * count, np.int32)
    return images, {"boxes": boxes.astype(np.float32), "classes": classes}


def stepped(trained, size, sizes=()):
    """What one step of plain gradient descent leaves in every variable of the model."""
    with trained_with(trained, sizes=sizes):
        jit = keras.backend.backend() == "jax"
        trained.compile(keras.optimizers.SGD(1.0), jit_compile=jit)
        trained.train_on_batch(*batch(size))
    return {v.path: keras.ops.convert_to_numpy(v.value) for v in trained.variables}


@pytest.mark.slow
@pytest.mark.parametrize(
    "dtype", [pytest.param(None, marks=pytest.mark.slow_backends), "mixed_bfloat16"]
)
def test_a_step_is_that_of_a_model_built_at_the_size(dtype):
    size = (96, 96)
    one = model(Small(dropout=0.3), dtype)
    fresh = vg.Detector.from_config(one.get_config() | {"image_size": size})
    fresh.set_weights(one.get_weights())
    before = {v.path: keras.ops.convert_to_numpy(v.value) for v in one.variables}
    updated = stepped(one, size, SIZES)
    expected = stepped(fresh, size)
    assert updated.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_allclose(updated[path], value, rtol=1e-5, atol=1e-6, err_msg=path)
    # Weights, moving averages and the dropout's state all moved.
    assert not [path for path in updated if np.array_equal(updated[path], before[path])]


class Sees(keras.callbacks.Callback):
    """Notes the model that it receives, and predicts with it in the middle of an epoch."""

    def __init__(self):
        super().__init__()
        self.found = []

    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            self.model.predict(np.zeros((1, *SIZE, 3), np.uint8), verbose=0)
        self.found.append(self.model)


@pytest.mark.slow
def test_callbacks_receive_the_model(tmp_path, scenes):
    """At several sizes, too; afterwards it takes images of its own size alone."""
    trained, callback = model(), Sees()
    settings = SETTINGS.replace(epochs=1)
    fit(trained, loader(scenes), tmp_path, settings, loss=Squares(), callbacks=(callback,))
    assert callback.found
    assert all(found is trained for found in callback.found)
    assert not trained.compiled
    with pytest.raises(ValueError, match="64"):
        trained(np.zeros((1, 96, 96, 3), np.uint8))


@pytest.mark.slow
def test_one_size_needs_no_variants(tmp_path, scenes, monkeypatch):
    monkeypatch.setattr(SizeVariants, "__init__", None)
    plain = Loader(scenes, SIZE, 8, TRANSFORMS, shuffle=True, drop_remainder=True)
    fit(model(), plain, tmp_path, Training(epochs=1, tensorboard=False))


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (WithPlaces(), r"backbone/place.* has shape \(8, 8, 8\)"),
        (Flattened(), "with images of 32 × 32"),
    ],
)
def test_a_model_bound_to_its_size_is_refused_at_the_start(tmp_path, scenes, backbone, message):
    for start in (
        lambda: fit(model(backbone), loader(scenes), tmp_path / "run"),
        lambda: check_sizes(model(backbone), loader(scenes)),
    ):
        with pytest.raises(UserError, match=message) as error:
            start()
        assert "training.multi_scale=0, which trains at one size" in str(error.value)
    assert not (tmp_path / "run").exists()


def make_folders(root, count, size):
    for number in range(count):
        for name in ("dark", "light"):
            file = root / ("train" if number % 2 else "val") / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), np.full((*size, 3), 60 + 120 * (name == "light"), np.uint8))


def fields(data, head, **backbone):
    parts = {
        "backbone": {"type": "multi_scale_tests>Small"} | backbone,
        "decoder": {"type": "PassOn", "levels": ["p3"]},
        "head": head,
        "image_size": 64,
    }
    training = {"epochs": 1, "batch_size": 2, "tensorboard": False, "multi_scale": 0.125}
    return {"data": {"path": str(data)}, "model": parts, "training": training}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "head"),
    [
        (make_scenes, {"type": "AnchorFree", "bins": 4}),
        (make_mask_scenes, "Segmentation"),
        (make_folders, "Classification"),
    ],
)
def test_a_recipe_of_each_task_switches_it_on(tmp_path, monkeypatch, make, head):
    make(tmp_path / "set", 10, SIZE)
    seen = []
    feed = fitting.feed
    monkeypatch.setattr(
        fitting,
        "feed",
        lambda batches, sizes_vary: feed(
            (seen.append(b[0].shape[1:3]) or b for b in batches), sizes_vary
        ),
    )
    recipe = resolve(fields(tmp_path / "set", head))
    folder = train(recipe, output=tmp_path / "run").folder
    assert len(set(seen)) > 1
    assert set(seen) <= {(56, 56), (64, 64), (72, 72)}
    assert load_yaml(folder / "recipe.yaml")["training"]["multi_scale"] == 0.125
    assert vg.load(folder / "best.keras").image_size == SIZE


def test_a_recipe_that_cannot_leaves_no_folder(tmp_path):
    scenes = make_scenes(tmp_path / "set", 10, SIZE)
    recipe = resolve(fields(scenes, "AnchorFree", type="multi_scale_tests>WithPlaces"))
    with pytest.raises(UserError, match="backbone/place"):
        train(recipe, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
