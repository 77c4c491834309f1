"""Unambiguous values of COCO files are read in any notation; ambiguous ones are refused."""

import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from visiongarden.data import read
from visiongarden.errors import DataError
from visiongarden.samples import masks

BOX = [2, 3, 10, 12]  # left, top, width, height: to (12, 15)


def write(root, image=None, change=None, more=(), category=None, name="a.png"):
    root.mkdir(exist_ok=True)
    cv2.imwrite(str(root / "a.png"), np.zeros((30, 40, 3), np.uint8))
    row = {"id": 1, "image_id": 1, "category_id": 1, "bbox": BOX} | (change or {})
    data = {
        "images": [{"id": 1, "file_name": name} | (image or {})],
        "categories": [{"id": 1, "name": "cat"} | (category or {})],
        "annotations": [row, *more],
    }
    (root / "train.json").write_text(json.dumps(data))
    return root


def example(root):
    return read(root, reader="COCO").row(0)


@pytest.mark.parametrize(
    ("image", "change"),
    [
        ({"id": 0}, {"image_id": "0"}),
        ({"id": "0"}, {"image_id": 0}),
        ({"id": 139}, {"image_id": "000000000139"}),
        ({}, {"image_id": 1.0}),
        ({"id": 1.0}, {}),
        ({"id": "img-7"}, {"image_id": "img-7"}),
        ({}, {"category_id": "1"}),
        ({}, {"category_id": 1.0}),
        ({"width": "40", "height": "30"}, {}),
        ({"width": 40.0, "height": "30.0"}, {}),
        ({"width": 0, "height": 0}, {}),
        ({"width": "0", "height": "0"}, {}),
        ({"width": None, "height": 30}, {}),
        ({}, {"iscrowd": "0"}),
        ({}, {"iscrowd": 0.0}),
        ({}, {"iscrowd": False}),
        ({}, {"iscrowd": None}),
    ],
)
def test_one_meaning(tmp_path, image, change):
    found = example(write(tmp_path, image, change))
    assert found.boxes.tolist() == [[2, 3, 12, 15]]
    assert found.crowd.tolist() == [False]


@pytest.mark.parametrize("crowd", [1, "1", True, 1.0])
def test_crowds(tmp_path, crowd):
    assert example(write(tmp_path, change={"iscrowd": crowd})).crowd.tolist() == [True]


def test_ids_of_categories_as_text(tmp_path):
    found = read(write(tmp_path, category={"id": "1", "supercategory": "pet"}), reader="COCO")
    assert found.class_map.ids == (1,)
    assert found.categories == ({"supercategory": "pet"},)
    assert found.row(0).boxes.tolist() == [[2, 3, 12, 15]]


@pytest.mark.parametrize(
    ("image", "change", "words"),
    [
        ({}, {"image_id": True}, "refers to image True"),
        ({}, {"image_id": "1.5"}, "refers to image '1.5'"),
        ({}, {"category_id": True}, "category_id True"),
        ({}, {"category_id": "cat"}, "category_id 'cat'"),
        ({}, {"iscrowd": "no"}, "`iscrowd` is 'no'; expected 0 or 1"),
        ({}, {"iscrowd": 2}, "`iscrowd` is 2"),
        ({"width": "wide", "height": 30}, {}, "`width` is 'wide', which is not a number"),
        ({"width": True, "height": 30}, {}, "`width` is True"),
        ({"width": "41", "height": "30"}, {}, "annotated size is 41 × 30 pixels"),
        ({"width": 40.5, "height": 30}, {}, "annotated size is 40.5 × 30 pixels"),
        ({}, {"segmentation": {"size": [30, 40], "counts": [100.5, 20, 1079.5]}}, "not integers"),
        ({}, {"segmentation": {"size": [40, 30], "counts": [1200]}}, r"size \[40, 30\]"),
    ],
)
def test_refused_with_the_reason(tmp_path, image, change, words):
    with pytest.raises(DataError, match=words):
        read(write(tmp_path, image, change), reader="COCO")


