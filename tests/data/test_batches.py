"""Batches of other libraries, and loaders as tf.data: equal values, one clear error for others."""

import cv2
import numpy as np
import pytest

from visiongarden.data.batches import ForeignBatches, count_of, loader_of, pairs_of
from visiongarden.data.dataset import Dataset
from visiongarden.data.image_samples import ClassSamples
from visiongarden.data.loader import Loader
from visiongarden.errors import UserError
from visiongarden.transforms import HorizontalFlip
from visiongarden.types import ClassMap

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3)).astype(np.uint8)
LABELS = np.eye(5, dtype=np.float32)
TARGETS = {"labels": LABELS}


def in_two():
    """Two batches, of three and two images."""
    return [(IMAGES[at], {"labels": LABELS[at]}) for at in (slice(3), slice(3, 5))]


def as_generator():
    yield from in_two()


def as_tf_data():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((IMAGES, TARGETS)).batch(3)


def as_py_dataset():
    import keras

    class Two(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return in_two()[index % 2]  # raises no IndexError, so that iterating does not end

    return Two()


def as_torch():
    data = pytest.importorskip("torch.utils.data")
    rows = [(image, {"labels": label}) for image, label in zip(IMAGES, LABELS, strict=True)]
    return data.DataLoader(rows, batch_size=3)


def as_grain():
    grain = pytest.importorskip("grain")
    rows = [(image, {"labels": label}) for image, label in zip(IMAGES, LABELS, strict=True)]
    return grain.MapDataset.source(rows).batch(3)


def as_grain_iterator():
    return as_grain().to_iter_dataset()


SEVERAL_TIMES = (in_two, as_tf_data, as_py_dataset, as_torch, as_grain)
KINDS = (*SEVERAL_TIMES, as_generator, as_grain_iterator)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_batches(kind):
    found = list(pairs_of(kind()))
    assert [len(images) for images, _ in found] == [3, 2]
    images = np.concatenate([images for images, _ in found])
    assert images.dtype == np.uint8
    assert np.array_equal(images, IMAGES)
    assert np.array_equal(np.concatenate([t["labels"] for _, t in found]), LABELS)


@pytest.mark.parametrize("kind", SEVERAL_TIMES)
def test_loaders_for_training(kind):
    loader = loader_of(kind())
    assert (len(loader), loader.image_size, loader.batch_size) == (2, (8, 6), 3)
    for number in range(2):
        batches = list(loader.epoch(number, 2))
        assert np.array_equal(np.concatenate([b.images for b in batches]), IMAGES)
        assert np.array_equal(np.concatenate([b.targets["labels"] for b in batches]), LABELS)


def test_data_that_cannot_be_read_again():
    with pytest.raises(UserError, match="a generator, which can be read only once") as caught:
        loader_of(as_generator())
    assert caught.value.fix.startswith("list(data)")


def test_data_without_an_end():
    tf = pytest.importorskip("tensorflow")
    grain = pytest.importorskip("grain")
    endless = [as_tf_data().repeat(), grain.MapDataset.source([(IMAGES, TARGETS)]).repeat()]
    for data in endless:
        with pytest.raises(UserError, match="does not end"):
            next(pairs_of(data))
        with pytest.raises(UserError, match="does not end"):
            loader_of(data)
    # A dataset of unknown length ends, but its epochs have no known number of steps.
    unknown = as_tf_data().filter(lambda images, targets: True)
    assert count_of(unknown) is None
    assert len(list(pairs_of(unknown))) == 2
    with pytest.raises(UserError, match="number of batches of data") as caught:
        loader_of(unknown)
    fixed = unknown.apply(tf.data.experimental.assert_cardinality(2))
    assert caught.value.fix == "data.apply(tf.data.experimental.assert_cardinality(count))"
    assert len(loader_of(fixed)) == 2


def test_a_py_dataset_without_length():
    import keras

    class Endless(keras.utils.PyDataset):
        def __getitem__(self, index):
            return in_two()[0]

    with pytest.raises(UserError, match=r"number of batches of data, a Endless"):
        list(pairs_of(Endless()))


def test_tensors_of_torch_with_gradients():
    torch = pytest.importorskip("torch")
    labels = torch.ones((5, 2), requires_grad=True)
    ((_, targets),) = pairs_of([(torch.from_numpy(IMAGES), {"labels": labels})])
    assert targets["labels"].tolist() == [[1, 1]] * 5


@pytest.mark.parametrize(
    ("batch", "what", "fix"),
    [
        (IMAGES, "batch 0 of data has no targets", '(images, {"boxes": boxes'),
        ((IMAGES,), "batch 0 of data has no targets", "(images, {"),
        ((IMAGES, TARGETS, LABELS), "more than images and targets", "(images, {"),
        ((IMAGES, LABELS), "targets of batch 0 of data are not a mapping", '{"labels": targets}'),
        (
            (IMAGES.transpose(0, 3, 1, 2), TARGETS),
            "the shape (5, 3, 8, 6)",
            "images.transpose(0, 2",
        ),
        (
            (IMAGES / np.float32(255), TARGETS),
            "type float32",
            '(images * 255).round().astype("uint8")',
        ),
        ((IMAGES.astype(np.float32), TARGETS), "type float32", 'images.astype("uint8")'),
        ((IMAGES[0], TARGETS), "the shape (8, 6, 3)", "images[None]"),
        ((IMAGES[:4], TARGETS), "4 images, but 'labels' has the shape (5, 5)", None),
        ((IMAGES, {"labels": np.float32(1)}), "'labels' has the shape ()", None),
        (("images", TARGETS), "images of batch 0", None),
    ],
)
def test_wrong_batches(batch, what, fix):
    with pytest.raises(UserError) as caught:
        list(pairs_of([batch]))
    assert what in caught.value.what
    if fix is None:
        assert caught.value.rule
    else:
        assert caught.value.fix.startswith(fix)


@pytest.mark.parametrize("data", [3, None, "cells", b"x", IMAGES, {"images": IMAGES}])
def test_wrong_types(data):
    with pytest.raises(UserError, match="data is of type"):
        list(pairs_of(data))


def test_epochs_without_batches():
    for empty in ([], ()):
        with pytest.raises(UserError, match="data contains no batch"):
            ForeignBatches(empty)


def test_images_of_another_size():
    loader = loader_of([(IMAGES, TARGETS), (IMAGES[:, :4], TARGETS)])
    with pytest.raises(UserError, match="batch 1 of epoch 1 has images of 4 × 6 pixels"):
        list(loader.epoch(0))


@pytest.fixture
def dataset(tmp_path):
    paths = []
    for number in range(5):
        paths.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(paths[-1]), IMAGES[number])
    names = ClassMap(tuple("abcde"))
    return Dataset(names, ClassSamples(names, tuple(paths), tuple(range(5))))


