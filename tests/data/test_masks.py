"""Mask folders: equal results for all layouts, errors with file names, equal transforms."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from visiongarden.data import SegmentationLoader, read_masks
from visiongarden.doctor.checking import check
from visiongarden.errors import DataError, UserError
from visiongarden.scenes import make_mask_scenes
from visiongarden.scenes.scenes import mask_scene, scene
from visiongarden.transforms import SegmentationAugmentation, warp_with_mask

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
    found = read_masks(LAYOUTS[layout](tmp_path))
    assert found.class_map.names == ("sky", "road", "tree")
    image, mask = found.load(0)
    assert image.shape == (2, 4, 3)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, EXPECTED)


@pytest.mark.parametrize("name", ["classes.json", "classes.txt"])
def test_names_in_other_files(tmp_path, name):
    root = LAYOUTS["list"](tmp_path)
    (root / "classes.yaml").unlink()
    text = json.dumps({"classes": ["sky", "road", "tree"]}, indent=1)
    (root / name).write_text("sky\nroad\ntree\n" if name.endswith("txt") else text)
    assert read_masks(root).class_map.names == ("sky", "road", "tree")


def test_pascal_voc_layout(tmp_path):
    root = write(tmp_path, EXPECTED, LIST, "JPEGImages", "SegmentationClass")
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\n")
    assert len(read_masks(root)) == 1
    with pytest.raises(DataError, match="no split 'val'"):
        read_masks(root, "val")


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
        read_masks(root)


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
    dataset = read_masks(write(tmp_path, mask, LIST))
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
        image, mask = read_masks(root).load(0)
    except DataError:
        return
    assert mask.shape == image.shape[:2]
    assert set(np.unique(mask)) <= {0, 1, 2, 255}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return make_mask_scenes(tmp_path_factory.mktemp("data") / "scenes", 10, (48, 64))


def test_scenes_are_known(scenes):
    train, val = read_masks(scenes), read_masks(scenes, "val")
    assert (len(train), len(val)) == (8, 2)
    check(train)
    assert make_mask_scenes(scenes, 10, (48, 64)) == scenes
    image, boxes, classes = scene((48, 64), np.random.default_rng((0, 3)))
    same, mask = mask_scene((48, 64), np.random.default_rng((0, 3)))
    np.testing.assert_array_equal(image, same)
    np.testing.assert_array_equal(train.load(3)[1], mask)
    assert set(np.unique(mask)) - {0} <= {c + 1 for c in classes}
    # Pixels that are not background are inside the boxes of the objects.
    inside = np.zeros(mask.shape, bool)
    for x1, y1, x2, y2 in boxes:
        inside[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = True
    assert not (mask.astype(bool) & ~inside).any()
    with pytest.raises(UserError, match="not empty"):
        make_mask_scenes(scenes, 11, (48, 64))


def test_epochs_repeat_and_differ(scenes):
    def batches(epoch, **options):
        options = {"augmentation": SegmentationAugmentation(degrees=20), "shuffle": True} | options
        return [
            (b.images, b.masks)
            for b in SegmentationLoader(read_masks(scenes), (32, 32), 3, **options).epoch(epoch)
        ]

    first = batches(0)
    assert all(np.array_equal(a, b) for x, y in zip(first, batches(0), strict=True)
               for a, b in zip(x, y, strict=True))  # fmt: skip
    assert not np.array_equal(first[0][0], batches(1)[0][0])
    assert not np.array_equal(first[0][0], batches(0, seed=1)[0][0])
    image, mask = batches(0, augmentation=None, shuffle=False)[0]
    assert (mask[:, :4] == 255).all()  # 48 × 64 on 32 × 32: four rows of border
    assert (image[:, :4] == 114).all()
    assert (mask[:, 4:28] < 6).all()


def test_batches_of_several_sizes(scenes):
    settings = SegmentationAugmentation(multi_scale=0.5)
    one = SegmentationLoader(read_masks(scenes), (64, 64), 3, settings, shuffle=True)
    batches = [batch for epoch in range(4) for batch in one.epoch(epoch)]
    assert {batch.images.shape[1:3] for batch in batches} == {(32, 32), (64, 64), (96, 96)}
    assert all(batch.masks.shape == batch.images.shape[:3] for batch in batches)


@given(
    st.floats(0.3, 3), st.floats(-3.1, 3.1), st.floats(-20, 20), st.floats(-20, 20),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_image_and_mask_move_together(scale, angle, dx, dy, seed):
    """The mask is painted into the image too: both must show a class at the same pixels."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((40, 50), np.uint8)
    y, x = rng.integers(5, 20, 2)
    mask[y : y + 15, x : x + 20] = 1
    image = np.repeat(mask[..., None] * np.uint8(200), 3, axis=-1)
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([turn, (25 + dx, 20 + dy) - turn @ (25, 20)])
    moved, masked = warp_with_mask(image, mask, matrix, (40, 50))
    assert (masked[moved[..., 0] > 180] != 0).all()
    sure = (moved[..., 0] > 120) & (masked != 255) & (moved[..., 0] != 114)
    agree = masked[sure] == 1
    assert agree.mean() > 0.9 if agree.size > 50 else True


def test_identity_and_halving_leave_the_mask_exact():
    mask = np.random.default_rng(0).integers(0, 3, (8, 8)).astype(np.uint8)
    image = np.repeat(mask[..., None], 3, axis=-1)
    same = warp_with_mask(image, mask, np.array([[1.0, 0, 0], [0, 1, 0]]), (8, 8))
    np.testing.assert_array_equal(same[0], image)
    np.testing.assert_array_equal(same[1], mask)
    double = warp_with_mask(image, mask, np.array([[2.0, 0, 0], [0, 2, 0]]), (16, 16))[1]
    np.testing.assert_array_equal(double, mask.repeat(2, axis=0).repeat(2, axis=1))
