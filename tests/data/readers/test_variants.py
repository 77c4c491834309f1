"""Variants of formats that other computers, spreadsheets and tools write."""

import json

import cv2
import numpy as np
import pytest

from visiongarden.data.readers import read
from visiongarden.data.readers.choosing import opened
from visiongarden.data.readers.division import splits_of
from visiongarden.errors import DataError


def image(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = cv2.imencode(path.suffix.lower(), np.full((20, 40, 3), value, np.uint8))[1]
    path.write_bytes(raw.tobytes())
    return path


def reader_of(folder):
    return type(opened(folder)[1]).__name__


def names_of(dataset):
    return [dataset.image_path(index).name for index in range(len(dataset))]


@pytest.mark.parametrize(
    "name",
    ["a.png", "C:\\data\\a.png", "/home/me/set/train/a.png", "images\\train\\a.png", "x/y/a.png"],
)
def test_coco_names_of_another_computer(tmp_path, name):
    image(tmp_path / "images" / "train" / "a.png")
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}
    data = {
        "images": [{"id": 1, "file_name": name}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [box],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train.json").write_text(json.dumps(data))
    assert names_of(read(tmp_path)) == ["a.png"]


def test_coco_name_that_exists_nowhere(tmp_path):
    data = {"images": [{"id": 1, "file_name": "C:\\b.png"}], "annotations": [], "categories": []}
    data["categories"] = [{"id": 1, "name": "cat"}]
    (tmp_path / "train.json").write_text(json.dumps(data))
    with pytest.raises(DataError, match="there is no such image"):
        read(tmp_path)


def test_boxes_of_a_spreadsheet(tmp_path):
    image(tmp_path / "images" / "a.png")
    lines = ["filename;xmin;ymin;xmax;ymax;class", "D:\\set\\a.png;1,5;2;10,25;12;cat"]
    (tmp_path / "train.csv").write_bytes("\ufeff".encode() + "\r\n".join(lines).encode())
    found = read(tmp_path)
    assert np.asarray(found[0].instances.boxes).tolist() == [[1.5, 2, 10.25, 12]]


@pytest.mark.parametrize(
    ("text", "reader", "labels"),
    [
        ("image,cat,dog\nphotos\\0.png,1,0\nphotos\\1.png,,1\n", "MultiLabelCSV", [1, 0]),
        ("filename;angle;speed\n0.png;0,5;-2\n1.png;1;3e1\n", "ValuesCSV", [0.5, -2]),
        ("filename\tangle\n0.png\t-1,25\n1.png\t2\n", "ValuesCSV", [-1.25]),
    ],
)
def test_table_beside_one_folder_of_images(tmp_path, text, reader, labels):
    for number in range(2):
        image(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "labels.csv").write_text(text)
    assert reader_of(tmp_path) == reader
    found = read(tmp_path)
    assert names_of(found) == ["0.png", "1.png"]
    assert found[0].labels.tolist() == labels


def test_table_beside_class_folders_is_a_summary(tmp_path):
    for name in ("cat", "dog"):
        image(tmp_path / name / "0.png")
    (tmp_path / "labels.csv").write_text("image,cat,dog\ncat/0.png,1,0\ndog/0.png,0,1\n")
    assert reader_of(tmp_path) == "ClassFolders"


def test_image_in_two_folders_is_not_guessed(tmp_path):
    for folder in ("one", "two"):
        image(tmp_path / folder / "0.png")
    (tmp_path / "values.csv").write_text("filename,angle\n0.png,1\n")
    with pytest.raises(DataError, match=r"'0.png' does not exist"):
        read(tmp_path, reader="ValuesCSV")


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("/data/upload/1/1a2b3c4d-x%20y.png", "1a2b3c4d-x y.png"),
        ("/data/upload/1/1a2b3c4d-x%20y.png", "x y.png"),
        ("/data/upload/1/1a2b3c4d-x.png", "x.png"),
        ("/data/upload/1/50%.png", "50%.png"),
    ],
)
def test_label_studio_names_in_urls(tmp_path, url, file):
    image(tmp_path / "images" / file)
    value = {"x": 10, "y": 10, "width": 50, "height": 50, "rectanglelabels": ["cat"]}
    size = {"original_width": 40, "original_height": 20, "from_name": "l", "to_name": "i"}
    result = {"type": "rectanglelabels", "value": value} | size
    task = {"id": 1, "data": {"image": url}, "annotations": [{"id": 1, "result": [result]}]}
    (tmp_path / "export.json").write_text(json.dumps([task]))
    assert names_of(read(tmp_path)) == [file]


def test_few_voc_files_have_no_empty_split(tmp_path):
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    xml = f"<annotation><object><name>cat</name>{box}</object></annotation>"
    for number in range(3):
        image(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.xml").write_text(xml)
    root, reader = opened(tmp_path)
    splits = splits_of(root, reader)
    assert splits[0] == "train"
    assert sum(len(read(tmp_path, split=split)) for split in splits) == 3
    assert all(len(read(tmp_path, split=split)) for split in splits)


def yolo(folder, lines):
    image(folder / "train" / "images" / "0.png")
    (folder / "train" / "labels").mkdir()
    (folder / "train" / "labels" / "0.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (folder / "data.yaml").write_text("\n".join([*lines, "nc: 1", "names: ['cat']"]))


def test_roboflow_lists_a_test_split_that_does_not_exist(tmp_path):
    yolo(tmp_path, ["train: ../train/images", "val: ../train/images", "test: ../test/images"])
    root, reader = opened(tmp_path)
    assert splits_of(root, reader) == ["train", "val"]
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path, split="test")


def test_other_split_that_does_not_exist_is_an_error(tmp_path):
    yolo(tmp_path, ["train: ../train/images", "val: ../valid/images"])
    root, reader = opened(tmp_path)
    assert splits_of(root, reader) == ["train", "val"]


def test_yolo_list_of_another_computer(tmp_path):
    yolo(tmp_path, ["train: train.txt"])
    (tmp_path / "train.txt").write_text("/content/drive/set/train/images/0.png\n")
    assert read(tmp_path).objects().tolist() == [1]


def test_one_image(tmp_path):
    file = image(tmp_path / "a" / "b" / "0.png", 7)
    assert read(file, reader="Images").load(0).image[0, 0].tolist() == [7, 7, 7]
    with pytest.raises(DataError) as caught:
        read(tmp_path, reader="Images")
    assert caught.value.fix == f"pass one of its folders, such as {tmp_path / 'a' / 'b'}"
