"""Class folders and their loader: no image is lost, and batches are reproducible."""

import cv2
import numpy as np
import pytest
from tests.shared import shared

from visiongarden.data import ClassificationLoader, read_folders
from visiongarden.doctor.checking import check
from visiongarden.errors import ConfigError, DataError
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


def test_splits_and_classes(animals):
    train, val, test = (read_folders(animals, split) for split in ("train", "val", "test"))
    assert train.class_map.names == ("cat", "dog")
    assert (len(train), len(val), len(test)) == (8, 4, 2)
    assert train.classes == (0,) * 4 + (1,) * 4
    assert [p.name for p in train.paths[:4]] == ["0.png", "1.png", "2.png", "3.png"]
    assert train.load(5)[0, 0, 0] == 161
    assert read_folders(animals, "validation").paths == val.paths
    assert read_folders(animals, "train", ("dog", "cat")).classes == (1,) * 4 + (0,) * 4


def test_without_splits_a_file_keeps_its_split(tmp_path):
    for i in range(60):
        picture(tmp_path / "cat" / f"{i}.png"), picture(tmp_path / "dog" / f"{i}.png")
    before = {s: set(read_folders(tmp_path, s).paths) for s in ("train", "val", "test")}
    assert sum(map(len, before.values())) == 120
    assert len(before["train"]) > 80
    picture(tmp_path / "cat" / "more.png")
    assert all(paths <= set(read_folders(tmp_path, s).paths) for s, paths in before.items())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "train" / "cat" / "notes.txt").write_text("x"), "not an image"),
        (lambda root: (root / "train" / "cat" / "more").mkdir(), "folder inside"),
        (lambda root: picture(root / "test" / "bird" / "0.png"), "cannot be learned"),
        (lambda root: picture(root / "val" / "cat" / "0.png"), "two folders for val"),
    ],
)
def test_nothing_is_ignored_silently(animals, spoil, message):
    spoil(animals)
    split = "test" if (animals / "test" / "bird").is_dir() else "train"
    with pytest.raises(DataError, match=message):
        read_folders(animals, split)


def test_hidden_files_are_skipped_and_invalid_arguments_refused(animals, tmp_path):
    (animals / "train" / "cat" / ".DS_Store").write_text("x")
    assert len(read_folders(animals)) == 8
    with pytest.raises(DataError, match="no split 'all'"):
        read_folders(animals, "all")
    with pytest.raises(DataError, match="'dog' is not in the class map"):
        read_folders(animals, "train", ("cat", "bird"))
    with pytest.raises(DataError, match="does not exist"):
        read_folders(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no class folders"):
        read_folders(tmp_path / "empty")


def test_a_broken_image_is_named(animals):
    file = animals / "train" / "cat" / "0.png"
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"cat/0\.png"):
        check(read_folders(animals))


def test_the_shared_set():
    clothing = shared("data", "clothing")
    assert [len(read_folders(clothing, s)) for s in ("train", "val", "test")] == [400, 100, 100]
    assert len(read_folders(clothing).class_map) == 10


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
