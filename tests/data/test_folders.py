"""Class folders and their loader: no image is lost, and batches are reproducible."""

import cv2
import numpy as np
import pytest

from visiongarden.data import read
from visiongarden.tasks import find
from visiongarden.transforms import HorizontalFlip, MixUp, RandomResizedCrop


def picture(path, value=90, size=(30, 40)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), value, np.uint8))


@pytest.fixture
def animals(tmp_path):
    for split, count in (("train", 4), ("validation", 2), ("test", 1)):
        for number, name in enumerate(("cat", "dog")):
            for i in range(count):
                picture(tmp_path / split / name / f"{i}.png", 60 + 100 * number + i)
    return tmp_path


TRANSFORMS = (RandomResizedCrop(), HorizontalFlip(), MixUp(probability=0.5))


def loader(dataset, **options):
    options = {"transforms": TRANSFORMS, "shuffle": True} | options
    return find("classification").loader(dataset, (16, 24), 3, **options)


def same(a, b):
    return all(
        np.array_equal(x.images, y.images)
        and np.array_equal(x.targets["labels"], y.targets["labels"])
        for x, y in zip(a, b, strict=True)
    )


def test_epochs_repeat_and_differ(animals):
    dataset = read(animals)
    first = list(loader(dataset).epoch(0))
    assert same(first, list(loader(dataset).epoch(0)))
    assert not same(first, list(loader(dataset).epoch(1)))
    assert not same(first, list(loader(dataset, seed=1).epoch(0)))
    assert [len(b.images) for b in first] == [3, 3, 2]
    assert first[0].images.shape == (3, 16, 24, 3)
    for batch in first:
        np.testing.assert_allclose(batch.targets["labels"].sum(axis=1), 1, atol=1e-6)


@pytest.mark.slow
def test_workers_change_nothing(animals):
    dataset = read(animals)
    assert same(list(loader(dataset).epoch(1)), list(loader(dataset, workers=2).epoch(1)))


def test_batches_of_several_sizes(animals):
    one = loader(read(animals), multi_scale=0.5, size_step=8)
    assert one.sizes == ((8, 16), (16, 24), (24, 32))
    batches = [batch for epoch in range(4) for batch in one.epoch(epoch)]
    assert {batch.images.shape[1:3] for batch in batches} == set(one.sizes)
    again = loader(read(animals), multi_scale=0.5, size_step=8)
    assert same(batches, [batch for epoch in range(4) for batch in again.epoch(epoch)])


def test_evaluation_uses_the_center_crop(animals):
    batch = next(loader(read(animals, split="val"), transforms=None, shuffle=False).epoch(0))
    # 30 × 40 covers 16 × 24: scaled by 0.6 to 18 × 24, a row cut off above and below.
    np.testing.assert_allclose(batch.info.scales[0], [0.6, 0.6])
    np.testing.assert_allclose(batch.info.offsets[0], [0, -1])
    assert batch.info.sizes[0].tolist() == [30, 40]
    assert batch.targets["labels"].tolist()[0] == [1, 0]
