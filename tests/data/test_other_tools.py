"""The reader of a labeling tool is chosen by its files, and named where another was asked for."""

import json

import cv2
import numpy as np
import pytest

from visiongarden.data import read
from visiongarden.data.readers import opened
from visiongarden.data.readers.voc import VOC
from visiongarden.data.readers.yolo import YOLO
from visiongarden.errors import DataError


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((30, 40, 3), np.uint8))


def written(files):
    def make(root):
        for name, content in files.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content if isinstance(content, str) else json.dumps(content))

    return make


SHAPE = {"label": "cat", "points": [[2, 3], [9, 9]], "shape_type": "rectangle"}
LABELME = {"version": "5.4.1", "flags": {}, "shapes": [SHAPE], "imagePath": "a.png"}
REGION = {"shape_attributes": {"name": "rect", "x": 2}, "region_attributes": {"class": "cat"}}
VIA = {"_via_settings": {}, "_via_img_metadata": {"a.png1": {"regions": [REGION]}}}
BOX = {"label": "cat", "coordinates": {"x": 5, "y": 5, "width": 3, "height": 3}}
TASK = {"id": 1, "annotations": [{"completed_by": 1, "result": []}], "data": {"image": "a.png"}}
CVAT = (
    '<annotations><version>1.1</version><image name="a.png"><box label="a"/></image></annotations>'
)
TOOLS = [
    ("Labelme", written({"a.json": LABELME})),
    ("Labelme", written({"train/a.json": LABELME, "val/b.json": LABELME})),
    ("VIA", written({"via_project.json": VIA})),
    ("VIA", written({"a.json": {"a.png1": {"filename": "a.png", "regions": [REGION]}}})),
    ("VIA", written({"via.csv": "filename,region_shape_attributes,region_attributes\na,b,c\n"})),
    ("CreateML", written({"labels.json": [{"image": "a.png", "annotations": [BOX]}]})),
    ("CreateML", written({"train/a.json": [{"image": "a", "annotations": [BOX]}]})),
    ("LabelStudio", written({"project.json": [TASK]})),
    ("CVATImages", written({"annotations.xml": CVAT, "images/a.txt": ""})),
    ("DarknetData", written({"obj.data": "classes = 1\nnames = data/obj.names\nbackup = backup/\n",
                          "obj.names": "cat\n", "train.txt": "data/obj_train_data/p0.png\n",
                          "obj_train_data/p0.txt": "0 .5 .5 .1 .1\n"})),
    ("RoboflowCSV", written({"train/_annotations.csv": "filename,class,xmin,ymin,xmax,ymax\n"
                          "a.png,cat,1,1,9,9\n"})),
    ("RoboflowMultiLabel", written({"train/_classes.csv": "filename, cat, dog\na.png, 1, 0\n"})),
    ("MultiLabelCSV", written({"train.csv": "image,cat,dog\na.png,1,0\nb.png,1,1\n"})),
    ("DOTA", written({"labelTxt/a.txt": "imagesource:G\ngsd:0.1\n1 1 9 1 9 9 1 9 plane 0\n"})),
    ("DOTA", written({"labels/a.txt": "1.0 1 9 1 9 9 1 9 small-vehicle 1\n"})),
]  # fmt: skip


@pytest.mark.parametrize(("name", "make"), TOOLS)
def test_the_reader_is_found(tmp_path, name, make):
    for place in ("a.png", "images/a.png", "obj_train_data/p0.png"):
        if place == "a.png" or name == "DarknetData" or place.startswith("images"):
            picture(tmp_path / place)
    make(tmp_path)
    assert opened(tmp_path)[1].to_dict()["type"] == name
    with pytest.raises(DataError, match="has no files that the reader VOC reads") as caught:
        opened(tmp_path, "VOC")
    assert caught.value.fix == f"reader={name!r}"
    assert name in caught.value.received


def test_an_unknown_folder_gets_no_reader_as_a_fix(tmp_path):
    (tmp_path / "notes.md").write_text("nothing")
    with pytest.raises(DataError, match=r"the format of .* cannot be determined") as caught:
        opened(tmp_path)
    assert "Images" in caught.value.fix  # which reads no annotations


def test_an_ambiguous_folder_names_the_readers_and_their_scores(tmp_path):
    picture(tmp_path / "images" / "a.png")
    rows = {"images": [], "annotations": [], "categories": []}
    written({"train.json": rows, "data.yaml": "names: [cat]\n", "labels/a.txt": ""})(tmp_path)
    with pytest.raises(DataError, match=r"the format of .* cannot be determined") as caught:
        opened(tmp_path)
    assert caught.value.received == "it looks like COCO (0.9) and YOLO (0.9)"
    assert caught.value.fix == "reader='COCO' or reader='YOLO'"
    assert "YOLO: data.yaml with images/ beside labels/*.txt" in caught.value.rule
    assert "VOC" not in caught.value.rule


def test_notes_of_label_studio_are_no_annotations(tmp_path):
    picture(tmp_path / "images" / "a.png")
    notes = {"categories": [{"id": 0, "name": "cat"}], "info": {"contributor": "Label Studio"}}
    written({"notes.json": notes, "classes.txt": "cat\n", "labels/a.txt": "0 .5 .5 .5 .5\n"})(
        tmp_path
    )
    assert opened(tmp_path)[1] == YOLO()
    assert read(tmp_path).row(0).boxes.tolist() == [[10, 7.5, 30, 22.5]]


def test_xml_beside_images_is_read_as_voc(tmp_path):
    names = [f"photo{i}" for i in range(30)]
    for name in names:
        picture(tmp_path / f"{name}.png")
        box = "<xmin>2</xmin><ymin>3</ymin><xmax>12</xmax><ymax>15</ymax>"
        item = f"<object><name>cat</name><bndbox>{box}</bndbox></object>"
        (tmp_path / f"{name}.xml").write_text(f"<annotation>{item}</annotation>")
    assert opened(tmp_path)[1] == VOC()
    parts = [read(tmp_path, split=split) for split in ("train", "val", "test")]
    assert sum(map(len, parts)) == 30
    assert all(e.boxes.tolist() == [[2, 3, 12, 15]] for part in parts for e in part.rows())
