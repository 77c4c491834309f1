"""Training data without a usable label is refused, with the places that were searched."""

import json
import re
import subprocess

import cv2
import numpy as np
import pytest
from tests.data.test_yolo import BOX, LINE, make

from visiongarden.cli.entry import main
from visiongarden.data import read
from visiongarden.doctor import diagnose
from visiongarden.doctor.checking import check
from visiongarden.errors import DataError
from visiongarden.recipes import resolve
from visiongarden.recipes.splits import read_split


def findings(root, kind):
    return [finding for finding in diagnose(root).findings if finding.kind == kind]


def renamed(old, new):
    return lambda root: (root / old).rename(root / new)


def upper_case(root):
    for file in (root / "labels" / "train").iterdir():
        file.rename(file.with_suffix(".TXT"))


def flat(root):
    for file in (root / "labels" / "train").iterdir():
        file.rename(root / "labels" / file.name)
    (root / "labels" / "train").rmdir()


def other_images(root):
    (root / "images").rename(root / "imgs")
    text = "train: imgs/train\nval: imgs/val\nnames: [cat, dog]\n"
    (root / "data.yaml").write_text(text)


@pytest.mark.parametrize(
    ("spoil", "looked", "unread"),
    [
        (renamed("labels/train", "labels/train_labels"), "labels/train", "labels/train_labels"),
        (renamed("labels", "Labels"), "labels/train", "Labels/train"),
        (renamed("labels", "label"), "labels/train", "label/train"),
        (renamed("labels", "annotations"), "labels/train", "annotations/train"),
        (flat, "labels/train", "labels"),
        (upper_case, "labels/train", "labels/train"),
        (other_images, "imgs/train", "labels/train"),
    ],
)
def test_labels_in_another_folder(tmp_path, spoil, looked, unread):
    spoil(make(tmp_path))
    with pytest.raises(DataError, match="train has no box in any of 2 images") as caught:
        check(read(tmp_path, reader="YOLO"), trained_on=True)
    assert f"label files were expected in {tmp_path / looked};" in caught.value.received
    assert f"{tmp_path / unread} (2 files, such as train0." in caught.value.received
    (found,) = [f for f in findings(tmp_path, "no-boxes") if f.split == "train"]
    assert found.level == "error"
    assert str(tmp_path / unread) in found.what


def test_an_evaluation_split_without_labels_is_a_warning(tmp_path):
    renamed("labels/val", "labels/validation")(make(tmp_path))
    check(read(tmp_path), trained_on=True)
    (found,) = findings(tmp_path, "no-boxes")
    assert (found.level, found.split) == ("warning", "val")


def test_images_without_a_label_file_are_counted_apart(tmp_path):
    make(tmp_path, n=4)
    (tmp_path / "labels" / "train" / "train1.txt").unlink()
    (tmp_path / "labels" / "train" / "train2.txt").write_text("")
    report = diagnose(tmp_path)
    counts = "train: 4 images, 1 without a label file, 1 without a box, 2 boxes"
    assert counts in report.text()
    (found,) = [f for f in report.findings if f.kind == "unlabeled"]
    assert found.what.startswith("1 of 4 images without a label file")
    assert read(tmp_path).notes == [found.what]
    assert [f.where[-10:] for f in report.findings if f.kind == "empty"] == ["train2.png"]


def crowds(root, flags):
    root.mkdir(exist_ok=True)
    cv2.imwrite(str(root / "a.png"), np.zeros((30, 40, 3), np.uint8))
    rows = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 1 + i % 2, "bbox": [i, i, 9, 9], "iscrowd": f}
            for i, f in enumerate(flags)
        ],
    }
    (root / "train.json").write_text(json.dumps(rows))
    return root


@pytest.mark.parametrize("flag", [1, True])
def test_crowds_alone_are_refused_and_the_fix_works(tmp_path, flag):
    crowds(tmp_path, [flag, flag])
    with pytest.raises(DataError, match="all 2 boxes of train are crowds") as caught:
        check(read(tmp_path), trained_on=True)
    assert [f.level for f in findings(tmp_path, "no-boxes")] == ["error"]
    command = caught.value.fix.partition(": ")[2]
    subprocess.run(["bash", "-c", command], check=True)
    found = read(tmp_path)
    check(found, trained_on=True)
    assert found.row(0).crowd.tolist() == [False, False]


def test_a_class_of_crowds_alone_is_named(tmp_path):
    crowds(tmp_path, [1, 0, 1, 0])
    check(read(tmp_path), trained_on=True)
    (found,) = findings(tmp_path, "crowd")
    assert found.what.startswith("all 2 boxes of class 'cat' are crowds")


