"""Readers: three formats, one truth; faults name file and place; any bytes are safe."""

import contextlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from visiongarden.data import read
from visiongarden.errors import DataError, UserError

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not there")

# One image of 40 × 30 with two boxes, one without any.
BOXES = [("cat", (4, 6, 20, 26)), ("dog", (0, 0, 40, 30))]


def picture(path, size=(30, 40)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), 90, np.uint8))


def coco(root):
    picture(root / "images" / "a.png"), picture(root / "images" / "b.png")
    data = {
        "images": [
            {"id": 7, "file_name": "a.png", "width": 40, "height": 30},
            {"id": 9, "file_name": "b.png", "width": 40, "height": 30},
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [
            {
                "id": i,
                "image_id": 7,
                "category_id": {"cat": 3, "dog": 18}[name],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "iscrowd": i,
            }
            for i, (name, (x1, y1, x2, y2)) in enumerate(BOXES)
        ],
    }
    (root / "train.json").write_text(json.dumps(data))
    return root / "train.json"


def yolo(root):
    picture(root / "images" / "train" / "a.png"), picture(root / "images" / "train" / "b.png")
    (root / "labels" / "train").mkdir(parents=True)
    lines = [
        f"{['cat', 'dog'].index(name)} {(x1 + x2) / 80} {(y1 + y2) / 60} "
        f"{(x2 - x1) / 40} {(y2 - y1) / 30}"
        for name, (x1, y1, x2, y2) in BOXES
    ]
    (root / "labels" / "train" / "a.txt").write_text("\n".join(lines))
    (root / "data.yaml").write_text("path: .\ntrain: images/train\nnames: {0: cat, 1: dog}\n")
    return root / "labels" / "train" / "a.txt"


def voc_xml(objects):
    body = "".join(
        f"<object>\n<name>{name}</name>\n<bndbox><xmin>{b[0]}</xmin><ymin>{b[1]}</ymin>"
        f"<xmax>{b[2]}</xmax><ymax>{b[3]}</ymax></bndbox>\n</object>\n"
        for name, b in objects
    )
    size = "<size><width>40</width><height>30</height></size>"
    return f"<annotation>\n{size}\n{body}</annotation>"


def voc(root):
    picture(root / "JPEGImages" / "a.png"), picture(root / "JPEGImages" / "b.png")
    (root / "Annotations").mkdir()
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "Annotations" / "a.xml").write_text(voc_xml(BOXES))
    (root / "Annotations" / "b.xml").write_text(voc_xml([]))
    (root / "ImageSets" / "Main" / "train.txt").write_text("a\nb\n")
    (root / "ImageSets" / "Main" / "cat_train.txt").write_text("a 1\nb -1\n")
    return root / "Annotations" / "a.xml"


MAKERS = {"coco": coco, "yolo": yolo, "voc": voc}


@pytest.mark.parametrize("format", MAKERS)
@pytest.mark.parametrize("asked", ["auto", None])
def test_the_formats_give_one_truth(tmp_path, format, asked):
    MAKERS[format](tmp_path)
    found = read(tmp_path, asked or format)
    assert found.class_map.names == ("cat", "dog")
    assert len(found) == 2
    np.testing.assert_allclose(found[0].boxes, [box for _, box in BOXES], atol=1e-4)
    assert found[0].classes.tolist() == [0, 1]
    assert found[0].size == (30, 40)
    assert found[1].boxes.shape == (0, 4)
    assert found.load(1).image.shape == (30, 40, 3)


def test_coco_keeps_ids_with_gaps_and_crowds(tmp_path):
    coco(tmp_path)
    found = read(tmp_path)
    assert found.class_map.ids == (3, 18)
    assert found[0].crowd.tolist() == [False, True]


