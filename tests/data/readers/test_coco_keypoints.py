"""COCO keypoints and masks: values as in the file, scheme from the categories."""

import json

import cv2
import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_mask
from tests.shared import shared

from visiongarden.data import convert, read
from visiongarden.data.readers.keypoint_scheme import pairs_of
from visiongarden.errors import DataError
from visiongarden.samples import unknown_keys

NAMES = ["nose", "left_eye", "right_eye"]


def write(root, points, categories=None, skeleton=((1, 2), (1, 3)), **keys):
    cv2.imwrite(str(root / "a.png"), np.zeros((30, 40, 3), np.uint8))
    person = {"id": 1, "name": "person", "keypoints": NAMES, "skeleton": list(skeleton)}
    rows = [
        {"id": i, "image_id": 1, "category_id": 1, "bbox": [2, 3, 10, 12], "keypoints": each} | keys
        for i, each in enumerate(points)
    ]
    data = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": categories or [person, {"id": 2, "name": "dog"}],
        "annotations": rows,
    }
    (root / "train.json").write_text(json.dumps(data))
    return root


def test_points_names_pairs_and_skeleton(tmp_path):
    write(tmp_path, [[4, 5, 2, 6.5, 7, 1, 0, 0, 0], [0] * 9], num_keypoints=2)
    found = read(tmp_path)
    assert found.fields == {"boxes", "keypoints"}
    points = found[0].instances.keypoints
    assert points.values.tolist() == [[[4, 5, 2], [6.5, 7, 1], [0, 0, 0]], [[0, 0, 0]] * 3]
    assert points.names == tuple(NAMES)
    assert points.pairs == ((1, 2),)
    assert points.skeleton == ((0, 1), (0, 2))  # COCO counts from 1
    # The keys of the category are written back unchanged; a wrong number of points is kept.
    assert found.categories[0]["skeleton"] == [[1, 2], [1, 3]]
    assert unknown_keys.unpack(found.row(0).unknown, 2)[1] == [
        {"id": 0},
        {"id": 1, "num_keypoints": 2},
    ]
    assert found.notes == [
        "the keypoints of 1 object are read, but no head is trained on keypoints yet"
    ]


def test_an_object_without_keypoints_beside_others(tmp_path):
    write(tmp_path, [[4, 5, 2] * 3, []])
    found = read(tmp_path).row(0)
    assert found.keypoints[1].tolist() == [[0, 0, 0]] * 3
    assert unknown_keys.unpack(found.unknown, 2)[1][1]["keypoints"] == []


def test_numbers_that_float32_changes_are_kept(tmp_path):
    given = [4.1, 5, 2] * 3
    found = read(write(tmp_path, [given])).row(0)
    np.testing.assert_allclose(found.keypoints[0, :, 0], 4.1, rtol=1e-6)
    assert unknown_keys.unpack(found.unknown, 1)[1][0]["keypoints"] == given


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([4, 5], "expected x, y and visibility of each point"),
        ([4, 5, 2], "1 points; expected 3"),
        ([4, 5, 3] * 3, "visibility 3; expected 0, 1 or 2"),
        ([4, None, 2] * 3, "expected finite numbers"),
        ([4, float("nan"), 2] * 3, "expected finite numbers"),
        ("4,5,2", "expected x, y and visibility"),
    ],
)
def test_invalid_keypoints_are_named(tmp_path, points, words):
    write(tmp_path, [[4, 5, 2] * 3, points])
    with pytest.raises(DataError, match=rf"annotations\[1\]: `keypoints`: .*{words}"):
        read(tmp_path)


def test_keypoints_without_names(tmp_path):
    write(tmp_path, [[4, 5, 2] * 2], [{"id": 1, "name": "person"}])
    points = read(tmp_path)[0].instances.keypoints
    assert (points.names, points.pairs, points.skeleton) == ((), None, ())


def test_classes_with_different_points_keep_them_unread(tmp_path):
    other = {"id": 2, "name": "dog", "keypoints": ["tail"], "skeleton": []}
    person = {"id": 1, "name": "person", "keypoints": NAMES}
    found = read(write(tmp_path, [[4, 5, 2] * 3], [person, other]))
    assert found.fields == {"boxes"}
    assert "keypoints of classes that have different points" in found.notes[0]
    unknown = unknown_keys.unpack(found.row(0).unknown, 1)[1]
    assert unknown[0]["keypoints"] == [4, 5, 2] * 3


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (("left_eye", "right_eye", "nose"), ((0, 1),)),
        (("eye_right", "nose", "eye_left"), ((2, 0),)),
        (("l_eye", "r_eye"), ((0, 1),)),
        (("LEye", "REye", "LEar", "REar"), ((0, 1), (2, 3))),
        (("EyeLeft", "EyeRight"), ((0, 1),)),
        (
            ("Left Front Paw", "Right Front Paw", "left back paw", "right back paw"),
            ((0, 1), (2, 3)),
        ),
        (("head", "tail"), ()),
        (("left", "right"), ((0, 1),)),
        (("left_eye", "nose"), None),
        (("left_eye", "eye_left", "right_eye"), None),
        (("0", "1"), None),
        (("a", "b"), None),
        ((), None),
    ],
)
def test_pairs_follow_from_names(names, pairs):
    assert pairs_of(names) == pairs


@pytest.mark.parametrize("split", ["train", "val"])
def test_masks_of_coco_equal_those_of_faster_coco_eval(split):
    root = shared("data", "coco_by")
    data = json.loads((root / "annotations" / f"instances_{split}.json").read_text())
    by_name = {image["file_name"]: image for image in data["images"]}
    found = read(root, split=split)
    compared = 0
    for index in range(len(found)):
        row = found.row(index)
        image = by_name[row.path.name]
        rows = [r for r in data["annotations"] if r["image_id"] == image["id"]]
        masks = None if row.polygons is None else found[index].instances.masks
        for i, annotation in enumerate(rows):
            given = annotation["segmentation"]
            if isinstance(given, list):
                given = coco_mask.merge(coco_mask.frPyObjects(given, *row.size))
            elif isinstance(given["counts"], list):
                given = coco_mask.frPyObjects(given, *row.size)
            np.testing.assert_array_equal(masks.bitmaps()[i], coco_mask.decode(given) > 0)
            assert row.area[i] == annotation["area"]
            compared += 1
    assert compared == len(data["annotations"]) > 50


def test_points_without_label_and_name_are_written_again(tmp_path):
    classes = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    write(tmp_path, [[0] * 6, [3, 4, 2, 5, 6, 2]], classes, num_keypoints=0)
    file = tmp_path / "train.json"
    data = json.loads(file.read_text())
    data["annotations"][1]["category_id"] = 2
    file.write_text(json.dumps(data))
    convert(tmp_path, tmp_path / "new", format="coco")
    copied = json.loads((tmp_path / "new/annotations/instances_train.json").read_text())
    assert [(row["keypoints"], row["num_keypoints"]) for row in copied["annotations"]] == [
        ([0] * 6, 0),
        ([3, 4, 2, 5, 6, 2], 0),
    ]
