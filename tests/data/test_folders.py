"""Class folders and their loader: no image is lost, and batches are reproducible."""

import cv2
import numpy as np
import pytest

from visiongarden.data import ClassificationLoader, read_folders
from visiongarden.errors import ConfigError
from visiongarden.transforms import ClassificationAugmentation, random_crop, random_operations
from visiongarden.transforms.blend import cutmix, mixup
from visiongarden.transforms.rand_augment import OPERATIONS


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


def loader(dataset, **options):
    return ClassificationLoader(
        dataset,
        (16, 24),
        3,
        **({"augmentation": ClassificationAugmentation(mix=0.5), "shuffle": True} | options),
    )


def same(a, b):
    return all(
        np.array_equal(getattr(x, name), getattr(y, name))
        for x, y in zip(a, b, strict=True)
        for name in x.__dataclass_fields__
    )


def test_epochs_repeat_and_differ(animals):
    dataset = read_folders(animals)
    first = list(loader(dataset).epoch(0))
    assert same(first, list(loader(dataset).epoch(0)))
    assert not same(first, list(loader(dataset).epoch(1)))
    assert not same(first, list(loader(dataset, seed=1).epoch(0)))
    assert [len(b.images) for b in first] == [3, 3, 2]
    assert first[0].images.shape == (3, 16, 24, 3)
    for batch in first:
        np.testing.assert_allclose(batch.classes.sum(axis=1), 1, atol=1e-6)


def test_workers_change_nothing(animals):
    dataset = read_folders(animals)
    assert same(list(loader(dataset).epoch(1)), list(loader(dataset, workers=2).epoch(1)))


def test_batches_of_several_sizes(animals):
    settings = ClassificationAugmentation(mix=0.5, multi_scale=0.5)
    one = loader(read_folders(animals), augmentation=settings, size_step=8)
    assert one.sizes == ((8, 16), (16, 24), (24, 32))
    batches = [batch for epoch in range(4) for batch in one.epoch(epoch)]
    assert {batch.images.shape[1:3] for batch in batches} == set(one.sizes)
    again = loader(read_folders(animals), augmentation=settings, size_step=8)
    assert same(batches, [batch for epoch in range(4) for batch in again.epoch(epoch)])


def test_evaluation_uses_the_center_crop(animals):
    batch = next(loader(read_folders(animals, "val"), augmentation=None, shuffle=False).epoch(0))
    # 30 × 40 covers 16 × 24: scaled by 0.6 to 18 × 24, a row cut off above and below.
    np.testing.assert_allclose(batch.scales[0], [0.6, 0.6])
    np.testing.assert_allclose(batch.offsets[0], [0, -1])
    assert batch.sizes[0].tolist() == [30, 40]
    assert batch.classes.tolist()[0] == [1, 0]


@pytest.mark.parametrize("mix", [mixup, cutmix])
def test_mixed_targets_equal_the_visible_shares(mix):
    rng = np.random.default_rng(0)
    black, white = np.zeros((20, 30, 3), np.uint8), np.full((20, 30, 3), 255, np.uint8)
    shares = []
    for _ in range(300):
        image, share = mix(black, white, 1.0, rng)
        assert image.mean() / 255 == pytest.approx(1 - share, abs=0.003)
        shares.append(share)
    assert min(shares) < 0.2
    assert max(shares) > 0.8


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.__name__)
@pytest.mark.parametrize("strength", [-1.0, -0.3, 0.0, 0.5, 1.0])
def test_operations_keep_the_shape(operation, strength):
    image = np.random.default_rng(0).integers(0, 256, (12, 17, 3)).astype(np.uint8)
    found = operation(image, strength)
    assert (found.shape, found.dtype) == (image.shape, np.uint8)
    if strength == 0 and operation.__name__ not in ("auto_contrast", "equalize"):
        np.testing.assert_array_equal(found, image)


def test_operations_by_hand():
    ramp = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=-1)
    named = {o.__name__: o for o in OPERATIONS}
    np.testing.assert_array_equal(named["solarize"](ramp, 1.0), 255 - ramp)
    np.testing.assert_array_equal(named["solarize"](ramp, 0.5)[0, :128, 0], np.arange(128))
    assert len(np.unique(named["posterize"](ramp, 1.0))) == 16
    assert named["brightness"](ramp, -1.0).max() == 26  # a tenth
    narrow = ramp[:, 100:151]
    assert (named["auto_contrast"](narrow, 0).min(), named["auto_contrast"](narrow, 0).max()) == (
        0,
        255,
    )
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(random_operations(ramp, 0, 9, rng), ramp)


def test_crops_are_inside_the_image():
    image = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60)
    image = np.stack([image >> 8, image & 255, image * 0], -1).astype(np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(50):
        found = random_crop(image, (8, 8), (0.1, 0.5), (0.5, 2.0), rng)
        assert found.shape == (8, 8, 3)
    whole = random_crop(image, (40, 60), (1.0, 1.0), (9.0, 9.0), rng)
    np.testing.assert_array_equal(whole, image)


@pytest.mark.parametrize("fields", [{"area": (0.9, 0.1)}, {"mix": 2}, {"operations": -1}])
def test_wrong_settings(fields):
    with pytest.raises(ConfigError):
        ClassificationAugmentation(**fields)


def test_mix_requires_mixup_or_cutmix():
    with pytest.raises(ConfigError, match="mixup and cutmix are 0"):
        ClassificationAugmentation(mix=0.5, mixup=0, cutmix=0)
    assert ClassificationAugmentation(mixup=0, cutmix=0).mix == 0
