"""labelme's JSON files: exact boxes, masks and keypoints, and errors with file and shape."""

import base64
import json

import numpy as np
import pytest
from tests.data.readers.tool_files import notes, one, png, read, save

from visiongarden.data.readers.labelme import Labelme
from visiongarden.data.readers.reader import Source
from visiongarden.samples import Masks
from visiongarden.samples.masks import area_of


def file_of(shapes, image="a.png", **keys):
    return {
        "version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": image, "imageData": None,
        "imageHeight": 50, "imageWidth": 100,
    } | keys  # fmt: skip


def shape(kind, points, label="cat", group=None, **keys):
    return {
        "label": label, "points": points, "group_id": group, "shape_type": kind, "flags": {},
    } | keys  # fmt: skip


def errors_of(root, shapes, **keys):
    return read(Labelme(), save(root, {"a.json": file_of(shapes, **keys)}))[1]


def test_shapes(tmp_path):
    shapes = [
        shape("rectangle", [[31.5, 46], [10, 21]]),  # drawn from the lower right corner
        shape("polygon", [[60, 10], [90, 10], [90, 30]], "dog"),
        shape("circle", [[20, 10], [23, 14]]),  # 3, 4, 5: the radius is 5
        shape("linestrip", [[5, 40], [15, 45], [25, 40]]),
    ]
    save(tmp_path, {"a.json": file_of(shapes)})
    row, found = one(Labelme(), tmp_path)
    assert found.class_map.names == ("cat", "dog")
    assert row.boxes.tolist() == [
        [10, 21, 31.5, 46],
        [60, 10, 90, 30],
        [15, 5, 25, 15],
        [5, 40, 25, 45],
    ]
    assert row.classes.tolist() == [0, 1, 0, 0]
    assert row.polygons[0] is None
    assert row.polygons[1][0].tolist() == [[60, 10], [90, 10], [90, 30]]
    assert area_of(row.polygons[2]) == pytest.approx(np.pi * 25, rel=0.002)
    assert found[0].instances.masks is not None


def test_parts_and_points_of_a_group_are_one_object(tmp_path):
    shapes = [
        shape("polygon", [[0, 0], [10, 0], [10, 10]], group=1),
        shape("polygon", [[20, 20], [30, 20], [30, 30]], group=1),
        shape("rectangle", [[40, 10], [90, 40]], "dog", 2),
        shape("point", [[50, 20]], "left_eye", 2),
        shape("point", [[70, 20]], "right_eye", 2),
    ]
    row, found = one(Labelme(), save(tmp_path, {"a.json": file_of(shapes)}))
    assert row.boxes.tolist() == [[0, 0, 30, 30], [40, 10, 90, 40]]
    assert len(row.polygons[0]) == 2
    assert found.class_map.names == ("cat", "dog")
    assert row.keypoints.tolist() == [[[0, 0, 0], [0, 0, 0]], [[50, 20, 2], [70, 20, 2]]]
    keypoints = found[0].instances.keypoints
    assert keypoints.names == ("left_eye", "right_eye")
    assert keypoints.pairs == ((0, 1),)


def test_loose_points_belong_to_the_only_object(tmp_path):
    shapes = [shape("rectangle", [[1, 1], [9, 9]]), shape("point", [[5, 6]], "eye")]
    row, _ = one(Labelme(), save(tmp_path, {"a.json": file_of(shapes)}))
    assert row.keypoints.tolist() == [[[5, 6, 2]]]


def test_loose_points_of_several_objects_are_counted_in_a_note(tmp_path):
    shapes = [shape("rectangle", [[1, 1], [9, 9]])] * 2 + [shape("point", [[5, 5]], "eye")]
    found, errors, collected = read(Labelme(), save(tmp_path, {"a.json": file_of(shapes)}))
    assert errors == []
    assert found.row(0).keypoints is None
    assert notes(collected) == ["1 points belong to no object and are not read"]


def test_points_alone_are_one_object(tmp_path):
    shapes = [shape("point", [[5, 6]], "tip"), shape("point", [[15, 36]], "end")]
    row, found = one(Labelme(), save(tmp_path, {"a.json": file_of(shapes)}))
    assert found.class_map.names == ("object",)
    assert row.boxes.tolist() == [[5, 6, 15, 36]]
    assert row.keypoints.tolist() == [[[5, 6, 2], [15, 36, 2]]]


def test_a_mask_is_placed_at_its_first_point(tmp_path):
    pixels = np.zeros((4, 6), np.uint8)
    pixels[1:3, 2:5] = 1
    text = base64.b64encode(png(pixels)).decode()
    shapes = [shape("mask", [[10, 20], [15, 23]], mask=text)]
    row, found = one(Labelme(), save(tmp_path, {"a.json": file_of(shapes)}))
    assert row.boxes.tolist() == [[12, 21, 15, 23]]
    expected = np.zeros((50, 100), bool)
    expected[21:23, 12:15] = True
    masks = found[0].instances.masks
    assert isinstance(masks, Masks)
    assert (masks.bitmaps()[0] == expected).all()


