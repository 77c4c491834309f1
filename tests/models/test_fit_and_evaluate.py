"""Keras's `compile`, `fit` and `evaluate` on the models themselves."""

import csv

import cv2
import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.backends import captured
from visiongarden.errors import UserError
from visiongarden.tasks import find

SIZE = (32, 32)


@vg.register(package="test_fit_and_evaluate")
class Patches(vg.Backbone):
    """One convolution, which is traced in no time."""

    levels: tuple[str, ...] = ("p5",)

    def wire(self, image):
        return {"p5": keras.layers.Conv2D(8, 32, strides=32)(image)}


@vg.register(package="test_fit_and_evaluate")
class Doubled(vg.Classifier):
    """A subclass with a custom loss."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return 2 * super().compute_loss(x, y, y_pred, sample_weight, training)


def model(kind=vg.Classifier, classes=None):
    keras.utils.set_random_seed(0)
    return kind(
        backbone=Patches(),
        head=vg.heads.Classification(num_classes=2, dropout=0.0),
        image_size=SIZE,
        class_map=classes,
    )


def compiled(made, optimizer="adam", **options):
    # Without XLA on TensorFlow, which would compile for longer than these tests run.
    made.compile(optimizer, jit_compile=keras.backend.backend() == "jax", **options)
    return made


def arrays(count=12):
    random = np.random.default_rng(0)
    images = random.integers(0, 255, (count, *SIZE, 3)).astype(np.uint8)
    return images, {"labels": np.eye(2, dtype=np.float32)[random.integers(0, 2, count)]}


def pairs(count=12, size=4):
    images, targets = arrays(count)
    for start in range(0, count, size):
        rows = slice(start, start + size)
        yield images[rows], {"labels": targets["labels"][rows]}


class Pairs(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return list(pairs())[index]


def rows():
    images, targets = arrays()
    return list(zip(images, targets["labels"], strict=True))


def batched(kind):
    """Batches of four images, as another library yields them."""
    return BATCHED[kind]()


def tf_data():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(arrays()).batch(4)


def torch_loader():
    data = pytest.importorskip("torch.utils.data")
    named = [(image, {"labels": labels}) for image, labels in rows()]
    return data.DataLoader(named, batch_size=4)


def grain_loader():
    grain = pytest.importorskip("grain")
    named = [(image, {"labels": labels}) for image, labels in rows()]
    return grain.MapDataset.source(named).batch(4)


BATCHED = {"tf.data": tf_data, "DataLoader": torch_loader, "Grain": grain_loader}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """8 images to train on and 5 for validation, which are not square."""
    root = tmp_path_factory.mktemp("data") / "set"
    for number in range(13):
        target = root / ("val" if number > 7 else "train") / ("dark" if number % 2 else "light")
        target.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (40, 52, 3)).astype(np.uint8)
        cv2.imwrite(str(target / f"{number}.png"), pixels)
    return root


def loaders(folder):
    make = find("classification").loader
    train = make(vg.read(folder, split="train"), SIZE, 4, [], shuffle=True, drop_remainder=True)
    return train, make(vg.read(folder, split="val"), SIZE, 4)


class Seen(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.models, self.logs = [], []

    def on_epoch_end(self, epoch, logs=None):
        self.models.append(self.model)
        self.logs.append(dict(logs))


@pytest.mark.slow_backends
def test_our_loaders_with_the_callbacks_of_keras(folder, tmp_path):
    train, val = loaders(folder)
    made, seen = compiled(model(classes=vg.read(folder).class_map)), Seen()
    history = made.fit(
        train,
        epochs=3,
        validation_data=val,
        verbose=0,
        callbacks=[
            seen,
            keras.callbacks.CSVLogger(str(tmp_path / "log.csv")),
            keras.callbacks.ModelCheckpoint(
                str(tmp_path / "{epoch}.keras"), monitor="val_top1", mode="max"
            ),
        ],
    ).history
    assert seen.models == [made] * 3
    names = {"loss", "class", "val_loss", "val_class", "val_top1"}
    assert set(history) == set(seen.logs[0]) == names
    wanted = vg.evaluate(made, vg.read(folder, split="val"))
    assert history["val_top1"][-1] == pytest.approx(wanted["top1"])
    found = made.evaluate(val, return_dict=True, verbose=0)
    assert found["loss"] == pytest.approx(history["val_loss"][-1], rel=1e-5)
    assert found["top1"] == pytest.approx(wanted["top1"])
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [float(row["val_top1"]) for row in rows] == pytest.approx(history["val_top1"])
    again = keras.saving.load_model(tmp_path / "2.keras")
    assert type(again) is vg.Classifier
    assert int(again.optimizer.iterations) == 4
    again.fit(train, verbose=0)
    assert int(again.optimizer.iterations) == 6


@pytest.mark.backends
@pytest.mark.parametrize(
    "kind", ["arrays", "generator", "PyDataset", "tf.data", "DataLoader", "Grain"]
)
def test_data_as_keras_takes_them(kind):
    images, targets = arrays()
    made = compiled(model(), keras.optimizers.SGD(0.0))
    data, more = {
        "arrays": ((images, targets), {"batch_size": 4}),
        "generator": ((pairs(),), {"shuffle": False, "steps_per_epoch": 3}),
        "PyDataset": ((Pairs(),), {}),
    }.get(kind) or ((batched(kind),), {})
    validation = batched(kind) if kind in BATCHED else (images, targets)
    history = made.fit(*data, validation_data=validation, verbose=0, **more).history
    # With a learning rate of 0, each mean is that of the cross-entropy of the images.
    logits = np.asarray(keras.ops.convert_to_numpy(made(images)["p5"]["classes"])).reshape(12, 2)
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    smooth = 0.9 * targets["labels"] + 0.1 / 2
    wanted = -(np.log(shares) * smooth).sum(-1).mean()
    assert history["loss"][0] == pytest.approx(wanted, rel=1e-4)
    assert history["val_loss"][0] == pytest.approx(wanted, rel=1e-4)
    top1 = (logits.argmax(-1) == targets["labels"].argmax(-1)).mean()
    assert history["val_top1"][0] == pytest.approx(top1)


@pytest.mark.backends
def test_a_subclass_with_its_own_loss(monkeypatch):
    monkeypatch.setattr(captured, "AFTER", 2)
    images, targets = arrays(4)
    plain = compiled(model(), keras.optimizers.SGD(0.1))
    doubled = compiled(model(Doubled), keras.optimizers.SGD(0.05))
    for _ in range(5):
        one = plain.train_on_batch(images, targets, return_dict=True)
        other = doubled.train_on_batch(images, targets, return_dict=True)
        assert other["loss"] == pytest.approx(2 * one["loss"], rel=1e-4)
        assert other["class"] == pytest.approx(one["class"], rel=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow traces twice")
def test_a_step_is_traced_once(monkeypatch):
    made, traces = compiled(model()), []
    step = type(made).train_step
    monkeypatch.setattr(
        type(made), "train_step", lambda self, *data: traces.append(1) or step(self, *data)
    )
    made.fit(*arrays(), batch_size=4, epochs=2, verbose=0)
    assert len(traces) == 1


@pytest.mark.backends
def test_a_rate_that_a_callback_lowers_is_used(monkeypatch):
    monkeypatch.setattr(captured, "AFTER", 2)
    images, targets = arrays(4)
    made = compiled(model(), keras.optimizers.SGD(0.1))
    for _ in range(4):
        made.train_on_batch(images, targets)
    made.optimizer.learning_rate = 0.0
    before = made.get_weights()
    made.train_on_batch(images, targets)
    for one, other in zip(before, made.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow  # the same of a classifier and a detector is quick
def test_a_segmenter_is_evaluated_on_arrays():
    """Keras's evaluation and ours compute the same metrics."""
    levels = ("p2", "p3")
    model = vg.Segmenter(
        vg.backbones.CSPDarknet(width=0.125, levels=levels),
        vg.decoders.UNet(channels=8, levels=levels),
        vg.heads.Segmentation(num_classes=2),
        32,
    )
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    targets = {"semantic": rng.integers(0, 2, (2, 32, 32)).astype(np.uint8)}
    model.compile("adam", jit_compile=False)
    found = model.evaluate(images, targets, return_dict=True, verbose=0)
    expected = vg.evaluate(model, [(images, targets)])
    for name in ("mIoU", "accuracy"):
        assert found[name] == pytest.approx(expected[name])


def test_a_loss_given_to_compile_is_that_of_keras():
    images, targets = arrays()
    loss = {"p5": {"classes": keras.losses.CategoricalCrossentropy(from_logits=True)}}
    made = compiled(model(), loss=loss)
    labels = {"p5": {"classes": targets["labels"]}}
    history = made.fit(images, labels, verbose=0).history
    assert set(history) == {"loss"}
    assert set(made.evaluate(images, labels, return_dict=True, verbose=0)) == {"loss"}


def test_what_is_wrong_is_an_error():
    images, targets = arrays(4)
    made = compiled(model())
    with pytest.raises(UserError, match="no targets by name"):
        made.fit(images, targets["labels"], verbose=0)
    with pytest.raises(UserError, match="steps_per_execution=2"):
        compiled(model(), steps_per_execution=2).evaluate(images, targets, verbose=0)
