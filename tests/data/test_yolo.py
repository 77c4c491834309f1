"""YOLO datasets of other tools: poses, class ids, paths, YAML files, a single split."""

import shutil
import subprocess

import cv2
import numpy as np
import pytest

from visiongarden.data import read
from visiongarden.data.readers import opened, splits_of
from visiongarden.errors import DataError
from visiongarden.recipes import resolve
from visiongarden.recipes.splits import read_split
from visiongarden.tasks import DetectionTask

# Images of 40 × 30 pixels; boxes by hand: (0.5, 0.5, 0.5, 0.4) is 10 to 30 across, 9 to 21 down.
LINE, BOX = "1 0.5 0.5 0.5 0.4", [10, 9, 30, 21]


def make(root, names="train: images/train\nval: images/val\nnames: [cat, dog]\n", line=LINE, n=2):
    for split in ("train", "val"):
        for i in range(n):
            for kind in ("images", "labels"):
                (root / kind / split).mkdir(parents=True, exist_ok=True)
            picture = np.full((30, 40, 3), 2 * i + 125 * (split == "val"), np.uint8)
            cv2.imwrite(str(root / "images" / split / f"{split}{i}.png"), picture)
            (root / "labels" / split / f"{split}{i}.txt").write_text(line + "\n")
    if names:
        (root / "data.yaml").write_text(names)
    return root


def boxes(root, split="train"):
    found = read(root, split=split)
    return [example.boxes.round(3).tolist() for example in found.rows()]


POSES = [
    ("[3, 2]", f"{LINE} 0.4 0.4 0.5 0.5 0.6 0.6"),
    ("[3, 3]", f"{LINE} 0.4 0.4 2 0.5 0.5 2 0 0 0"),
    ("[4, 3]", f"{LINE} 0.4 0.4 1 0.5 0.5 1 0.6 0.6 1 0 0 0"),
    ("[17, 3]", LINE + " 0.5 0.5 2" * 17),
    ("[1, 2]", f"{LINE} 0.4 0.4"),
    ("[2, 2]", LINE),
]


@pytest.mark.parametrize(("shape", "line"), POSES)
def test_a_pose_label_starts_with_its_box(tmp_path, shape, line):
    names = f"train: images/train\nval: images/val\nkpt_shape: {shape}\nnames: [cat, dog]\n"
    make(tmp_path, names, line)
    assert boxes(tmp_path) == [[BOX], [BOX]]
    assert read(tmp_path).row(0).polygons is None


@pytest.mark.parametrize(
    ("shape", "line", "words"),
    [
        ("[3, 2]", f"{LINE} 0.4 0.4 0.5 0.5", "9 values; expected 11"),
        ("[3, 4]", LINE, "`kpt_shape` is"),
        ("3", LINE, "`kpt_shape` is 3"),
        ("[true, 2]", LINE, "`kpt_shape` is"),
    ],
)
def test_pose_labels_that_do_not_fit_kpt_shape(tmp_path, shape, line, words):
    make(tmp_path, f"train: images/train\nkpt_shape: {shape}\nnames: [cat, dog]\n", line)
    with pytest.raises(DataError, match=words.replace("[", r"\[")):
        read(tmp_path)


def test_pose_labels_without_kpt_shape_name_it(tmp_path):
    make(tmp_path, line=f"{LINE} 0.4 0.4 1 0.5 0.5 1 0.6 0.6 1")
    with pytest.raises(DataError, match=r"kpt_shape: \[3, 3\]"):
        read(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "1.0 0.5 0.5 0.5 0.4",
        "1.000000000000000000e+00 5.0e-01 5.0e-01 5.0e-01 4.0e-01",
        "01\t0.5\t0.5\t0.5\t0.4",
        "+1 .5 .5 .5 .4",
    ],
)
def test_a_class_id_is_an_integer_in_any_notation(tmp_path, line):
    make(tmp_path, line=line)
    assert boxes(tmp_path) == [[BOX], [BOX]]
    assert read(tmp_path).row(0).classes.tolist() == [1]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1.5 0.5 0.5 0.5 0.4", "class 1.5 is not an integer"),
        ("nan 0.5 0.5 0.5 0.4", "class nan is not an integer"),
        ("inf 0.5 0.5 0.5 0.4", "class inf is not an integer"),
        ("2.0 0.5 0.5 0.5 0.4", "class 2 is outside the class map"),
        ("1,0.5,0.5,0.5,0.4", "separated by commas"),
        ("1, 0.5, 0.5, 0.5, 0.4", "separated by commas"),
        ("1;0.5;0.5;0.5;0.4", "separated by semicolons"),
        ("1 0,5 0,5 0,5 0,4", "decimal commas"),
        ("dog 0.5 0.5 0.5 0.4", "not numbers"),
    ],
)
def test_invalid_lines_are_refused_with_a_reason(tmp_path, line, words):
    make(tmp_path, line=line)
    with pytest.raises(DataError, match=r"train0.txt:1: .*" + words):
        read(tmp_path)