def edited(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


FAULTS = [
    ("coco", lambda f: edited(f, '"category_id": 3', '"category_id": 4'), "annotations[0]", "4"),
    ("coco", lambda f: edited(f, '"image_id": 7', '"image_id": 70'), "annotations[0]", "70"),
    ("coco", lambda f: edited(f, "[4, 6, 16, 20]", "[4, 6, 0, 20]"), "annotations[0]", "no area"),
    ("coco", lambda f: edited(f, "[4, 6, 16, 20]", "[4, 6, 90, 20]"), "annotations[0]", "outside"),
    ("coco", lambda f: edited(f, "[4, 6, 16, 20]", "[4, NaN, 9, 20]"), "annotations[0]", "finite"),
    ("coco", lambda f: edited(f, "[4, 6, 16, 20]", '["4", 6]'), "annotations[0]", "four numbers"),
    ("coco", lambda f: edited(f, '"width": 40', '"width": 41'), "images[0]", "41 × 30"),
    ("coco", lambda f: f.write_text(f.read_text()[:-9]), "line 1, column", "not JSON"),
    ("coco", lambda f: edited(f, '"categories"', '"cats"'), "train.json", "categories"),
    ("yolo", lambda f: edited(f, "0 0.3", "2 0.3"), "a.txt:1", "0 to 1"),
    ("yolo", lambda f: edited(f, "0 0.3", "-1 0.3"), "a.txt:1", "class -1"),
    ("yolo", lambda f: edited(f, "0 0.3", "0 9 0.3"), "a.txt:1", "6 values"),
    ("yolo", lambda f: edited(f, "0 0.3", "cat 0.3"), "a.txt:1", "not numbers"),
    ("yolo", lambda f: edited(f, "0 0.3", "0 nan"), "a.txt:1", "not finite"),
    ("yolo", lambda f: edited(f, "1 0.5 0.5", "1 20 15"), "a.txt:2", "pixels"),
    ("yolo", lambda f: edited(f, "1 0.5 0.5", "1 0.7 0.5"), "a.txt:2", "outside"),
    ("yolo", lambda f: f.write_bytes(b"\xff\xfe\x00"), "a.txt", "not UTF-8"),
    ("voc", lambda f: edited(f, "<xmax>20<", "<xmax>4<"), "a.xml:5", "no area"),
    ("voc", lambda f: edited(f, "<xmax>20<", "<xmax>90<"), "a.xml:5", "outside"),
    ("voc", lambda f: edited(f, "<xmax>20</xmax>", ""), "a.xml:5", "xmax"),
    ("voc", lambda f: edited(f, "<name>cat", "<name>"), "a.xml:3", "class ''"),
    ("voc", lambda f: edited(f, "</object>", "</objekt>"), "a.xml:6", "mismatched tag"),
    ("voc", lambda f: edited(f, "<width>40", "<width>80"), "a.xml:2", "80 × 30"),
    ("voc", lambda f: f.write_text("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"), "a.xml:1", "type"),
    ("voc", lambda f: f.write_text("<a>" * 99 + "</a>" * 99), "a.xml:1", "deeply"),
    ("voc", lambda f: f.unlink(), "a.xml", "no such file"),
]


@pytest.mark.parametrize(("format", "spoil", "place", "word"), FAULTS)
def test_faults_name_file_and_place(tmp_path, format, spoil, place, word):
    spoil(MAKERS[format](tmp_path))
    with pytest.raises(DataError) as error:
        read(tmp_path, format)
    assert place in str(error.value)
    assert word in str(error.value)


@pytest.mark.parametrize("format", MAKERS)
@pytest.mark.parametrize("spoil", ["missing", "no image"])
def test_an_image_that_is_none(tmp_path, format, spoil):
    MAKERS[format](tmp_path)
    image = next(tmp_path.rglob("b.png"))
    if spoil == "missing":
        image.unlink()
        if format == "yolo":
            (tmp_path / "list.txt").write_text("images/train/a.png\nimages/train/b.png\n")
            edited(tmp_path / "data.yaml", "images/train", "list.txt")
    else:
        image.write_bytes(b"hello")
    with pytest.raises(DataError) as error:
        read(tmp_path, format)
    assert "b.png" in str(error.value) or "b.xml" in str(error.value)


@pytest.mark.parametrize("format", MAKERS)
def test_dropping_is_asked_for_and_listed(tmp_path, format):
    file = MAKERS[format](tmp_path)
    old, new = {
        "coco": ("[4, 6, 16, 20]", "[4, 6, 0, 20]"),
        "yolo": ("0 0.3", "0 0.9"),
        "voc": ("<xmax>20<", "<xmax>4<"),
    }[format]
    edited(file, old, new)
    with pytest.raises(DataError, match="--invalid-boxes drop"):
        read(tmp_path, format)
    found = read(tmp_path, format, invalid_boxes="drop")
    assert found[0].classes.tolist() == [1]
    assert len(found.dropped) == 1
    assert file.name in found.dropped[0]


def test_one_pixel_over_the_border_is_cut(tmp_path):
    edited(voc(tmp_path), "<xmax>40<", "<xmax>41<")
    assert read(tmp_path)[0].boxes[1].tolist() == [0, 0, 40, 30]


def test_one_based_corners(tmp_path):
    voc(tmp_path)
    assert read(tmp_path, one_based=True)[0].boxes[0].tolist() == [3, 5, 20, 26]


def test_a_report_names_all_and_counts_the_rest(tmp_path):
    file = yolo(tmp_path)
    file.write_text("5 0.5 0.5 0.1 0.1\n" * 14)
    with pytest.raises(DataError) as error:
        read(tmp_path)
    assert "has 14 faults" in str(error.value)
    assert "… and 4 more" in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "cocoo"}, "did you mean coco"),
        ({"split": "dev"}, "it has train"),
        ({"invalid_boxes": "ignore"}, '"error" or "drop"'),
        ({"class_names": []}, "class_names is empty"),
        ({"class_names": ["cat", "cow"]}, "cow"),
    ],
)
def test_arguments(tmp_path, arguments, message):
    coco(tmp_path)
    with pytest.raises(UserError, match=message):
        read(tmp_path, **arguments)


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="there is no data set"):
        read(tmp_path / "nowhere")
    with pytest.raises(DataError, match="cannot tell the format"):
        read(tmp_path)


