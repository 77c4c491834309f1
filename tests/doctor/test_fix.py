"""`fix`: what a corrected copy keeps, drops and refuses."""

import json

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from visiongarden.cli.entry import app
from visiongarden.data import read
from visiongarden.doctor import convert_dataset, fix
from visiongarden.errors import DataError, UserError
from visiongarden.samples.unknown_keys import unpack

SIZE = (30, 40)


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    cv2.imwrite(str(path), pixels)


def yolo(root, labels, seeds=None):
    """Images of train a0.png, …, each with the text of its label file; None: no such file."""
    for i, text in enumerate(labels):
        picture(root / "images" / "train" / f"a{i}.png", (seeds or range(9))[i])
        label = root / "labels" / "train" / f"a{i}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        if text is not None:
            label.write_text(text)
    (root / "data.yaml").write_text("train: images/train\nnames: [ant, bee]\n")
    return root


def coco(root, annotations, images=2):
    rows = [{"id": i, "file_name": f"a{i}.png"} for i in range(images)]
    for i in range(images):
        picture(root / "images" / f"a{i}.png", i)
    data = {"images": rows, "categories": [{"id": 1, "name": "ant"}], "annotations": annotations}
    (root / "train.json").write_text(json.dumps(data))
    return root


def rows_of(root):
    (file,) = root.glob("**/*train.json")
    return json.loads(file.read_text())


def names_of(dataset):
    return sorted(dataset.image_path(i).name for i in range(len(dataset)))


def convert(source, target, format, **arguments):
    return list(convert_dataset(source, target, format=format, **arguments).lost)


def unpacked(dataset):
    """Unknown keys of the first image and of its objects."""
    row = dataset.row(0)
    return unpack(row.unknown, len(row.classes))


GOOD = "0 0.5 0.5 0.2 0.2\n"
FLAWED = ["0 0.5 0.5 0 0.2\n", "7 0.5 0.5 0.2 0.2\n", "0 0.5\n", "0 1.9 0.5 0.1 0.1\n"]


@pytest.mark.parametrize("label", FLAWED)
def test_an_image_that_loses_all_its_boxes_is_dropped(tmp_path, label):
    root = yolo(tmp_path / "set", [GOOD, label, ""])
    changes = fix(root, tmp_path / "fixed")
    assert names_of(read(tmp_path / "fixed")) == ["a0.png", "a2.png"]  # a2 shows no object
    assert any("left out" in line and "a1.png" in line for line in changes)
    kept = fix(root, tmp_path / "kept", keep_background=True)
    found = read(tmp_path / "kept")
    assert names_of(found) == ["a0.png", "a1.png", "a2.png"]
    assert found.counts().sum() == 1
    assert any("kept as background" in line and "a1.png" in line for line in kept)


def test_an_unreadable_label_file_is_no_background(tmp_path):
    root = yolo(tmp_path / "set", [GOOD, ""])
    (root / "labels" / "train" / "a1.txt").write_bytes(b"\xff\xfe\x00")
    assert len(fix(root, tmp_path / "fixed")) == 2
    assert names_of(read(tmp_path / "fixed")) == ["a0.png"]


BOX = {"id": 5, "image_id": 0, "category_id": 1, "bbox": [4, 4, 20, 20], "iscrowd": 0}


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 2, 3, 4]],
        [[4, 4, 24, 4, None, 24]],
        {"size": [9, 9], "counts": [81]},
        {"size": [30, 40], "counts": [5]},
        "polygon",
    ],
)
def test_an_invalid_polygon_is_removed_and_its_box_is_kept(tmp_path, segmentation):
    row = BOX | {"segmentation": segmentation, "area": 300.5, "color": "rot"}
    changes = fix(coco(tmp_path / "set", [row]), tmp_path / "fixed")
    assert len(changes) == 1
    assert "annotations[0]" in changes[0]
    assert "the box is kept" in changes[0]
    (again,) = rows_of(tmp_path / "fixed")["annotations"]
    assert again == BOX | {"area": 300.5, "color": "rot"}


def test_only_the_invalid_polygon_of_a_mask_is_removed(tmp_path):
    part = [4, 4, 24, 4, 24, 24, 4, 24]
    changes = fix(coco(tmp_path / "set", [BOX | {"segmentation": [[1, 2], part]}]), tmp_path / "f")
    assert len(changes) == 1
    assert rows_of(tmp_path / "f")["annotations"][0]["segmentation"] == [part]


