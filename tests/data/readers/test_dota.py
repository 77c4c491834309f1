"""DOTA's text files: rotated boxes from corners, also beyond the image."""

import json
import math

import cv2
import numpy as np
import pytest
from tests.data.readers.tool_files import one, read, save

from visiongarden.data.readers.dota import DOTA
from visiongarden.data.readers.reader import Source

HEAD = "imagesource:GoogleEarth\ngsd:0.146\n"


def corners(x, y, width, height, angle, first=0):
    points = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (width / 2, height / 2)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    points = points @ np.array([[cos, sin], [-sin, cos]]) + (x, y)
    return " ".join(f"{v:.6f}" for v in np.roll(points, first, axis=0).ravel())


def test_corners_of_rotated_boxes(tmp_path):
    lines = [
        f"{corners(50, 25, 20, 10, 30)} plane 0",
        f"{corners(40, 20, 20, 10, 30, first=2)} plane 0",
        "2 3 10 3 10 43 2 43 small-vehicle 1",
        f"{corners(96, 25, 30, 8, 0)} plane 0",  # reaches 11 pixels beyond the image
    ]
    root = save(tmp_path, {"labelTxt/a.txt": HEAD + "\n".join(lines)}, ["images/a.png"])
    row, found = one(DOTA(), root)
    assert found.class_map.names == ("plane", "small-vehicle")
    assert row.boxes[:2] == pytest.approx(
        np.array([[50, 25, 20, 10, 30], [40, 20, 20, 10, 30]]), abs=1e-4
    )
    assert row.boxes[2:].tolist() == [[6, 23, 40, 8, -90], [96, 25, 30, 8, 0]]
    unknown = json.loads(row.unknown)
    assert unknown["image"] == {"imagesource": "GoogleEarth", "gsd": "0.146"}
    assert unknown["objects"] == [{}, {}, {"difficult": "1"}, {}]
    assert found.fields >= {"boxes", "rotated"}


def test_four_points_that_are_no_rectangle(tmp_path):
    """The box is the rectangle of minimum area, as OpenCV computes it."""
    points = np.array([[10, 10], [42, 14], [40, 33], [12, 30]], np.float32)
    line = " ".join(str(v) for v in points.ravel()) + " ship 0"
    row, _ = one(DOTA(), save(tmp_path, {"labelTxt/a.txt": line}, ["images/a.png"]))
    (x, y), (w, h), _ = cv2.minAreaRect(points)
    assert row.boxes[0, :4].tolist() == pytest.approx([x, y, max(w, h), min(w, h)], rel=1e-4)


@pytest.mark.parametrize(
    ("labels", "images"),
    [
        ("train/labelTxt/{}.txt", "train/images/{}.png"),
        ("train/labelTxt-v1.0/labelTxt/{}.txt", "train/images/images/{}.png"),
        ("labelTxt/train/{}.txt", "images/train/{}.png"),
    ],
)
def test_layouts(tmp_path, labels, images):
    line = "2 3 10 3 10 43 2 43 ship"
    root = save(
        tmp_path,
        {
            labels.format("a"): f"{line} 0\n",
            labels.format("a").replace("train", "val"): f"{line}\n",
        },
        [images.format("a"), images.format("b"), images.format("a").replace("train", "val")],
    )
    source = Source(root)
    assert DOTA().splits(source) == ("train", "val")
    assert DOTA().matches(source) == 0.95
    found, errors, collected = read(DOTA(), root)
    assert errors == []
    assert [len(row.boxes) for row in found.rows()] == [1, 0]
    assert collected.unlabeled == [str(root / images.format("b"))]
    assert len(read(DOTA(), root, "val")[0]) == 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2 3 10 3 10 43 2 43", "expected eight numbers"),
        ("2 3 10 3 10 43 2 x ship 0", "expected eight numbers"),
        ("nan 3 10 3 10 43 2 43 ship 0", "expected eight numbers"),
        ("2 3 2 3 2 3 2 3 ship 0", "has no area"),
        ("202 3 210 3 210 43 202 43 ship 0", "center outside the image"),
    ],
)
def test_invalid_lines(tmp_path, line, expected):
    content = f"{HEAD}2 3 10 3 10 43 2 43 ship 0\n{line}\n"
    root = save(tmp_path, {"labelTxt/a.txt": content}, ["images/a.png"])
    _, errors, _ = read(DOTA(), root)
    assert len(errors) == 1
    assert expected in errors[0]
    assert "labelTxt/a.txt:4:" in errors[0]


def test_files_that_do_not_fit(tmp_path):
    files = {
        "labelTxt/a.txt": "2 3 10 3 10 43 2 43 ship 0",
        "labelTxt/b.txt": "",
        "labelTxt/c.txt": b"\xff",
    }
    root = save(tmp_path, files, ["images/a.png", "images/c.png"])
    _, errors, _ = read(DOTA(), root)
    assert len(errors) == 2
    assert "b.txt: the image b.* does not exist" in errors[0]
    assert "c.txt: not UTF-8 text" in errors[1]
    _, errors, _ = read(DOTA(), root, class_names=("plane",))
    assert any("class 'ship' is not in the class map: plane" in error for error in errors)