def test_rotated_boxes_make_all_boxes_rotated(tmp_path):
    shapes = [
        shape("rotation", [[30, 20], [50, 20], [50, 30], [30, 30]]),
        shape("rectangle", [[10, 5], [14, 25]]),
    ]
    row, _ = one(Labelme(), save(tmp_path, {"a.json": file_of(shapes)}))
    assert row.boxes.tolist() == [[40, 25, 20, 10, 0], [12, 15, 20, 4, -90]]


def test_backslashes_and_folders_of_another_computer(tmp_path):
    for number, name in enumerate(
        (
            "..\\images\\a.png",
            "C:\\photos\\images\\a.png",
            "/home/me/photos/a.png",
            "../images/a.png",
        )
    ):
        root = save(
            tmp_path / str(number),
            {"labels/a.json": file_of([shape("rectangle", [[1, 2], [3, 4]])], name)},
            ["images/a.png"],
        )
        row, _ = one(Labelme(), root)
        assert row.path == root / "images" / "a.png"


def test_no_path_leaves_the_dataset(tmp_path):
    save(tmp_path, {}, ["secret.png", "data/a.png"])
    for name in ("../secret.png", str(tmp_path / "secret.png"), "x/../../secret.png", "a\0.png"):
        save(tmp_path, {"data/a.json": file_of([shape("rectangle", [[1, 2], [3, 4]])], name)}, [])
        found, errors, _ = read(Labelme(), tmp_path / "data")
        assert len(found) == 0
        assert len(errors) == 1
        assert "does not exist" in errors[0]


def test_splits_are_folders(tmp_path):
    data = {
        f"{name}/a.json": file_of([shape("rectangle", [[1, 2], [3, 4]], label)])
        for name, label in (("train", "cat"), ("valid", "dog"))
    }
    save(tmp_path, data, ["train/a.png", "valid/a.png"])
    source = Source(tmp_path)
    assert Labelme().splits(source) == ("train", "val")
    row, found = one(Labelme(), tmp_path, split="val")
    assert found.class_map.names == ("cat", "dog")
    assert row.classes.tolist() == [1]


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([shape("rectangle", [[1, float("nan")], [9, 9]])], "is not finite"),
        ([shape("rectangle", [[1, 1], [900, 9]])], "is outside the image"),
        ([shape("rectangle", [[5, 5], [5, 9]])], "has no area"),
        ([shape("rectangle", [[1, 1], [2, 2], [3, 3]])], "has 3 points; expected 2 or 4"),
        ([shape("polygon", [[1, 1], [9, 9]])], "expected at least 3"),
        ([shape("polygon", [[1, "x"], [9, 9], [4, 4]])], "expected pairs of numbers"),
        ([shape("blob", [[1, 1], [9, 9]])], "is not known"),
        ([shape("rectangle", [[1, 1], [9, 9]], "")], "expected a class name"),
        ([shape("mask", [[0, 0], [3, 3]])], "base64"),
        ([shape("mask", [[0, 0], [3, 3]], mask="!!")], "base64"),
        (
            [shape("mask", [[0, 0], [9, 9]], mask=base64.b64encode(png(np.ones((4, 4)))).decode())],
            "has 4 × 4 pixels, its points enclose 10 × 10",
        ),
        (["shape"], "expected an object"),
    ],
)
def test_invalid_shapes(tmp_path, shapes, expected):
    valid = shape("rectangle", [[1, 1], [9, 9]], "dog")
    errors = errors_of(tmp_path, [valid, *shapes])
    assert len(errors) == 1
    assert expected in errors[0]
    assert "a.json: shapes[1]" in errors[0]


def test_an_unknown_class_and_another_size(tmp_path):
    root = save(tmp_path, {"a.json": file_of([shape("rectangle", [[1, 1], [9, 9]])])})
    _, errors, _ = read(Labelme(), root, class_names=("dog",))
    assert "class 'cat' is not in the class map: dog" in errors[0]
    (error,) = errors_of(
        root, [shape("rectangle", [[1, 1], [9, 9]])], imageHeight=100, imageWidth=50
    )
    assert "the annotated size is 50 × 100 pixels, the image has 100 × 50" in error


def test_a_truncated_file_and_another_json(tmp_path):
    text = json.dumps(file_of([shape("rectangle", [[1, 1], [9, 9]])]))
    files = {"a.json": text, "b.json": text[:40], "c.json": "[1]"}
    _, errors, _ = read(Labelme(), save(tmp_path, files))
    assert len(errors) == 2
    assert "b.json: line 1" in errors[0]
    assert "c.json: not a file of labelme" in errors[1]