def test_a_copy_without_usable_boxes_is_refused(tmp_path):
    orphans = coco(tmp_path / "orphans", [BOX | {"image_id": 77}])
    with pytest.raises(DataError, match="no usable box"):
        fix(orphans, tmp_path / "fixed")
    with pytest.raises(DataError, match=r"no usable box|no image"):
        fix(yolo(tmp_path / "yolo", [FLAWED[0], FLAWED[1]]), tmp_path / "fixed")
    with pytest.raises(DataError, match="no usable box"):
        fix(yolo(tmp_path / "empty", ["", ""]), tmp_path / "fixed")
    assert not (tmp_path / "fixed").exists()


def test_of_equal_images_the_labeled_one_is_kept(tmp_path):
    root = yolo(tmp_path / "set", [None, GOOD, GOOD], seeds=[1, 1, 2])
    changes = fix(root, tmp_path / "fixed")
    assert names_of(read(tmp_path / "fixed")) == ["a1.png", "a2.png"]
    assert len(changes) == 1
    assert "a0.png" in changes[0]


@pytest.mark.parametrize("other", ["1 0.5 0.5 0.2 0.2\n", "0 0.7 0.5 0.2 0.2\n", GOOD + GOOD])
def test_equal_images_with_different_labels_are_refused(tmp_path, other):
    root = yolo(tmp_path / "set", [GOOD, other], seeds=[1, 1])
    with pytest.raises(UserError, match="with different labels"):
        fix(root, tmp_path / "fixed")
    assert not (tmp_path / "fixed").exists()
    same = yolo(tmp_path / "same", [GOOD, GOOD], seeds=[1, 1])
    assert len(fix(same, tmp_path / "fixed")) == 1


def test_where_all_are_crowds_they_are_objects(tmp_path):
    crowds = [BOX | {"id": i, "iscrowd": 1, "image_id": i} for i in (0, 1)]
    changes = fix(coco(tmp_path / "set", crowds), tmp_path / "fixed")
    assert len(changes) == 1
    assert "iscrowd of 2 boxes" in changes[0]
    assert [row["iscrowd"] for row in rows_of(tmp_path / "fixed")["annotations"]] == [0, 0]
    mixed = [crowds[0], BOX | {"id": 9, "image_id": 1}]
    coco(tmp_path / "mixed", mixed)
    assert fix(tmp_path / "mixed", tmp_path / "as-is") == []
    assert [row["iscrowd"] for row in rows_of(tmp_path / "as-is")["annotations"]] == [1, 0]
    assert len(fix(tmp_path / "mixed", tmp_path / "objects", crowds_as_objects=True)) == 1
    assert [row["iscrowd"] for row in rows_of(tmp_path / "objects")["annotations"]] == [0, 0]


def test_nothing_else_is_changed(tmp_path):
    rows = [
        # Over the border by less than a pixel, with digits that float32 does not hold.
        BOX | {"bbox": [-0.4, 4.123456789, 20.1, 25.876], "area": 12.5, "track": [1, {"a": None}]},
        BOX | {"id": "text", "keypoints": [1, 2, 2], "num_keypoints": 1, "segmentation": []},
        BOX
        | {"id": 8, "bbox": [0, 0, 30, 20], "segmentation": [[-0.5, 0, 30.123456789, 0, 30, 20.5]]},
    ]
    root = coco(tmp_path / "set", rows)
    assert fix(root, tmp_path / "fixed") == []
    before, after = rows_of(root), rows_of(tmp_path / "fixed")
    for one, other in zip(before["annotations"], after["annotations"], strict=True):
        assert {key: other.get(key) for key in one} == one
    for one, other in zip(before["images"], after["images"], strict=True):
        assert one.items() <= other.items()


def test_what_is_cut_is_listed_and_loses_its_area(tmp_path):
    mask = [[20, 10, 60, 10, 60, 20, 20, 20]]
    row = BOX | {"bbox": [20, 10, 40, 10], "area": 400, "segmentation": mask, "track": 3}
    (change,) = fix(coco(tmp_path / "set", [row]), tmp_path / "fixed")
    assert "clipped to the image" in change
    (again,) = rows_of(tmp_path / "fixed")["annotations"]
    assert again["bbox"] == [20, 10, 20, 10]
    assert (again["area"], again["track"]) == (200, 3)
    assert sorted(zip(*[iter(again["segmentation"][0])] * 2, strict=True)) == [
        (20, 10), (20, 20), (40, 10), (40, 20),
    ]  # fmt: skip


