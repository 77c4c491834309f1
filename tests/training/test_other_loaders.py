"""`fit` and `vg.evaluate` take the batches of Keras, TensorFlow, PyTorch and Grain."""

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.data.batches import ForeignBatches
from visiongarden.errors import UserError
from visiongarden.training import Training, fit
from visiongarden.training.fitting import _keep_targets_of

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (6, 64, 64, 3)).astype(np.uint8)
LABELS = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
ROWS = [(image, {"labels": label}) for image, label in zip(IMAGES, LABELS, strict=True)]
BATCHES = [(IMAGES[at], {"labels": LABELS[at]}) for at in (slice(3), slice(3, 6))]


class Two(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return BATCHES[index]


def tf_data():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((IMAGES, {"labels": LABELS})).batch(3)


def torch_data():
    data = pytest.importorskip("torch.utils.data")
    return data.DataLoader(ROWS, batch_size=3)


def grain_data():
    return pytest.importorskip("grain").MapDataset.source(ROWS).batch(3)


KINDS = {
    "list": lambda: BATCHES,
    "keras": Two,
    "tf": tf_data,
    "torch": torch_data,
    "grain": grain_data,
}


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return vg.Classifier(
        vg.backbones.DarknetTiny(width=0.0625, levels=("p5",)),
        vg.heads.Classification(num_classes=3, dropout=0.0),
        image_size=64,
        class_map=vg.ClassMap(("a", "b", "c")),
    )


def test_evaluations_are_equal(model):
    expected = vg.evaluate(model, (batch for batch in BATCHES))
    assert expected.images == 6
    for kind in KINDS.values():
        assert vg.evaluate(model, kind()).metrics == expected.metrics


@pytest.mark.slow
def test_training_is_equal(model, tmp_path):
    settings = Training(epochs=2, tensorboard=False)
    runs = {}
    start = model.get_weights()
    for name, kind in KINDS.items():
        model.set_weights(start)
        data = kind()
        runs[name] = fit(model, data, tmp_path / name, settings, data)
        assert (tmp_path / name / "best.keras").is_file()
    model.set_weights(start)
    losses = {name: [each["loss"] for each in history] for name, history in runs.items()}
    assert "top1" in runs["list"][0]
    for found in losses.values():
        assert found == pytest.approx(losses["list"], rel=1e-3)


def test_targets_that_the_loss_does_not_take(model):
    train = ForeignBatches([(IMAGES, {"labels": LABELS, "crowd": np.zeros((6, 1), bool)})])
    _keep_targets_of(model.parts.head.loss(), train)
    assert [set(batch.targets) for batch in train.epoch(0)] == [{"labels"}]


def test_targets_that_are_missing(model, tmp_path):
    wrong = [(IMAGES, {"classes": LABELS})]
    with pytest.raises(UserError, match="the targets have no 'labels'") as caught:
        vg.evaluate(model, wrong)
    assert caught.value.received == "classes"
    with pytest.raises(UserError, match="the targets have no 'labels'"):
        fit(model, wrong, tmp_path / "run", Training(epochs=1))


def test_data_that_cannot_be_read_again(model, tmp_path):
    with pytest.raises(UserError, match="can be read only once"):
        fit(model, (batch for batch in BATCHES), tmp_path / "run", Training(epochs=1))
    used = iter(BATCHES)
    list(used)
    with pytest.raises(UserError, match="data contains no batch"):
        vg.evaluate(model, used)