def two_endings(root):
    picture(root / "images" / "train" / "a.jpg")


def label_without_image(root):
    (root / "labels" / "train" / "lost.txt").write_text("0 .5 .5 .1 .1")


def label_that_is_a_folder(root):
    (root / "labels" / "train" / "b.txt").mkdir()


def no_image(root):
    for file in (root / "images" / "train").iterdir():
        file.unlink()
    (root / "labels" / "train" / "a.txt").unlink()


def long_name(root):
    (root / "data.yaml").write_text(f"train: {'x' * 5000}\nnames: [cat]\n")


def listed_twice(root):
    (root / "list.txt").write_text("images/train/a.png\nimages/train/a.png\n")
    (root / "data.yaml").write_text("train: list.txt\nnames: [cat, dog]\n")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (two_endings, "a.png and a.jpg have one name"),
        (label_without_image, "lost.txt: labels of an image that is not there"),
        (label_that_is_a_folder, "b.txt: there is no such file"),
        (no_image, "split 'train' has no image"),
        (long_name, "cannot be read"),
        (listed_twice, "a.png stands 2 times in train"),
    ],
)
def test_yolo_leaves_nothing_out_in_silence(tmp_path, spoil, message):
    yolo(tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_yolo_images_in_folders_of_folders(tmp_path):
    yolo(tmp_path)
    picture(tmp_path / "images" / "train" / "more" / "c.png")
    (tmp_path / "labels" / "train" / "more").mkdir()
    (tmp_path / "labels" / "train" / "more" / "c.txt").write_text("1 .5 .5 .1 .1")
    (tmp_path / "labels" / "train" / "classes.txt").write_text("cat\ndog\n")
    assert [len(example.boxes) for example in read(tmp_path)] == [2, 0, 1]


def test_voc_lists_an_image_once(tmp_path):
    voc(tmp_path)
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("a\nb\na\n")
    with pytest.raises(DataError, match="a stands 2 times in the list of train"):
        read(tmp_path)


def test_a_report_can_be_printed(tmp_path):
    file = coco(tmp_path)
    file.write_text(file.read_text().replace("a.png", "\\ud800.png"))
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    str(caught.value).encode()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(MAKERS)), st.binary(max_size=200), st.integers(0, 400))
def test_any_bytes_are_read_or_refused(tmp_path_factory, format, raw, place):
    root = tmp_path_factory.mktemp("fuzz")
    file = MAKERS[format](root)
    whole = file.read_bytes()
    for spoiled in (raw, whole[:place] + raw + whole[place:]):
        file.write_bytes(spoiled)
        try:
            found = read(root, format)
        except UserError:
            continue
        assert all(np.isfinite(example.boxes).all() for example in found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["images", "annotations", "categories"]),
    st.sampled_from(["id", "file_name", "image_id", "category_id", "bbox", "name", None]),
    JSON,
)
def test_any_json_is_read_or_refused(tmp_path_factory, section, key, value):
    root = tmp_path_factory.mktemp("fuzz")
    file = coco(root)
    data = json.loads(file.read_text())
    if key is None:
        data[section] = value
    else:
        data[section][0][key] = value
    file.write_text(json.dumps(data))
    with contextlib.suppress(UserError):
        read(root)


@needs_data
@pytest.mark.parametrize(("split", "count"), [("train", 205), ("val", 87), ("test", 72)])
def test_blood_cells(split, count):
    found = read(SHARED / "bccd", split=split, invalid_boxes="drop")
    assert len(found) == count
    assert found.class_map.names == ("Platelets", "RBC", "WBC")


@needs_data
def test_blood_cells_have_two_boxes_without_area():
    with pytest.raises(DataError, match=r"BloodImage_00343.xml:55: box \(181, 329, 181, 329\)"):
        read(SHARED / "bccd")


@needs_data
def test_raccoons_are_split_by_their_names():
    counts = [len(read(SHARED / "raccoon", split=split)) for split in ("train", "val", "test")]
    assert sum(counts) == 200
    assert counts == [170, 19, 11]