def test_pose_labels_are_read_and_counted(tmp_path):
    names = "train: images/train\nval: images/val\nkpt_shape: [2, 2]\nnames: [cat, dog]\n"
    make(tmp_path, names, f"{LINE} 0.4 0.4 0.6 0.6")
    found = findings(tmp_path, "keypoints")
    assert [f.what[:26] for f in found] == ["the keypoints of 2 objects"] * 2
    points = read(tmp_path).row(0).keypoints
    np.testing.assert_allclose(points, [[[16, 12, 2], [24, 18, 2]]], atol=1e-4)
    assert read(tmp_path).row(0).boxes.round(3).tolist() == [BOX]


def test_poses_without_kpt_shape_are_suspected(tmp_path):
    make(tmp_path, line=f"{LINE} 0.4 0.4 0.5 0.5 0.6 0.55")
    found = findings(tmp_path, "pose")
    assert [f.level for f in found] == ["warning", "warning"]
    assert "2 of 2 polygons" in found[0].what
    assert "kpt_shape" in found[0].what


@pytest.mark.parametrize(
    "line", ["0 0.1 0.1 0.9 0.1 0.9 0.8 0.5 0.9 0.1 0.8", "0 0.5 0.1 0.9 0.9 0.1 0.9"]
)
def test_polygons_are_not_suspected(tmp_path, line):
    make(tmp_path, line=line)
    assert not findings(tmp_path, "pose")
    assert not findings(tmp_path, "unused")


def test_small_images_are_enlarged_as_for_the_model(tmp_path):
    # 6 × 6 of 32 × 32 pixels are 120 × 120 of 640; of 3200 they are 1.2.
    make(tmp_path, line="0 0.34375 0.34375 0.1875 0.1875")
    for file in tmp_path.rglob("*.png"):
        cv2.imwrite(str(file), np.zeros((32, 32, 3), np.uint8))
    assert not findings(tmp_path, "tiny")
    report = diagnose(tmp_path, image_size=32)
    tiny = [finding.what for finding in report.findings if finding.kind == "tiny"]
    assert len(tiny) == 4
    assert all(re.search("has 6.0 × 6.0 pixels at image size 32", what) for what in tiny)


@pytest.mark.parametrize("labels", ["", "0 0.3 0.3 0.2 0.2\n", f"{LINE}\n{LINE}\n", None])
def test_equal_images_with_different_labels_are_an_error(tmp_path, labels):
    make(tmp_path)
    copy = (tmp_path / "images" / "train" / "train0.png").read_bytes()
    (tmp_path / "images" / "train" / "a_copy.png").write_bytes(copy)
    if labels is not None:
        (tmp_path / "labels" / "train" / "a_copy.txt").write_text(labels)
    (found,) = findings(tmp_path, "two-labels")
    assert (found.level, found.split) == ("error", "train")
    assert "a_copy.png" in str(found)
    assert "train0.png" in str(found)
    with pytest.raises(DataError, match="the same image with different labels"):
        check(read(tmp_path), trained_on=True)
    (tmp_path / "labels" / "train" / "a_copy.txt").write_text(LINE)
    check(read(tmp_path), trained_on=True)
    assert not findings(tmp_path, "two-labels")


def voc_from_one(root):
    for kind in ("JPEGImages", "Annotations"):
        (root / kind).mkdir(parents=True)
    (root / "ImageSets" / "Main").mkdir(parents=True)
    for i in range(2):
        pixels = np.full((30, 40, 3), 90 * i, np.uint8)
        cv2.imwrite(str(root / "JPEGImages" / f"{i}.png"), pixels)
        box = "<xmin>1</xmin><ymin>1</ymin><xmax>40</xmax><ymax>30</ymax>"
        item = f"<object><name>cat</name><bndbox>{box}</bndbox></object>"
        (root / "Annotations" / f"{i}.xml").write_text(f"<annotation>{item}</annotation>")
    for split in ("train", "val"):
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text(f"{split == 'val':d}\n")
    return root


def test_corners_from_one_on_the_command_line_and_in_a_recipe(tmp_path, capsys):
    source, reader = voc_from_one(tmp_path / "voc"), "{type: VOC, one_based: true}"
    for command in (
        ["check", source, "--reader", reader, "--output", tmp_path / "page.html"],
        ["convert", source, tmp_path / "copy", "--format", "coco", "--reader", reader],
    ):
        with pytest.raises(SystemExit) as ended:
            main(["data", *map(str, command)])
        assert ended.value.code == 0, capsys.readouterr()
    assert read(tmp_path / "copy").row(0).boxes.tolist() == [[0, 0, 40, 30]]
    recipe = resolve(source, overrides=[f"data.reader={reader}"])
    assert read_split(recipe.kind, recipe.data, "train").row(0).boxes.tolist() == [[0, 0, 40, 30]]
