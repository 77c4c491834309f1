"""Class folders: no image is lost, and a file keeps its split."""

import cv2
import numpy as np
import pytest
from tests.shared import shared

from visiongarden.data import read
from visiongarden.doctor.checking import check
from visiongarden.errors import DataError


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
    train, val, test = (read(animals, split=split) for split in ("train", "val", "test"))
    assert train.class_map.names == ("cat", "dog")
    assert (len(train), len(val), len(test)) == (8, 4, 2)
    assert train.samples.classes == (0,) * 4 + (1,) * 4
    assert [p.name for p in train.samples.paths[:4]] == ["0.png", "1.png", "2.png", "3.png"]
    assert train.load(5).image[0, 0, 0] == 161
    assert train[5].labels.tolist() == [0, 1]
    assert train.fields == {"labels"}
    assert train.counts().tolist() == [4, 4]
    assert read(animals, split="validation").samples.paths == val.samples.paths
    assert read(animals, class_names=("dog", "cat")).samples.classes == (1,) * 4 + (0,) * 4


def test_without_splits_a_file_keeps_its_split(tmp_path):
    for i in range(60):
        picture(tmp_path / "cat" / f"{i}.png"), picture(tmp_path / "dog" / f"{i}.png")
    before = {s: set(read(tmp_path, split=s).samples.paths) for s in ("train", "val", "test")}
    assert sum(map(len, before.values())) == 120
    assert len(before["train"]) > 80
    picture(tmp_path / "cat" / "more.png")
    assert all(paths <= set(read(tmp_path, split=s).samples.paths) for s, paths in before.items())


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
        read(animals, split=split)


def test_hidden_files_are_skipped_and_invalid_arguments_refused(animals, tmp_path):
    (animals / "train" / "cat" / ".DS_Store").write_text("x")
    assert len(read(animals)) == 8
    with pytest.raises(DataError, match="no split 'all'"):
        read(animals, split="all")
    with pytest.raises(DataError, match="'dog' is not in the class map"):
        read(animals, class_names=("cat", "bird"))
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no class folders"):
        read(tmp_path / "empty", reader="ClassFolders")


def test_a_broken_image_is_named(animals):
    file = animals / "train" / "cat" / "0.png"
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"cat/0\.png"):
        check(read(animals))


def test_the_shared_set():
    clothing = shared("data", "clothing")
    assert [len(read(clothing, split=s)) for s in ("train", "val", "test")] == [400, 100, 100]
    assert len(read(clothing).class_map) == 10