def test_keys_of_a_yaml_file_are_kept(tmp_path):
    root = yolo(tmp_path / "set", [GOOD])
    file = root / "data.yaml"
    file.write_text(file.read_text() + "roboflow: {license: MIT, version: 3}\nnotes: [ä, 1.5]\n")
    assert fix(root, tmp_path / "fixed") == []
    keys = {"roboflow": {"license": "MIT", "version": 3}, "notes": ["ä", 1.5]}
    assert read(tmp_path / "fixed").extra == keys


VOC = """<annotation>
  <folder>f</folder><filename>a0.png</filename>
  <source><database>The Größe &amp; more</database></source>
  <size><width>40</width><height>30</height><depth>3</depth></size>
  <object><name>ant</name><pose>Left</pose><difficult>1</difficult>
    <part><name>head</name><bndbox><xmin>5</xmin><ymin>5</ymin></bndbox></part>
    <part><name>leg</name></part>
    <bndbox><xmin>4</xmin><ymin>4</ymin><xmax>24</xmax><ymax>24</ymax></bndbox></object>
</annotation>"""


def test_elements_of_voc_are_kept(tmp_path):
    root = tmp_path / "set"
    picture(root / "JPEGImages" / "a0.png", 0)
    for folder in ("Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    (root / "Annotations" / "a0.xml").write_text(VOC, encoding="utf-8")
    (root / "ImageSets" / "Main" / "train.txt").write_text("a0\n")
    assert fix(root, tmp_path / "fixed") == []
    parts = [{"name": "head", "bndbox": {"xmin": "5", "ymin": "5"}}, {"name": "leg"}]
    expected = (
        {"folder": "f", "source": {"database": "The Größe & more"}},
        [{"pose": "Left", "difficult": "1", "part": parts}],
    )
    for path in (root, tmp_path / "fixed"):
        assert unpacked(read(path)) == expected
    lost = convert(root, tmp_path / "yolo", "yolo")
    assert {line.partition(": ")[2] for line in lost} == {
        "`folder` of the image", "`source` of the image", "`pose` of an object",
        "`difficult` of an object", "`part` of an object",
    }  # fmt: skip
    assert convert(root, tmp_path / "coco", "coco") == []
    (row,) = rows_of(tmp_path / "coco")["annotations"]
    assert row["part"] == parts


def test_columns_of_csv_are_kept(tmp_path):
    root = tmp_path / "set"
    picture(root / "a0.png", 0)
    lines = ["image,width,label,xmin,ymin,xmax,ymax,height,Note", "a0.png,40,ant,4,4,24,24,30,ä b"]
    (root / "train.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert fix(root, tmp_path / "fixed") == []
    keys = [{"Note": "ä b", "width": "40", "height": "30"}]
    for path in (root, tmp_path / "fixed"):
        assert unpacked(read(path)) == ({}, keys)


def test_duplicate_boxes_are_removed_with_their_keys(tmp_path):
    rows = [BOX | {"track": 1}, BOX | {"id": 6, "track": 2}, BOX | {"id": 7, "image_id": 1}]
    assert len(fix(coco(tmp_path / "set", rows), tmp_path / "fixed")) == 1
    found = read(tmp_path / "fixed")
    assert unpacked(found)[1] == [{"id": 5, "track": 1}]


def test_the_command_lists_the_changes(tmp_path):
    root = yolo(tmp_path / "set", [GOOD, FLAWED[0]])
    options = ["--fix", str(tmp_path / "fixed"), "--output", str(tmp_path / "page.html")]
    result = CliRunner().invoke(app, ["data", "check", str(root), *options, "--keep-background"])
    assert result.exit_code == 0, result.output
    assert "kept as background" in result.output
    assert names_of(read(tmp_path / "fixed")) == ["a0.png", "a1.png"]


def test_boxes_dropped_on_request_are_listed_and_do_not_become_background(tmp_path):
    root = yolo(tmp_path / "set", [GOOD + FLAWED[0], FLAWED[0], ""])
    found = read(root, invalid_boxes="drop")
    assert names_of(found) == ["a0.png", "a2.png"]
    assert [sample.info.id for sample in found] == [0, 1]
    assert any("a1.png: the image" in line for line in found.dropped)
    lost = convert(root, tmp_path / "coco", "coco", invalid_boxes="drop")
    assert len(lost) == 3
    assert all(line.startswith("[train] left out: ") for line in lost)
    assert len(rows_of(tmp_path / "coco")["images"]) == 2