def test_loaders_are_accepted(dataset):
    loader = Loader(dataset, (8, 6), 2)
    assert loader_of(loader) is loader
    found = list(pairs_of(loader))
    assert np.array_equal(np.concatenate([images[..., ::-1] for images, _ in found]), IMAGES)
    assert np.array_equal(np.concatenate([t["labels"] for _, t in found]), LABELS)


def test_a_loader_as_tf_data(dataset):
    pytest.importorskip("tensorflow")
    loader = Loader(dataset, (8, 6), 2, transforms=(HorizontalFlip(),), shuffle=True, seed=3)
    data = loader.to_tf_data()
    images, targets = data.element_spec
    assert images.shape.as_list() == [None, 8, 6, 3]
    assert targets["labels"].shape.as_list() == [None, 5]
    assert int(data.cardinality()) == 3
    for number in range(2):
        for (found, labels), batch in zip(data, loader.epoch(number), strict=True):
            assert np.array_equal(found.numpy(), batch.images)
            assert np.array_equal(labels["labels"].numpy(), batch.targets["labels"])
    # Full batches have a static size.
    full = Loader(dataset, (8, 6), 2, transforms=(), drop_remainder=True).to_tf_data()
    assert full.element_spec[0].shape.as_list() == [2, 8, 6, 3]
    assert len(list(full)) == 2
    assert len(list(pairs_of(full))) == 2
