"""Masks, keypoints, rotated boxes and labels: each planted mistake is one finding."""

import json

import cv2
import numpy as np
import pytest

from visiongarden.data import Preprocessing, read
from visiongarden.data.channels import check_images
from visiongarden.doctor import check_dataset, diagnose
from visiongarden.errors import DataError, UserError

SIZE = (60, 80)
NAMES = ["nose", "left_eye", "right_eye"]
BOX = [20, 20, 30, 20]
POINTS = [30, 30, 2, 25, 25, 2, 35, 25, 1]
POLYGON = [20, 20, 50, 20, 50, 40, 20, 40]


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    cv2.imwrite(str(path), cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC))


def coco(root, names=NAMES, **keys):
    """Two splits of two images with one object each; `keys` replace those of the first one."""
    for s, split in enumerate(("train", "val")):
        category = {"id": 1, "name": "ant", "keypoints": names, "skeleton": [[1, 2]]}
        rows = {"images": [], "annotations": [], "categories": [category]}
        for i in range(2):
            picture(root / "images" / f"{split}{i}.png", 10 * s + i)
            rows["images"].append({"id": i, "file_name": f"{split}{i}.png"})
            row = {"id": i + 1, "image_id": i, "category_id": 1, "iscrowd": 0, "bbox": BOX}
            row |= {"segmentation": [POLYGON], "keypoints": POINTS, "num_keypoints": 3}
            rows["annotations"].append(row | (keys if (split, i) == ("train", 0) else {}))
        (root / f"{split}.json").write_text(json.dumps(rows))
    return root


def found_in(report):
    return [(f.kind, f.split) for f in report.findings if f.level != "note"]


@pytest.mark.parametrize(
    ("keys", "kind", "words"),
    [
        ({"segmentation": [[90, 20, 95, 20, 95, 30]]}, "mask-empty", "object 1 covers no area"),
        ({"segmentation": [[20, 20, 50, 20, 50, 20]]}, "mask-empty", "object 1 covers no area"),
        ({"segmentation": [[20, 20, 54, 20, 54, 40, 20, 40]]}, "mask-box", "4.0 pixels beyond"),
        (
            {"segmentation": [POLYGON, [-9, 20, -5, 20, 21, 30]]},
            "mask-outside",
            "9 pixels beyond the image",
        ),
        ({"keypoints": [0, 0, 1, *POINTS[3:]]}, "keypoint-zero", "'nose' of object 1"),
        ({"keypoints": [30, 62, 2, *POINTS[3:]]}, "keypoint-outside", "(30, 62) is outside"),
        ({"keypoints": [30, 59, 2, *POINTS[3:]]}, "keypoint-box", "(30, 59) is far outside"),
    ],
)
def test_each_mistake_is_one_finding(tmp_path, keys, kind, words):
    report = diagnose(coco(tmp_path, **keys))
    assert found_in(report) == [(kind, "train")], report.text()
    (finding,) = (f for f in report.findings if f.kind == kind)
    assert words in finding.what
    assert finding.where.endswith("train0.png")


def test_valid_masks_and_keypoints_are_counted_and_not_reported(tmp_path):
    root = coco(tmp_path / "set", segmentation=[[20, 20, 50.9, 20, 50, 40, 20, 40]])
    report = check_dataset(root, output=tmp_path / "page.html")
    assert found_in(report) == [], report.text()
    text = "train: 2 images, 0 without a box, 2 boxes, 2 masks, 2 objects with keypoints"
    assert text in report.text()
    rows = report.to_dict()["splits"]["train"]
    assert (rows["boxes"], rows["masks"], rows["keypoints"]) == (2, 2, 6)
    page = (tmp_path / "page.html").read_text()
    assert "labeled keypoints" in page
    assert page.count("left_eye") >= 1


def test_a_keypoint_that_is_never_labeled_is_named(tmp_path):
    root = coco(tmp_path)
    for file in root.glob("*.json"):
        rows = json.loads(file.read_text())
        for row in rows["annotations"]:
            row["keypoints"] = [*POINTS[:6], 0, 0, 0]
        file.write_text(json.dumps(rows))
    report = diagnose(root)
    assert found_in(report) == [("keypoint-never", "train"), ("keypoint-never", "val")]
    assert "'right_eye' is not labeled in any of 2 objects" in report.text()


def test_names_of_sides_without_pairs_are_reported(tmp_path):
    report = diagnose(coco(tmp_path, names=["nose", "left_eye", "right_ear"]))
    assert {kind for kind, _ in found_in(report)} == {"keypoint-pairs"}
    assert "'left_eye', 'right_ear' name a side" in report.text()


def yolo(root, line):
    for s, split in enumerate(("train", "val")):
        for i in range(2):
            picture(root / "images" / split / f"{split}{i}.png", 10 * s + i)
            label = root / "labels" / split / f"{split}{i}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(line if (split, i) == ("train", 0) else TURNED)
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [ant]\n")
    return root


def line_of(center, width, height, angle):
    corners = cv2.boxPoints((center, (width, height), angle))
    return "0 " + " ".join(f"{v:.9f}" for v in (corners / SIZE[::-1]).ravel()) + "\n"


TURNED = line_of((40, 30), 40, 16, 30)


def test_rotated_boxes_are_counted(tmp_path):
    report = diagnose(yolo(tmp_path, TURNED))
    assert found_in(report) == [], report.text()
    assert "train: 2 images, 0 without a box, 2 rotated boxes" in report.text()


@pytest.mark.parametrize(
    ("line", "kind"),
    [(line_of((82, 30), 40, 16, 30), "outside"), (line_of((40, 30), 0, 0, 0), "degenerate")],
)
def test_invalid_rotated_boxes_are_errors(tmp_path, line, kind):
    report = diagnose(yolo(tmp_path, line), {"type": "YOLO", "boxes": "rotated"})
    errors = [f for f in report.findings if f.level == "error"]
    assert [f.kind for f in errors] == [kind], report.text()


def values(root, cells):
    """A table with the values of four images, in one split."""
    lines = ["image,angle,speed"]
    for i, (angle, speed) in enumerate(cells):
        picture(root / f"{i}.png", i)
        lines.append(f"{i}.png,{angle},{speed}")
    (root / "train.csv").write_text("\n".join(lines) + "\n")
    return root


def test_unknown_and_constant_values_are_reported(tmp_path):
    cells = [(0.1, 3), (0.2, 3), ("", 3), (0.4, 3)]
    report = diagnose(values(tmp_path, cells), "ValuesCSV")
    assert ("label-constant", "train") in found_in(report), report.text()
    text = report.text()
    assert "label 'speed' is 3 in all 4 images" in text
    assert "label 'angle' is unknown for 1 of 4 images" in text
    assert report.counts()["train"] == {"angle": 3, "speed": 4}


def test_images_with_different_channels_are_an_error(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for number in range(2):
                count = 4 if (split, name, number) == ("val", "dog", 1) else 5
                values = rng.integers(0, 4096, (12, 14, count))
                np.save(folder / f"{number}.npy", values.astype(np.uint16))
    report = check_dataset(tmp_path)
    (found,) = [finding for finding in report.findings if finding.kind == "channels"]
    assert found.where.endswith("val/dog/1.npy")
    assert "has 4 channels of uint16, but" in found.what
    assert "has 5 channels of uint16" in found.what
    assert report.count("error") == 1
    with pytest.raises(UserError, match="5 channels"):
        check_images(read(tmp_path).with_channels("auto"), Preprocessing())
    with pytest.raises(DataError, match="4 channels of uint16"):
        check_images(read(tmp_path, split="val").with_channels("auto"), Preprocessing())