def test_data_yaml_comes_before_other_yaml_files(tmp_path):
    make(tmp_path)
    for name in ("a_old.yaml", "z.yml"):
        (tmp_path / name).write_text("train: images/train\nnames: [dog, cat]\n")
    assert read(tmp_path).class_map.names == ("cat", "dog")
    (tmp_path / "data.yaml").rename(tmp_path / "other.yaml")
    with pytest.raises(DataError, match="3 YAML files with class names: a_old") as caught:
        read(tmp_path)
    path = caught.value.fix.removeprefix("use the path of the file: ")
    assert read(path).class_map.names == ("dog", "cat")
    for name in ("z.yml", "other.yaml"):
        (tmp_path / name).unlink()
    assert read(tmp_path).class_map.names == ("dog", "cat")


@pytest.mark.parametrize("place", ["classes.txt", "labels/train/classes.txt"])
def test_classes_in_another_order_are_an_error(tmp_path, place):
    make(tmp_path)
    (tmp_path / place).write_text("cat\ndog\nbird\n")
    assert len(read(tmp_path)) == 2
    (tmp_path / place).write_text("dog\ncat\n")
    with pytest.raises(DataError, match="lists the classes in a different order than"):
        read(tmp_path)


@pytest.mark.parametrize("count", ["2", "'2'", "2.0"])
def test_a_number_of_classes_as_text(tmp_path, count):
    make(tmp_path, f"train: images/train\nnc: {count}\nnames: [cat, dog]\n")
    assert len(read(tmp_path)) == 2


@pytest.mark.parametrize(("count", "words"), [("two", "`nc` is 'two'"), ("'3'", "`nc` is 3")])
def test_another_number_of_classes(tmp_path, count, words):
    make(tmp_path, f"train: images/train\nnc: {count}\nnames: [cat, dog]\n")
    with pytest.raises(DataError, match=words):
        read(tmp_path)


def test_paths_of_roboflow_and_windows(tmp_path):
    make(tmp_path, "train: ../images/train\nval: images\\val\nnames: [cat, dog]\n")
    assert boxes(tmp_path) == boxes(tmp_path, "val") == [[BOX], [BOX]]
    lines = "﻿images\\train\\train0.png\r\n./images/train/train1.png\n"
    (tmp_path / "train.txt").write_text(lines, encoding="utf-8")
    (tmp_path / "data.yaml").write_text("train: train.txt\nval: images/val\nnames: [cat, dog]\n")
    folder = boxes(tmp_path)
    assert folder == [[BOX], [BOX]]
    archive = shutil.make_archive(str(tmp_path.parent / "packed"), "zip", tmp_path)
    assert boxes(archive) == folder


def test_an_existing_end_of_the_path_is_proposed_as_the_fix(tmp_path):
    make(tmp_path, "train: /content/Name-4/images/train\nval: images/val\nnames: [cat, dog]\n")
    with pytest.raises(DataError, match="replace /content/Name-4/images/train by images/train"):
        read(tmp_path)


def test_label_studio_writes_classes_txt_and_no_yaml(tmp_path):
    make(tmp_path, None)
    for kind in ("images", "labels"):
        for file in (tmp_path / kind / "train").iterdir():
            file.rename(tmp_path / kind / file.name)
        shutil.rmtree(tmp_path / kind / "train"), shutil.rmtree(tmp_path / kind / "val")
    with pytest.raises(DataError, match=r"YOLO labels without data\.yaml") as caught:
        read(tmp_path)
    subprocess.run(["bash", "-c", caught.value.fix], check=True)
    assert read(tmp_path).class_map.names == ("class0", "class1")
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    found = read(tmp_path)
    assert found.class_map.names == ("cat", "dog")
    assert [example.boxes.round(3).tolist() for example in found.rows()] == [[BOX], [BOX]]


def test_folders_of_splits_without_a_yaml(tmp_path):
    make(tmp_path, None)
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert boxes(tmp_path, "val") == [[BOX], [BOX]]


def test_a_single_split_is_divided_by_file_name(tmp_path):
    make(tmp_path, "train: images/train\nnames: [cat, dog]\n", n=60)
    parts = {split: read(tmp_path, split=split) for split in ("train", "val", "test")}
    names = [{example.path.name for example in part.rows()} for part in parts.values()]
    assert sum(map(len, names)) == len(set.union(*names)) == 60
    assert all(names)
    assert len(names[0]) > 40
    for split in ("train", "val"):
        assert len(read_split(DetectionTask(), resolve(tmp_path).data, split)) == len(parts[split])


def test_few_images_are_not_divided_and_the_fix_is_an_override(tmp_path):
    make(tmp_path, "train: images/train\nnames: [cat, dog]\n")
    assert len(read(tmp_path)) == 2
    with pytest.raises(DataError) as caught:
        read_split(DetectionTask(), resolve(tmp_path).data, "val")
    assert caught.value.fix == "data.val=train"
    fixed = resolve(tmp_path, overrides=[caught.value.fix])
    assert len(read_split(DetectionTask(), fixed.data, "val")) == 2
    with pytest.raises(DataError, match="fix: split='train'"):
        read(tmp_path, split="val")


@pytest.mark.parametrize("split", ["val", "test"])
def test_what_is_for_evaluation_is_never_divided(tmp_path, split):
    make(tmp_path, f"{split}: images/val\nnames: [cat, dog]\n", n=30)
    assert splits_of(*opened(tmp_path, "YOLO")) == [split]
    assert len(read(tmp_path, split=split)) == 30
