"""Folders of instance masks: exact masks and boxes, errors with file names, hostile files."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image
from tests.shared import shared

from visiongarden.data.error_list import ErrorList
from visiongarden.data.readers.instance_mask_folders import InstanceMaskFolders
from visiongarden.data.readers.reader import Source
from visiongarden.errors import DataError
from visiongarden.storage.place import place


def source(root, class_names=None, invalid_boxes="error"):
    return Source(root, class_names, ErrorList(root, invalid_boxes))


def read(root, split="train", class_names=None, **fields):
    """Return the split, and the errors as text."""
    given = source(root, class_names)
    found = InstanceMaskFolders(**fields).read(given, split)
    return found, [str(finding) for finding in given.errors.found], given.errors


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def block(top, left, bottom, right, value=255, size=(6, 8)):
    mask = np.zeros(size, np.uint8)
    mask[top:bottom, left:right] = value
    return mask


def objects(root, name, *masks):
    """Write one image with a file for each mask."""
    save(root / name / "images" / f"{name}.png", np.full((6, 8, 4), 255, np.uint8))
    (root / name / "masks").mkdir()
    for number, mask in enumerate(masks):
        save(root / name / "masks" / f"{number}.png", mask)


def ids(root, name, values, images="images", instances="instances"):
    save(root / images / f"{name}.png", np.full((*values.shape, 3), 9, np.uint8))
    save(root / instances / f"{name}.png", values)


def test_one_file_per_object(tmp_path):
    # Two parts are one object; the ring has a hole.
    parts = block(0, 0, 2, 3) | block(4, 6, 6, 8)
    ring = block(1, 2, 5, 7)
    ring[2:4, 3:6] = 0
    objects(tmp_path, "a", parts, ring)
    objects(tmp_path, "b")
    found, errors, collected = read(tmp_path)
    assert errors == []
    assert [len(sample.instances) for sample in found] == [2, 0]
    instances = found[0].instances
    assert np.array_equal(instances.masks.bitmaps(), np.stack([parts, ring]) > 0)
    assert np.asarray(instances.boxes).tolist() == [[0, 0, 8, 6], [2, 1, 7, 5]]
    assert found.class_map.names == ("object",)
    assert found.fields == {"boxes", "masks"}
    # They share two pixels: (row 1, column 2) and (row 4, column 6).
    (note,) = collected.noted
    assert "masks of 1 images overlap, by 2 pixels" in note.what


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_one_file_per_image(tmp_path, kind):
    values = np.zeros((6, 8), kind)
    big = np.iinfo(kind).max
    values[0:2, 0:3], values[2:6, 1:4], values[0, 7] = 1, big, 1
    ids(tmp_path, "a", values)
    found, errors, _ = read(tmp_path, class_name="cell")
    assert errors == []
    assert np.array_equal(found[0].instances.masks.bitmaps(), [values == 1, values == big])
    assert np.asarray(found[0].instances.boxes).tolist() == [[0, 0, 8, 2], [1, 2, 4, 6]]
    assert found.class_map.names == ("cell",)


def test_classes_of_ids(tmp_path):
    values = block(0, 0, 2, 2, 5) + block(3, 3, 5, 6, 7)
    ids(tmp_path, "a", values)
    (tmp_path / "instances" / "a.json").write_text(json.dumps({"5": "dog", "7": "cat"}))
    found, errors, _ = read(tmp_path)
    assert errors == []
    assert found.class_map.names == ("cat", "dog")
    assert found[0].instances.classes.tolist() == [1, 0]
    (tmp_path / "classes.txt").write_text("dog\nfox\ncat\n")
    found, errors, _ = read(tmp_path)
    assert errors == []
    assert found[0].instances.classes.tolist() == [0, 2]
    _, errors, _ = read(tmp_path, class_names=("dog",))
    assert len(errors) == 1
    assert "class 'cat' is not in the class map: dog" in errors[0]


def test_names_rename_the_only_class(tmp_path):
    objects(tmp_path, "a", block(0, 0, 2, 2))
    assert read(tmp_path, class_names=("nucleus",))[0].class_map.names == ("nucleus",)


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("images", "instances"), ("train",)),
        (("train/images", "train/instances"), ("train",)),
        (("images/valid", "instances/valid"), ("val",)),
    ],
)
def test_splits_of_ids(tmp_path, folders, expected):
    ids(tmp_path, "a", block(0, 0, 2, 2, 1), *folders)
    assert InstanceMaskFolders().matches(source(tmp_path)) == 0.95
    assert InstanceMaskFolders().splits(source(tmp_path)) == expected
    found, errors, _ = read(tmp_path, expected[0])
    assert (len(found), errors) == (1, [])
    with pytest.raises(DataError, match="has no split 'other'"):
        read(tmp_path, "other")


def test_splits_of_objects(tmp_path):
    for folder in ("stage1_train", "stage1_test"):
        objects(tmp_path / folder, "a", block(0, 0, 2, 2))
    assert set(InstanceMaskFolders().splits(source(tmp_path))) == {"train", "test"}
    assert InstanceMaskFolders().matches(source(tmp_path)) == 0.95
    objects(tmp_path / "test", "a", block(0, 0, 2, 2))
    with pytest.raises(DataError, match="two folders for test"):
        InstanceMaskFolders().splits(source(tmp_path))


@pytest.mark.parametrize("layout", [("images", "masks"), ("train/images", "train/masks")])
def test_semantic_masks_do_not_match(tmp_path, layout):
    ids(tmp_path, "a", block(0, 0, 2, 2, 1), *layout)
    assert InstanceMaskFolders().matches(source(tmp_path)) == 0
    # Named explicitly, they are read.
    if layout[0] == "images":
        assert len(read(tmp_path, instances="masks")[0][0].instances) == 1


def test_suffix_of_the_files_of_ids(tmp_path):
    save(tmp_path / "PNGImages" / "a.png", np.zeros((6, 8, 3), np.uint8))
    save(tmp_path / "PedMasks" / "a_mask.png", block(1, 1, 3, 3, 2))
    found, errors, _ = read(tmp_path, images="PNGImages", instances="PedMasks", suffix="_mask")
    assert errors == []
    assert np.asarray(found[0].instances.boxes).tolist() == [[1, 1, 3, 3]]


def test_archive(tmp_path):
    import shutil

    objects(tmp_path / "set", "a", block(0, 0, 2, 3))
    shutil.make_archive(str(tmp_path / "set"), "zip", tmp_path / "set")
    root = place(tmp_path / "set.zip")
    # The only folder of the archive is that of the image, so the root is given.
    root = type(root)(root.archive, "")
    found, errors, _ = read(root)
    assert errors == []
    assert np.asarray(found[0].instances.boxes).tolist() == [[0, 0, 3, 2]]
    assert found.load(0).image.shape == (6, 8, 3)


def test_errors_name_the_file(tmp_path):
    objects(tmp_path, "a", block(0, 0, 2, 2))
    save(tmp_path / "a" / "masks" / "1.png", block(0, 0, 2, 2, size=(8, 6)))
    save(tmp_path / "a" / "masks" / "2.png", block(0, 0, 0, 0))
    (tmp_path / "a" / "masks" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "a" / "masks" / "notes.txt").write_text("")
    save(tmp_path / "b" / "images" / "b.png", block(0, 0, 1, 1))
    objects(tmp_path, "c", block(0, 0, 2, 2))
    save(tmp_path / "c" / "images" / "d.png", block(0, 0, 1, 1))
    _, errors, _ = read(tmp_path)
    expected = [
        ("a/masks/1.png", "6 × 8 pixels, the image has 8 × 6"),
        ("a/masks/2.png", "no pixel of an object"),
        ("a/masks/3.png", ""),
        ("a/masks/notes.txt", "not an image"),
        ("b", "no folder masks"),
        ("c/images", "expected one image, got 2"),
    ]
    assert len(errors) == len(expected)
    for text, (file, what) in zip(errors, expected, strict=True):
        assert f"{tmp_path}/{file}" in text
        assert what in text


def test_empty_masks_can_be_dropped(tmp_path):
    objects(tmp_path, "a", block(0, 0, 0, 0))
    given = source(tmp_path, invalid_boxes="drop")
    InstanceMaskFolders().read(given, "train")
    assert given.errors.found == []
    assert len(given.errors.dropped) == 1
    assert len(given.errors.emptied) == 1


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda root: (root / "instances" / "a.png").unlink(), "instances/a.png does not exist"),
        (lambda root: (root / "images" / "a.png").unlink(), "images/a.* does not exist"),
        (lambda root: save(root / "instances/a.png", np.ones((6, 8, 3), np.uint8)), "RGB colors"),
        (lambda root: (root / "instances/a.json").write_text("{"), "invalid JSON"),
        (lambda root: (root / "instances/a.json").write_text("[]"), "not a mapping"),
        (lambda root: (root / "instances/a.json").write_text('{"2": "b"}'), "object 1 has no"),
    ],
)
def test_errors_of_ids(tmp_path, change, what):
    ids(tmp_path, "a", block(0, 0, 2, 2, 1))
    change(tmp_path)
    _, errors, _ = read(tmp_path)
    assert len(errors) == 1
    assert what in errors[0]


def test_patterns_that_take_much_memory_are_refused(tmp_path):
    # 4 million single pixels in a file of a few KB.
    pattern = np.zeros((2048, 2048), np.uint8)
    pattern[::2, ::2] = 1
    ids(tmp_path, "a", pattern)
    Image.fromarray(pattern).save(tmp_path / "instances" / "a.png", compress_level=9)
    assert (tmp_path / "instances" / "a.png").stat().st_size < 2**15
    _, errors, _ = read(tmp_path)
    assert "edges between pixels" in errors[0]


def test_scattered_ids_are_refused(tmp_path):
    # The rectangle around each id is the image: tracing would look at 255 times its pixels.
    values = np.tile(np.arange(256, dtype=np.uint8), (4, 4))
    ids(tmp_path, "a", values)
    _, errors, _ = read(tmp_path)
    assert "scattered" in errors[0]


def test_damaged_files_give_errors(tmp_path):
    values = block(0, 0, 3, 3, 1)
    ids(tmp_path, "a", values)
    file = tmp_path / "instances" / "a.png"
    good = file.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        bad = bytearray(good)
        for at in rng.integers(0, len(bad), 3):
            bad[at] = rng.integers(256)
        bad = bad[: rng.integers(1, len(bad) + 1)]
        file.write_bytes(bytes(bad))
        read(tmp_path)  # adds errors, and raises none but DataError


def test_nuclei_are_read_without_loss():
    root = shared("data", "nuclei_dsb2018", "stage1_train")
    given = source(root)
    wanted = {folder.name for folder in sorted(root.iterdir())[:8]}
    given.errors.includes = lambda path: path.stem in wanted
    found = InstanceMaskFolders(class_name="nucleus").read(given, "train")
    assert len(found) == 8
    for index, sample in enumerate(found):
        folder = found.image_path(index).parent.parent
        files = sorted((folder / "masks").glob("*.png"))
        masks = [cv2.imread(str(file), cv2.IMREAD_UNCHANGED) > 0 for file in files]
        assert np.array_equal(sample.instances.masks.bitmaps(), masks)
        edges = [cv2.boundingRect(mask.astype(np.uint8)) for mask in masks]
        expected = [[x, y, x + w, y + h] for x, y, w, h in edges]
        assert np.asarray(sample.instances.boxes).tolist() == expected
