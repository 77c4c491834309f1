"""CreateML's JSON: boxes from their centers, labels of images."""

import json

import pytest
from tests.data.readers.tool_files import one, read, save

from visiongarden.data.readers.create_ml import CreateML
from visiongarden.data.readers.reader import Source
from visiongarden.errors import DataError


def box(x, y, width, height, label="cat"):
    coordinates = {"x": x, "y": y, "width": width, "height": height}
    return {"label": label, "coordinates": coordinates}


def entry(*annotations, image="a.png"):
    return {"image": image, "annotations": list(annotations)}


def test_coordinates_are_centers(tmp_path):
    content = [entry(box(30, 20.5, 20, 11), box(5, 5, 2, 4, "ant"))]
    row, found = one(CreateML(), save(tmp_path, {"a.json": content}))
    assert row.boxes.tolist() == [[20, 15, 40, 26], [4, 3, 6, 7]]
    assert found.class_map.names == ("ant", "cat")
    assert row.classes.tolist() == [1, 0]


def test_images_without_boxes_and_old_names_of_keys(tmp_path):
    old = {"imagefilename": "b.png", "annotation": [box(30, 20, 20, 10)]}
    root = save(tmp_path, {"x.json": [entry(image="a.png"), old]}, ["a.png", "b.png"])
    found, errors, _ = read(CreateML(), root)
    assert errors == []
    assert [len(row.boxes) for row in found.rows()] == [0, 1]


def test_roboflow_folders(tmp_path):
    root = save(
        tmp_path,
        {
            "train/_annotations.createml.json": [entry(box(30, 20, 20, 10))],
            "valid/_annotations.createml.json": [entry(box(30, 20, 20, 10, "dog"), image="b.png")],
        },
        ["train/a.png", "valid/b.png"],
    )
    assert CreateML().splits(Source(root)) == ("train", "val")
    row, found = one(CreateML(), root, split="val")
    assert found.class_map.names == ("cat", "dog")
    assert row.classes.tolist() == [1]


def test_labels_of_images(tmp_path):
    content = [
        {"image": "a.png", "annotation": "cat"},
        {"image": "b.png", "annotations": ["cat", "dog"]},
        {"image": "c.png", "annotations": [{"label": "dog"}]},
    ]
    names = ["a.png", "b.png", "c.png"]
    found, errors, _ = read(CreateML(), save(tmp_path, {"x.json": content}, names))
    assert errors == []
    assert found.class_map.names == ("cat", "dog")
    assert [row.labels.tolist() for row in found.rows()] == [[1, 0], [1, 1], [0, 1]]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (box(float("nan"), 20, 20, 10), "is not finite"),
        (box(30, 20, -20, 10), "has no area"),
        (box(30, 20, 200, 10), "is outside the image"),
        (box("x", 20, 20, 10), "expected x, y, width, height"),
        (box(True, 20, 20, 10), "expected x, y, width, height"),
        ({"label": "cat", "coordinates": [1, 2, 3, 4]}, "expected x, y, width, height"),
        ({"label": 3, "coordinates": {}}, "expected an object with a label"),
        (4, "expected an object with a label"),
    ],
)
def test_invalid_annotations(tmp_path, annotation, expected):
    root = save(tmp_path, {"a.json": [entry(box(30, 20, 20, 10), annotation)]})
    _, errors, _ = read(CreateML(), root)
    assert len(errors) == 1
    assert expected in errors[0]
    assert "a.json: image 1 (a.png): annotations[1]" in errors[0]


def test_files_that_cannot_be_read(tmp_path):
    text = json.dumps([entry(box(30, 20, 20, 10))])
    with pytest.raises(DataError, match="line 1"):
        read(CreateML(), save(tmp_path, {"a.json": text[:-9]}))
    with pytest.raises(DataError, match="image 2 has no name"):
        read(CreateML(), save(tmp_path, {"a.json": [entry(box(3, 3, 2, 2)), {"image": ""}]}))
    _, errors, _ = read(
        CreateML(), save(tmp_path, {"a.json": [entry(box(3, 3, 2, 2), image="b.png")]})
    )
    assert "the image 'b.png' does not exist" in errors[0]
    root = save(tmp_path, {"a.json": [entry(box(3, 3, 2, 2)), entry(box(3, 3, 2, 2))]})
    assert "appears twice" in read(CreateML(), root)[1][0]
    root = save(tmp_path, {"a.json": [entry(box(3, 3, 2, 2))]})
    assert "not in the class map: dog" in read(CreateML(), root, class_names=("dog",))[1][0]