def test_an_id_that_could_be_two_images(tmp_path):
    write(tmp_path, change={"image_id": 1.0})
    data = json.loads((tmp_path / "train.json").read_text())
    data["images"].append({"id": "1", "file_name": "a.png"})
    (tmp_path / "train.json").write_text(json.dumps(data))
    with pytest.raises(DataError, match=r"refers to image 1\.0"):
        read(tmp_path, reader="COCO")
    data["annotations"][0]["image_id"] = "1"
    (tmp_path / "train.json").write_text(json.dumps(data))
    assert [len(one.boxes) for one in read(tmp_path, reader="COCO").rows()] == [0, 1]


@pytest.mark.parametrize("own", [1, "x"])
def test_a_repeated_annotation_id(tmp_path, own):
    again = {"id": own, "image_id": 1, "category_id": 1, "bbox": [5, 5, 3, 3]}
    with pytest.raises(DataError, match=r"annotations\[1\] has the same id .* as annotations\[0\]"):
        read(write(tmp_path, change={"id": own}, more=[again]), reader="COCO")


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('"annotations":', '"annotations": [], "annotations":', "annotations"),
        ('"bbox":', '"bbox": [1, 1, 2, 2], "bbox":', "bbox"),
        ('"name":', '"name": "dog", "name":', "name"),
    ],
)
def test_a_repeated_key(tmp_path, old, new, key):
    file = write(tmp_path) / "train.json"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(DataError, match=f"key '{key}' appears twice in one object"):
        read(tmp_path, reader="COCO")


def test_a_flat_list_is_one_polygon(tmp_path):
    found = example(write(tmp_path, change={"segmentation": [2, 3, 12, 3, 12, 15, 2, 15]}))
    assert found.polygons[0][0].tolist() == [[2, 3], [12, 3], [12, 15], [2, 15]]


def test_run_lengths_as_floats(tmp_path):
    mask = np.zeros((30, 40), np.uint8)
    mask[3:15, 2:12] = 1
    runs = np.flatnonzero(np.diff(np.concatenate([[0], mask.T.ravel(), [0]])))
    counts = np.diff([0, *runs, mask.size]).astype(float).tolist()
    row = {"size": [30.0, "40"], "counts": counts}
    found = example(write(tmp_path, change={"segmentation": row}))
    ground_truth = coco_mask.decode(
        coco_mask.frPyObjects({"size": [30, 40], "counts": counts}, 30, 40)
    )
    np.testing.assert_array_equal(
        masks.fill(found.polygons[0], (30, 40)), ground_truth.astype(bool)
    )


def test_backslashes_in_file_names(tmp_path):
    write(tmp_path, name="images\\a.png")
    (tmp_path / "images").mkdir()
    (tmp_path / "a.png").rename(tmp_path / "images" / "a.png")
    assert example(tmp_path).path == tmp_path / "images" / "a.png"


def test_one_file_of_another_name_is_divided(tmp_path):
    """Label Studio's result.json and CVAT's instances_default.json are one split."""
    root = tmp_path / "set"
    (root / "images").mkdir(parents=True)
    images = [{"id": i, "file_name": f"{i}.png"} for i in range(40)]
    for image in images:
        cv2.imwrite(str(root / "images" / image["file_name"]), np.zeros((30, 40, 3), np.uint8))
    rows = [{"id": i, "image_id": i, "category_id": 1, "bbox": BOX} for i in range(40)]
    data = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "cat"}]}
    (root / "result.json").write_text(json.dumps(data))
    parts = [
        {one.path.name for one in read(root, split=s).rows()} for s in ("train", "val", "test")
    ]
    assert all(parts)
    assert sum(map(len, parts)) == len(set.union(*parts)) == 40
    assert len(read(root, split="result")) == 40
    assert len(read(root / "result.json", split="val")) == 40
