"""Roboflow's COCO exports: a file in each split's folder, whose category 0 is the project."""

import pytest
from tests.data.readers.tool_files import notes, read, save

from visiongarden.data.readers.coco import COCO
from visiongarden.data.readers.reader import Source


def file_of(name, category, first="pets"):
    return {
        "info": {"year": "2024"},
        "categories": [
            {"id": 0, "name": "pets", "supercategory": "none"},
            {"id": 1, "name": "cat", "supercategory": first},
            {"id": 2, "name": "dog", "supercategory": "pets"},
        ],
        "images": [{"id": 0, "file_name": name, "height": 50, "width": 100}],
        "annotations": [
            {"id": 0, "image_id": 0, "category_id": category, "bbox": [10, 20, 30, 20],
             "area": 600, "segmentation": [], "iscrowd": 0},
        ],
    }  # fmt: skip


def test_the_project_is_no_class(tmp_path):
    root = save(
        tmp_path,
        {
            "train/_annotations.coco.json": file_of("a.png", 2),
            "valid/_annotations.coco.json": file_of("b.png", 1),
        },
        ["train/a.png", "valid/b.png"],
    )
    assert COCO().splits(Source(root)) == ("train", "val")
    for split, index in (("train", 1), ("val", 0)):
        found, errors, collected = read(COCO(), root, split)
        assert errors == []
        assert found.class_map.names == ("cat", "dog")
        assert found.class_map.ids == (1, 2)
        assert found.row(0).classes.tolist() == [index]
        assert found.row(0).boxes.tolist() == [[10, 20, 40, 40]]
        assert notes(collected) == [
            "category 0 is the project, as Roboflow writes it, and not a class"
        ]


@pytest.mark.parametrize("content", [file_of("a.png", 0), file_of("a.png", 1, first="animals")])
def test_a_category_that_is_used_is_a_class(tmp_path, content):
    root = save(tmp_path, {"train/_annotations.coco.json": content}, ["train/a.png"])
    found, errors, _ = read(COCO(), root)
    assert errors == []
    assert found.class_map.names == ("pets", "cat", "dog")
