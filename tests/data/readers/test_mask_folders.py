"""Mask folders: equal results for all layouts, and errors with file names."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from visiongarden.data import read
from visiongarden.doctor.checking import check
from visiongarden.errors import DataError

EXPECTED = np.array([[0, 0, 1, 1], [2, 2, 255, 0]], np.uint8)


def write(root, mask, classes, images="images/train", masks="masks/train", palette=None):
    (root / images).mkdir(parents=True), (root / masks).mkdir(parents=True)
    cv2.imwrite(str(root / images / "a.jpg"), np.full((2, 4, 3), 90, np.uint8))
    picture = Image.fromarray(mask)
    if palette is not None:
        picture.putpalette(palette)
    picture.save(root / masks / "a.png")
    (root / "classes.yaml").write_text(classes)
    return root


LIST = "classes: [sky, road, tree]\n"
COLORS = np.array([[0, 0, 0], [128, 64, 128], [107, 142, 35]], np.uint8)


def as_rgb():
    rgb = np.full((2, 4, 3), 9, np.uint8)
    for index, color in enumerate(COLORS):
        rgb[index == EXPECTED] = color
    return rgb


LAYOUTS = {
    "list": lambda root: write(root, EXPECTED, LIST),
    "split outside": lambda root: write(root, EXPECTED, LIST, "train/images", "train/masks"),
    "palette": lambda root: write(root, EXPECTED, LIST, palette=list(range(256)) * 3),
    "own ids": lambda root: write(
        root,
        np.array([[7, 7, 21, 21], [300, 300, 9, 7]], np.uint16),
        "classes: {sky: 7, road: 21, tree: 300}\nignore: [9]\n",
    ),
    "colors": lambda root: write(
        root,
        as_rgb(),
        "classes: {sky: [0, 0, 0], road: [128, 64, 128], tree: [107, 142, 35]}\n"
        "ignore: [[9, 9, 9]]\n",
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_give_equal_results(tmp_path, layout):
    found = read(LAYOUTS[layout](tmp_path))
    assert found.class_map.names == ("sky", "road", "tree")
    sample = found.load(0)
    image, mask = sample.image, sample.semantic
    assert image.shape == (2, 4, 3)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, EXPECTED)


@pytest.mark.parametrize("name", ["classes.json", "classes.txt"])
def test_names_in_other_files(tmp_path, name):
    root = LAYOUTS["list"](tmp_path)
    (root / "classes.yaml").unlink()
    text = json.dumps({"classes": ["sky", "road", "tree"]}, indent=1)
    (root / name).write_text("sky\nroad\ntree\n" if name.endswith("txt") else text)
    assert read(root).class_map.names == ("sky", "road", "tree")


def test_pascal_voc_layout(tmp_path):
    root = write(tmp_path, EXPECTED, LIST, "JPEGImages", "SegmentationClass")
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\n")
    assert len(read(root)) == 1
    with pytest.raises(DataError, match="no split 'val'"):
        read(root, split="val")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "masks/train/a.png").unlink(), r"the mask .*a\.png does not exist"),
        (lambda root: (root / "images/train/a.jpg").unlink(), r"the image .*a\.\* does not exist"),
        (lambda root: (root / "classes.yaml").unlink(), "has no file with class names"),
        (
            lambda root: (root / "classes.yaml").write_text("classes: [sky]"),
            "`classes` is not a valid list",
        ),
        (
            lambda root: (root / "classes.yaml").write_text("classes: [a, a]"),
            "`classes` is not a valid list",
        ),
        (
            lambda root: (root / "classes.yaml").write_text("classes: {a: 1, b: 1}"),
            "duplicate class id .*: 1$",
        ),
        (lambda root: (root / "classes.yaml").write_text("classes: {a: 1, b: x}"), "neither"),
        (
            lambda root: (root / "classes.yaml").write_text("classes: [a, b]\nignore: 3"),
            "`ignore` is not a list",
        ),
        (
            lambda root: (root / "classes.yaml").write_text("classes: [a, b]\nignore: [1]"),
            "is both a class and ignored",
        ),
        (
            lambda root: (root / "classes.yaml").write_text("classes: {a: [0,0,0], b: [0,0,0]}"),
            "the same color",
        ),
        (lambda root: (root / "classes.yaml").write_text("classes: ["), r"classes\.yaml"),
        (
            lambda root: (root / "classes.yaml").write_text(LIST.replace("tree", "x: 3")),
            "is not a valid list",
        ),
    ],
)
def test_errors_of_the_folder(tmp_path, spoil, message):
    root = LAYOUTS["list"](tmp_path)
    spoil(root)
    with pytest.raises(DataError, match=message):
        read(root, reader="MaskFolders")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((3, 4), np.uint8), "4 × 3 pixels, but the image"),
        (np.full((2, 4), 3, np.uint8), "8 pixels have values that belong to no class"),
        (np.zeros((2, 4, 3), np.uint8), "the mask stores RGB colors"),
        (np.zeros((2, 4, 4), np.uint8), "mode RGBA"),
    ],
)
def test_errors_inside_a_mask(tmp_path, mask, message):
    dataset = read(write(tmp_path, mask, LIST))
    with pytest.raises(DataError, match=message):
        dataset.load(0)
    with pytest.raises(DataError, match=r"a\.png"):
        check(dataset)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_bytes_are_safe(tmp_path_factory, data):
    root = LAYOUTS["own ids"](tmp_path_factory.mktemp("masks"))
    file = data.draw(st.sampled_from(["masks/train/a.png", "classes.yaml"]))
    raw = bytearray((root / file).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (root / file).write_bytes(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    try:
        sample = read(root, reader="MaskFolders").load(0)
    except DataError:
        return
    assert sample.semantic.shape == sample.image.shape[:2]
    assert set(np.unique(sample.semantic)) <= {0, 1, 2, 255}
