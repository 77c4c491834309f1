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
    _keep_targets_of(model.parts.head.loss, train)
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


@pytest.fixture(scope="module")
def detector():
    return vg.Detector(
        vg.backbones.CSPDarknet(depth=0.33, width=0.125),
        vg.decoders.FPN(channels=16),
        vg.heads.AnchorFree(num_classes=2),
        image_size=64,
    )


BOXES = np.array([[[4, 6, 40, 50], [0, 0, 0, 0]]], np.float32)
CLASSES = np.array([[1, -1]], np.int32)


def first_batch(images, targets):
    """Read the first batch for a model of 64 × 64 pixels and two classes."""
    batches = ForeignBatches([(images, targets)])
    batches.fit_to((64, 64), 3, 2)
    return next(batches.epoch(0))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"classes": np.array([[2, -1]])}, "(?s)the class 2 in 'classes'.*0 to 1, or -1"),
        ({"classes": np.array([[-2, -1]])}, "the class -2 in 'classes'"),
        ({"classes": np.array([[1, 2]])}, "(?s)the class 2.*fix: classes - 1"),
        ({"boxes": BOXES / 64}, r"(?s)not inside its image.*fix: boxes \* \[64, 64, 64, 64\]"),
        ({"boxes": BOXES * 2}, "(?s)not inside its image.*8, 12, 80, 100.*scale boxes"),
        ({"boxes": BOXES[..., [2, 3, 0, 1]]}, "(?s)x1 < x2.*fix: pass corners"),
        ({"classes": np.array([[1, 0]])}, "(?s)received: 0, 0, 0, 0.*class -1"),
        ({"images": np.zeros((1, 32, 64, 3), np.uint8)}, "(?s)64 × 64 pixels.*32 × 64 pixels"),
        ({"images": np.zeros((1, 64, 64, 4), np.uint8)}, r"(?s)with 4.*images\[..., :3\]"),
        ({"images": np.zeros((1, 64, 64, 1), np.uint8)}, "(?s)with 1.*np.repeat"),
    ],
)
def test_targets_that_do_not_fit_the_model(changed, message):
    images = changed.get("images", np.zeros((1, 64, 64, 3), np.uint8))
    targets = {"boxes": BOXES, "classes": CLASSES} | changed
    targets.pop("images", None)
    with pytest.raises(UserError, match=message):
        first_batch(images, targets)


def test_training_refuses_targets_that_do_not_fit(detector, tmp_path):
    images, targets = np.zeros((1, 64, 64, 3), np.uint8), {"boxes": BOXES, "classes": CLASSES + 3}
    with pytest.raises(UserError, match="batch 0 of data has the class 4"):
        fit(detector, [(images, targets)], tmp_path / "run", Training(epochs=1))


def test_an_evaluation_checks_targets(detector):
    images = np.zeros((1, 64, 64, 3), np.uint8)
    with pytest.raises(UserError, match="batch 0 of data has the class 5"):
        vg.evaluate(detector, [(images, {"boxes": BOXES, "classes": np.array([[5, -1]])})])


def test_boxes_at_the_border_and_empty_images_fit(detector):
    images = np.zeros((2, 64, 64, 3), np.uint8)
    targets = {
        "boxes": np.array([[[-0.5, 0, 64.5, 64]], [[0, 0, 0, 0]]], np.float32),
        "classes": np.array([[1], [-1]], np.int32),
    }
    batches = ForeignBatches([(images, targets)])
    batches.fit_to((64, 64), 3, 2)
    assert len(list(batches.epoch(0))) == 1


@pytest.mark.parametrize("data", ["cells", pytest.param("dataset", id="dataset")])
def test_a_path_or_a_dataset_needs_a_loader(detector, tmp_path, data):
    if data == "dataset":
        info = vg.samples.ImageInfo(0, "a.png", (64, 64))
        data = vg.data.Dataset(vg.ClassMap(("a", "b")), [vg.samples.Sample(info)])
    with pytest.raises(UserError, match=r"fix: vg\.data\.Loader\(vg\.read"):
        fit(detector, data, tmp_path, Training(epochs=1))


def test_semantic_ids_that_the_model_lacks():
    images, semantic = np.zeros((1, 8, 8, 3), np.uint8), np.full((1, 8, 8), 255, np.uint8)
    batches = ForeignBatches([(images, {"semantic": semantic})])
    batches.fit_to((8, 8), 3, 2)
    assert len(list(batches.epoch(0))) == 1
    semantic[0, 0, 0] = 2
    with pytest.raises(UserError, match=r"(?s)the class 2 in 'semantic'.*255, ignored"):
        list(batches.epoch(0))
