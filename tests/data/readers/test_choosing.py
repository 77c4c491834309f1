"""Which reader is chosen for a folder."""

import re
import shutil

import cv2
import numpy as np
import pytest
from tests.data.test_read import coco

from visiongarden.data import Reader, read
from visiongarden.data.readers import opened
from visiongarden.data.readers.yolo import YOLO
from visiongarden.errors import DataError


def picture(path, channels=3):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((30, 40, channels), np.uint8))


def folders(root):
    for split in ("train", "val"):
        for name in ("ant", "bee"):
            picture(root / split / name / "0.png")


def masks(root):
    for split in ("train", "val"):
        for i in range(2):
            picture(root / "images" / split / f"{split}{i}.png")
            picture(root / "masks" / split / f"{split}{i}.png", 1)
    (root / "classes.yaml").write_text("classes: [sky, road, tree]\n")


def yolo(root):
    for split in ("train", "val"):
        picture(root / "images" / split / "a.png")
        (root / "labels" / split).mkdir(parents=True)
        (root / "labels" / split / "a.txt").write_text("0 .5 .5 .1 .1\n")
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat]\n")


BOX_TABLE = "path,x1,y1,x2,y2,class\ntrain/ant/0.png,1,1,9,9,ant\n"
VOC = "<annotation><filename>train0.png</filename></annotation>"


def beside(make, *files):
    """A data set with other files in it."""

    def made(root):
        make(root)
        for name, content in files:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content)

    return made


def ade20k(root):
    masks(root)
    (root / "masks").rename(root / "annotations")


def pascal(root):
    masks(root)
    for old, new in (("images", "JPEGImages"), ("masks", "SegmentationClass")):
        (root / new).mkdir()
        for file in (root / old).rglob("*.png"):
            shutil.move(file, root / new / file.name)
        shutil.rmtree(root / old)
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split in ("train", "val"):
        (lists / f"{split}.txt").write_text("".join(f"{split}{i}\n" for i in range(2)))


@pytest.mark.parametrize(
    ("make", "reader", "found"),
    [
        (folders, "ClassFolders", "labels"),
        (masks, "MaskFolders", "semantic"),
        (ade20k, "MaskFolders", "semantic"),
        (pascal, "MaskFolders", "semantic"),
        (yolo, "YOLO", "boxes"),
        (coco, "COCO", "boxes"),
        (beside(folders, ("metadata.json", '{"made": 2020}')), "ClassFolders", "labels"),
        (beside(folders, ("train.csv", "file,label\na.png,ant\n")), "ClassFolders", "labels"),
        (beside(folders, ("train.csv", "a,b,c,d,e,f\n")), "ClassFolders", "labels"),
        (beside(masks, ("classes.json", '["sky"]')), "MaskFolders", "semantic"),
        (beside(masks, ("data.yaml", "names: [sky]\n")), "MaskFolders", "semantic"),
        (beside(pascal, ("Annotations/train0.xml", VOC)), None, "VOC and MaskFolders"),
        (beside(folders, ("train.csv", BOX_TABLE)), None, "CSV and ClassFolders"),
        (beside(masks, ("data.yaml", "names: [a]"), ("labels/train/train0.txt", "")),
         None, "YOLO and MaskFolders"),
        (lambda r: picture(r / "a.png"), None, "none of these formats"),
    ],
)  # fmt: skip
def test_the_reader_is_chosen_or_requested(tmp_path, make, reader, found):
    make(tmp_path)
    if reader is None:
        with pytest.raises(DataError, match="cannot be determined") as error:
            opened(tmp_path)
        names = [] if "none" in found else found.split(" and ")
        assert set(re.findall(r"(\w+) \(0\.\d\)", error.value.received)) == set(names)
        assert all(f"reader={name!r}" in error.value.fix for name in names)
        return
    assert opened(tmp_path)[1] == Reader.kinds()[reader]()
    assert found in read(tmp_path, reader=reader).fields


def test_two_folders_for_one_split(tmp_path):
    folders(tmp_path / "classes")
    shutil.copytree(tmp_path / "classes" / "val", tmp_path / "classes" / "valid")
    with pytest.raises(DataError, match="two folders for val: val, valid"):
        read(tmp_path / "classes")
    yolo(tmp_path / "boxes")
    (tmp_path / "boxes" / "val").mkdir()
    (tmp_path / "boxes" / "valid").mkdir()
    assert opened(tmp_path / "boxes")[1] == YOLO()
