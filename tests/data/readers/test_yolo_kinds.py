"""YOLO labels with keypoints, polygons and rotated boxes."""

import cv2
import numpy as np
import pytest
from tests.shared import shared

from visiongarden.data import read
from visiongarden.errors import DataError, UserError
from visiongarden.samples import RotatedBoxes

# Images of 40 × 30 pixels; boxes by hand: (0.5, 0.5, 0.5, 0.4) is 10 to 30 across, 9 to 21 down.
BOX = "0 0.5 0.5 0.5 0.4"
RHOMBUS = "0 0.5 0.2 0.7 0.4667 0.5 0.7333 0.3 0.4667"  # (20, 6), (28, 14), (20, 22), (12, 14)
TRAPEZOID = "0 0.25 0.2 0.75 0.2 0.6 0.8 0.4 0.8"


def write(root, *lines, keys="", splits=("train",)):
    for split in splits:
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for i, line in enumerate(lines):
            cv2.imwrite(str(root / "images" / split / f"{i}.png"), np.zeros((30, 40, 3), np.uint8))
            (root / "labels" / split / f"{i}.txt").write_text(line + "\n")
    entries = "".join(f"{split}: images/{split}\n" for split in splits)
    (root / "data.yaml").write_text(f"{entries}names: [cat]\n{keys}\n")
    return root


def test_poses_have_keypoints_and_pairs(tmp_path):
    keys = "kpt_shape: [3, 3]\nflip_idx: [0, 2, 1]\n"
    found = read(write(tmp_path, f"{BOX} 0.5 0.4 2 0.3 0.5 1 0 0 0", BOX, keys=keys))
    points = found[0].instances.keypoints
    np.testing.assert_allclose(
        points.values, [[[20, 12, 2], [12, 15, 1], [0, 0, 0]]], rtol=0, atol=1e-5
    )
    assert points.pairs == ((1, 2),)
    assert found[1].instances.keypoints.values.tolist() == [[[0, 0, 0]] * 3]
    assert found.extra == {}


def test_two_numbers_for_each_keypoint(tmp_path):
    found = read(write(tmp_path, f"{BOX} 0.5 0.4 0 0", keys="kpt_shape: [2, 2]"))
    points = found[0].instances.keypoints
    np.testing.assert_allclose(points.values, [[[20, 12, 2], [0, 0, 0]]], atol=1e-5)
    assert points.pairs is None


@pytest.mark.parametrize(
    "names", ["[nose, left_eye, right_eye]", "{0: [nose, left_eye, right_eye]}"]
)
def test_names_of_keypoints(tmp_path, names):
    keys = f"kpt_shape: [3, 2]\nkpt_names: {names}\n"
    points = read(write(tmp_path, f"{BOX} .5 .4 .3 .5 .6 .5", keys=keys))[0].instances.keypoints
    assert points.names == ("nose", "left_eye", "right_eye")
    assert points.pairs == ((1, 2),)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("flip_idx: [0, 1]", "the index of the mirrored point for each of 3 points"),
        ("flip_idx: [1, 2, 0]", "the index of the mirrored point"),
        ("flip_idx: [0, 1, 3]", "the index of the mirrored point"),
        ("kpt_names: [a, b]", "3 different names"),
        ("kpt_names: [a, b, b]", "3 different names"),
    ],
)
def test_invalid_keys_of_poses(tmp_path, keys, words):
    write(tmp_path, f"{BOX} .5 .4 .3 .5 .6 .5", keys=f"kpt_shape: [3, 2]\n{keys}")
    with pytest.raises(DataError, match=words):
        read(tmp_path)


@pytest.mark.parametrize("value", ["3", "0.5", "-1", "nan"])
def test_invalid_visibilities(tmp_path, value):
    write(tmp_path, f"{BOX} 0.5 0.4 {value}", keys="kpt_shape: [1, 3]")
    with pytest.raises(DataError, match=r"0\.txt:1: a keypoint"):
        read(tmp_path)


def test_rectangles_are_rotated_boxes(tmp_path):
    found = read(write(tmp_path, RHOMBUS, splits=("train", "val")), split="val")
    assert found.fields == {"boxes", "rotated"}
    (box,) = np.asarray(found[0].instances.boxes)
    # A square of side 8√2 with its corners up, right, down and left.
    np.testing.assert_allclose(box[:4], [20, 14, 128**0.5, 128**0.5], rtol=0, atol=0.01)
    assert abs(box[4]) == pytest.approx(45, abs=0.1)
    assert '"boxes": "upright"' in found.notes[0]


def test_polygons_of_four_points_are_masks(tmp_path):
    found = read(write(tmp_path, RHOMBUS, TRAPEZOID))
    assert found.fields == {"boxes", "masks"}
    np.testing.assert_allclose(found.row(1).boxes, [[10, 6, 30, 24]], atol=1e-4)
    assert found.notes == []


def test_the_field_decides(tmp_path):
    write(tmp_path, RHOMBUS, TRAPEZOID)
    assert read(tmp_path, reader={"type": "YOLO", "boxes": "rotated"}).fields == {
        "boxes",
        "rotated",
    }
    (tmp_path / "labels" / "train" / "1.txt").write_text(RHOMBUS)
    upright = read(tmp_path, reader={"type": "YOLO", "boxes": "upright"})
    np.testing.assert_allclose(upright.row(0).boxes, [[12, 6, 28, 22]], atol=0.01)
    with pytest.raises(UserError, match="boxes"):
        read(tmp_path, reader={"type": "YOLO", "boxes": "oriented"})


def test_other_labels_among_rotated_boxes_are_errors(tmp_path):
    write(tmp_path, RHOMBUS, BOX)
    with pytest.raises(DataError, match=r"1\.txt:1: 5 values; expected 9: class and four corners"):
        read(tmp_path, reader={"type": "YOLO", "boxes": "rotated"})


def test_centers_outside_the_image_are_errors(tmp_path):
    write(tmp_path, "0 1.1 0.2 1.3 0.4667 1.1 0.7333 0.9 0.4667")
    with pytest.raises(DataError, match="has its center outside the image of 40 × 30"):
        read(tmp_path)


def test_rotated_boxes_may_reach_beyond_the_image(tmp_path):
    found = read(write(tmp_path, "0 0.9 0.2 1.1 0.4667 0.9 0.7333 0.7 0.4667"))
    np.testing.assert_allclose(found.row(0).boxes[0, :2], [36, 14], atol=0.01)


def test_pens_equal_the_rectangles_of_opencv():
    root, count = shared("data", "pens_obb"), 0
    for split, folder in (("train", "train"), ("val", "valid"), ("test", "test")):
        found = read(root, split=split)
        for index in range(len(found)):
            row = found.row(index)
            text = (root / folder / "labels" / f"{row.path.stem}.txt").read_text()
            lines = [line.split()[1:] for line in text.splitlines() if line.strip()]
            corners = np.array(lines, np.float64).reshape(-1, 4, 2) * (row.size[1], row.size[0])
            assert len(row.boxes) == len(corners)
            count += len(corners)
            for box, ring in zip(row.boxes, corners, strict=True):
                middle, sides, angle = cv2.minAreaRect(ring.astype(np.float32))
                expected = np.asarray(RotatedBoxes([[*middle, *sides, angle]]))[0]
                np.testing.assert_allclose(box[:4], expected[:4], rtol=0, atol=0.05)
                turn = (box[4] - expected[4] + 90) % 180 - 90
                assert abs(turn) < 0.2 or abs(box[2] - box[3]) < 0.5
    assert count == 132
