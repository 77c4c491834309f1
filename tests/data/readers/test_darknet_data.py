"""Darknet's obj.data and labelImg's YOLO files: boxes from fractions."""

import pytest
from tests.data.readers.tool_files import one, read, save

from visiongarden.data.readers import read as vg_read
from visiongarden.data.readers.darknet_data import DarknetData
from visiongarden.data.readers.label_img import LabelImg
from visiongarden.data.readers.reader import Source
from visiongarden.errors import DataError

DATA = """classes = 2
train = data/train.txt
valid = data/valid.txt
names = data/obj.names
backup = backup/
"""


def files(train="data/obj_train_data/a.png\n", labels="1 0.5 0.5 0.2 0.4\n", **more):
    return {
        "obj.data": DATA, "obj.names": "cat\ndog\n", "train.txt": train,
        "valid.txt": "data/obj_valid_data/b.png\n", "obj_train_data/a.txt": labels,
        "obj_valid_data/b.txt": "", **more,
    }  # fmt: skip


IMAGES = ["obj_train_data/a.png", "obj_valid_data/b.png"]


def test_cvat_yolo(tmp_path):
    root = save(tmp_path, files(), IMAGES)
    assert DarknetData().splits(Source(root)) == ("train", "val")
    row, found = one(DarknetData(), root)
    assert row.boxes.tolist() == [[40, 15, 60, 35]]
    assert row.classes.tolist() == [1]
    assert found.class_map.names == ("cat", "dog")
    row, _ = one(DarknetData(), root, split="val")
    assert len(row.boxes) == 0


def test_class_names_in_another_order_are_matched_by_name(tmp_path):
    root = save(tmp_path, files(), IMAGES)
    found = vg_read(root, class_names=("dog", "cat"))
    assert found.class_map.names == ("dog", "cat")
    assert found.row(0).classes.tolist() == [0]
    folder = {"classes.txt": "cat\ndog\n", "a.txt": "1 0.5 0.5 0.2 0.4\n"}
    found = vg_read(save(tmp_path / "folder", folder), class_names=("dog", "cat"))
    assert found.row(0).classes.tolist() == [0]


def test_a_folder_data_and_paths_of_another_computer(tmp_path):
    given = {f"data/{name}": content for name, content in files().items()}
    given["data/train.txt"] = "/home/me/darknet/data/obj_train_data/a.png\n"
    root = save(tmp_path, given, [f"data/{name}" for name in IMAGES])
    row, _ = one(DarknetData(), root)
    assert row.path == root / "data" / "obj_train_data" / "a.png"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0 nan 0.5 0.2 0.4", "is not finite"),
        ("0 0.5 0.5 -0.2 0.4", "has no area"),
        ("0 0.9 0.5 0.4 0.4", "is outside the image"),
        ("0 50 25 20 20", "apparently pixels"),
        ("0 0.5 0.5 0.2", "expected class and four numbers"),
        ("0 0.5 0.5 0.2 x", "expected class and four numbers"),
        ("2 0.5 0.5 0.2 0.4", "class 2 is outside the class map of 2"),
        ("cat 0.5 0.5 0.2 0.4", "class cat is outside"),
    ],
)
def test_invalid_lines(tmp_path, line, expected):
    root = save(tmp_path, files(labels=f"0 0.5 0.5 0.2 0.4\n{line}\n"), IMAGES)
    _, errors, _ = read(DarknetData(), root)
    assert len(errors) == 1
    assert expected in errors[0]
    assert "a.txt:2" in errors[0]


def test_missing_files(tmp_path):
    root = save(
        tmp_path, files("data/obj_train_data/a.png\n\nno.png\ndata/obj_train_data/a.png\n"), IMAGES
    )
    _, errors, _ = read(DarknetData(), root)
    assert len(errors) == 2
    assert "train.txt:3: the image 'no.png' does not exist" in errors[0]
    assert "train.txt:4" in errors[1]
    with pytest.raises(DataError, match="has no split 'test'"):
        read(DarknetData(), root, "test")
    (root / "obj.names").unlink()
    with pytest.raises(DataError, match="the file of names does not exist"):
        read(DarknetData(), root)


def test_no_path_leaves_the_dataset(tmp_path):
    save(tmp_path, {}, ["a.png"])
    root = save(tmp_path / "set", files(f"../a.png\n{tmp_path}/a.png\n"), IMAGES[1:])
    _, errors, _ = read(DarknetData(), root)
    assert len(errors) == 2


def test_label_img(tmp_path):
    given = {"classes.txt": "cat\ndog\n", "a.txt": "1 0.5 0.5 0.2 0.4\n", "c.txt": ""}
    root = save(tmp_path, given, ["a.png", "b.png"])
    assert LabelImg().matches(Source(root)) == 0.9
    found, errors, collected = read(LabelImg(), root)
    assert [row.boxes.tolist() for row in found.rows()] == [[[40, 15, 60, 35]], []]
    assert found.class_map.names == ("cat", "dog")
    assert errors == [f"{root / 'c.txt'}: the label file has no image"]
    assert collected.unlabeled == [str(root / "b.png")]


def test_label_img_with_splits(tmp_path):
    given = {
        f"{name}/{file}": text
        for name in ("train", "valid")
        for file, text in (("classes.txt", "cat\n"), ("a.txt", "0 0.5 0.5 0.2 0.4\n"))
    }
    root = save(tmp_path, given, ["train/a.png", "valid/a.png"])
    assert LabelImg().splits(Source(root)) == ("train", "val")
    assert len(read(LabelImg(), root, "val")[0]) == 1
    save(root, {"valid/classes.txt": "dog\n"}, [])
    with pytest.raises(DataError, match="lists other classes than"):
        read(LabelImg(), root)


def test_two_lists_or_folders_of_one_split(tmp_path):
    given = files() | {"obj.data": DATA + "validation = data/train.txt\n"}
    root = save(tmp_path / "a", given, IMAGES)
    with pytest.raises(DataError, match=r"two entries for the split val: .*valid\.txt and .*train"):
        vg_read(root)
    text = "0 0.5 0.5 0.2 0.4\n"
    folders = {"classes.txt": "cat\n"} | {f"{name}/a.txt": text for name in ("val", "valid")}
    root = save(tmp_path / "b", folders, ["val/a.png", "valid/a.png"])
    with pytest.raises(DataError, match="two folders for val: val, valid"):
        vg_read(root, reader="LabelImg")
