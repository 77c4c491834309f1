"""Readers: equal results for all formats, errors with file and line, and random bytes."""

import contextlib
import importlib
import json

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask
from tests.shared import shared

from visiongarden.data import Loader, cache, decode, from_source, read
from visiongarden.data.sample_table import SampleTable
from visiongarden.errors import DataError, UserError
from visiongarden.samples import masks, unknown_keys
from visiongarden.storage.header import header_of_bytes, image_size

reading = importlib.import_module("visiongarden.data.readers.reading")

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


def csv(root):
    picture(root / "images" / "a.png"), picture(root / "images" / "b.png")
    rows = [f"a.png,{','.join(map(str, box))},{name}" for name, box in BOXES]
    (root / "train.csv").write_text("\n".join([*rows, "b.png,,,,,", ""]))
    return root / "train.csv"


MAKERS = {"COCO": coco, "YOLO": yolo, "VOC": voc, "CSV": csv}


@pytest.mark.parametrize("reader", MAKERS)
@pytest.mark.parametrize("asked", ["auto", None])
def test_the_formats_give_equal_results(tmp_path, reader, asked):
    MAKERS[reader](tmp_path)
    found = read(tmp_path, reader=asked or reader)
    assert found.class_map.names == ("cat", "dog")
    assert len(found) == 2
    np.testing.assert_allclose(found.row(0).boxes, [box for _, box in BOXES], atol=1e-4)
    assert found.row(0).classes.tolist() == [0, 1]
    assert found.row(0).size == (30, 40)
    assert found.row(1).boxes.shape == (0, 4)
    assert found.load(1).image.shape == (30, 40, 3)


def test_coco_keeps_ids_with_gaps_and_crowds(tmp_path):
    coco(tmp_path)
    found = read(tmp_path)
    assert found.class_map.ids == (3, 18)
    assert found.row(0).crowd.tolist() == [False, True]


def edited(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def with_mask(file, segmentation):
    data = json.loads(file.read_text())
    data["annotations"][0]["segmentation"] = segmentation
    file.write_text(json.dumps(data))


ERRORS = [
    ("COCO", lambda f: edited(f, '"category_id": 3', '"category_id": 4'), "annotations[0]", "4"),
    ("COCO", lambda f: edited(f, '"image_id": 7', '"image_id": 70'), "annotations[0]", "70"),
    ("COCO", lambda f: edited(f, "[4, 6, 16, 20]", "[4, 6, 0, 20]"), "annotations[0]", "no area"),
    ("COCO", lambda f: edited(f, "[4, 6, 16, 20]", "[4, 6, 90, 20]"), "annotations[0]", "outside"),
    ("COCO", lambda f: edited(f, "[4, 6, 16, 20]", "[4, NaN, 9, 20]"), "annotations[0]", "finite"),
    ("COCO", lambda f: edited(f, "[4, 6, 16, 20]", '["4", 6]'), "annotations[0]", "four numbers"),
    ("COCO", lambda f: edited(f, '"width": 40', '"width": 41'), "images[0]", "41 × 30"),
    ("COCO", lambda f: f.write_text(f.read_text()[:-9]), "line 1, column", "invalid JSON"),
    ("COCO", lambda f: edited(f, '"categories"', '"cats"'), "train.json", "categories"),
    ("YOLO", lambda f: edited(f, "0 0.3", "2 0.3"), "a.txt:1", "0 to 1"),
    ("YOLO", lambda f: edited(f, "0 0.3", "-1 0.3"), "a.txt:1", "class -1"),
    ("YOLO", lambda f: edited(f, "0 0.3", "0 9 0.3"), "a.txt:1", "6 values"),
    ("YOLO", lambda f: edited(f, "0 0.3", "cat 0.3"), "a.txt:1", "not numbers"),
    ("YOLO", lambda f: edited(f, "0 0.3", "0 nan"), "a.txt:1", "not finite"),
    ("YOLO", lambda f: edited(f, "1 0.5 0.5", "1 20 15"), "a.txt:2", "pixels"),
    ("YOLO", lambda f: edited(f, "1 0.5 0.5", "1 0.7 0.5"), "a.txt:2", "outside"),
    ("YOLO", lambda f: f.write_bytes(b"\xff\xfe\x00"), "a.txt", "not UTF-8"),
    ("YOLO", lambda f: edited(f, "0 0.3", "0 .1 .1 .9 0.3"), "a.txt:1", "8 values"),
    ("COCO", lambda f: with_mask(f, [[1, 2, 3, 4]]), "annotations[0]", "pairs of numbers"),
    ("COCO", lambda f: with_mask(f, [[1, 2, 3, 4, 5, None]]), "annotations[0]", "finite"),
    ("COCO", lambda f: with_mask(f, {"counts": [5], "size": [9, 9]}), "annotations[0]", "40 × 30"),
    ("COCO", lambda f: with_mask(f, {"counts": [5], "size": [30, 40]}), "annotations[0]", "fill"),
    ("CSV", lambda f: edited(f, "4,6,20,26", "4,6,4,26"), "train.csv:1", "no area"),
    ("CSV", lambda f: edited(f, "4,6,20,26", "4,6,90,26"), "train.csv:1", "outside"),
    ("CSV", lambda f: edited(f, "4,6,20,26", "4,six,20,26"), "train.csv:1", "four numbers"),
    ("CSV", lambda f: edited(f, "4,6,20,26,cat", "4,6"), "train.csv:1", "3 values"),
    ("CSV", lambda f: edited(f, "4,6,20,26,cat", ",,,,cat"), "train.csv:1", "four numbers"),
    ("CSV", lambda f: f.write_bytes(b"\xff\xfe"), "train.csv", "not UTF-8"),
    ("VOC", lambda f: edited(f, "<xmax>20<", "<xmax>4<"), "a.xml:5", "no area"),
    ("VOC", lambda f: edited(f, "<xmax>20<", "<xmax>90<"), "a.xml:5", "outside"),
    ("VOC", lambda f: edited(f, "<xmax>20</xmax>", ""), "a.xml:5", "xmax"),
    ("VOC", lambda f: edited(f, "<name>cat", "<name>"), "a.xml:3", "class ''"),
    ("VOC", lambda f: edited(f, "</object>", "</objekt>"), "a.xml:6", "mismatched tag"),
    ("VOC", lambda f: edited(f, "<width>40", "<width>80"), "a.xml:2", "80 × 30"),
    ("VOC", lambda f: f.write_text("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"), "a.xml:1", "type"),
    ("VOC", lambda f: f.write_text("<a>" * 99 + "</a>" * 99), "a.xml:1", "deeply"),
    ("VOC", lambda f: f.unlink(), "a.xml", "no such file"),
]


@pytest.mark.parametrize(("reader", "spoil", "place", "word"), ERRORS)
def test_errors_name_file_and_place(tmp_path, reader, spoil, place, word):
    spoil(MAKERS[reader](tmp_path))
    with pytest.raises(DataError) as error:
        read(tmp_path, reader=reader)
    assert place in str(error.value)
    assert word in str(error.value)


@pytest.mark.parametrize("reader", MAKERS)
@pytest.mark.parametrize("spoil", ["missing", "no image"])
def test_a_file_that_is_not_an_image(tmp_path, reader, spoil):
    MAKERS[reader](tmp_path)
    image = next(tmp_path.rglob("b.png"))
    if spoil == "missing":
        image.unlink()
        if reader == "YOLO":
            (tmp_path / "list.txt").write_text("images/train/a.png\nimages/train/b.png\n")
            edited(tmp_path / "data.yaml", "images/train", "list.txt")
    else:
        image.write_bytes(b"hello")
    with pytest.raises(DataError) as error:
        read(tmp_path, reader=reader)
    assert "b.png" in str(error.value) or "b.xml" in str(error.value)


@pytest.mark.parametrize("reader", MAKERS)
def test_dropping_is_asked_for_and_listed(tmp_path, reader):
    file = MAKERS[reader](tmp_path)
    old, new = {
        "COCO": ("[4, 6, 16, 20]", "[4, 6, 0, 20]"),
        "YOLO": ("0 0.3", "0 0.9"),
        "CSV": ("4,6,20,26", "4,6,4,26"),
        "VOC": ("<xmax>20<", "<xmax>4<"),
    }[reader]
    edited(file, old, new)
    with pytest.raises(DataError, match="invalid_boxes='drop'"):
        read(tmp_path, reader=reader)
    found = read(tmp_path, reader=reader, invalid_boxes="drop")
    assert found.row(0).classes.tolist() == [1]
    assert len(found.dropped) == 1
    assert file.name in found.dropped[0]


def test_one_pixel_beyond_the_border_is_clipped(tmp_path):
    edited(voc(tmp_path), "<xmax>40<", "<xmax>41<")
    assert read(tmp_path).row(0).boxes[1].tolist() == [0, 0, 40, 30]


def test_one_based_corners(tmp_path):
    voc(tmp_path)
    assert read(tmp_path, reader={"type": "VOC", "one_based": True}).row(0).boxes[0].tolist() == [
        3,
        5,
        20,
        26,
    ]


def test_a_report_names_all_and_counts_the_rest(tmp_path):
    file = yolo(tmp_path)
    file.write_text("5 0.5 0.5 0.1 0.1\n" * 14)
    with pytest.raises(DataError) as error:
        read(tmp_path)
    assert "has 14 errors" in str(error.value)
    assert "… and 4 more" in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reader": "cocoo"}, "did you mean COCO"),
        ({"reader": "coco"}, "reader='COCO'"),
        ({"reader": "folders"}, "did you mean .*ClassFolders"),
        ({"reader": {"type": "COCO", "one_based": True}}, "one_based"),
        ({"reader": {"one_based": True}}, "reader has no type"),
        ({"reader": 3}, "reader is of type int"),
        ({"split": "dev"}, "the splits are train"),
        ({"invalid_boxes": "ignore"}, '"error" or "drop"'),
        ({"class_names": []}, "class_names is empty"),
        ({"class_names": ["cat", "cow"]}, "cow"),
    ],
)
def test_arguments(tmp_path, arguments, message):
    coco(tmp_path)
    with pytest.raises(UserError, match=message):
        read(tmp_path, **arguments)


def test_no_dataset(tmp_path):
    with pytest.raises(DataError, match=r"the dataset .* does not exist"):
        read(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"the format of .* cannot be determined"):
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


def class_beyond(digits):
    def spoil(root):
        (root / "labels" / "train" / "a.txt").write_text("9" * digits + " .5 .5 .1 .1")

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (class_beyond(30), "9{30} is outside the class map"),
        (class_beyond(5000), "not numbers: 9"),
        (two_endings, "a.png and a.jpg share one name"),
        (label_without_image, "lost.txt: the label file has no image"),
        (label_that_is_a_folder, "b.txt: there is no such file"),
        (no_image, "split 'train' has no image"),
        (long_name, "cannot be read"),
        (listed_twice, "a.png appears 2 times in train"),
    ],
)
def test_yolo_values_are_not_ignored_silently(tmp_path, spoil, message):
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
    assert [len(example.boxes) for example in read(tmp_path).rows()] == [2, 0, 1]


def test_voc_lists_an_image_once(tmp_path):
    voc(tmp_path)
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("a\nb\na\n")
    with pytest.raises(DataError, match="a appears 2 times in the list of train"):
        read(tmp_path)


def test_a_report_can_be_printed(tmp_path):
    file = coco(tmp_path)
    file.write_text(file.read_text().replace("a.png", "\\ud800.png"))
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    str(caught.value).encode()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(MAKERS)), st.binary(max_size=200), st.integers(0, 400))
def test_any_bytes_are_read_or_refused(tmp_path_factory, reader, raw, place):
    root = tmp_path_factory.mktemp("fuzz")
    file = MAKERS[reader](root)
    whole = file.read_bytes()
    for spoiled in (raw, whole[:place] + raw + whole[place:]):
        file.write_bytes(spoiled)
        try:
            found = read(root, reader=reader)
        except UserError:
            continue
        assert all(np.isfinite(example.boxes).all() for example in found.rows())


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


@pytest.mark.parametrize(("split", "count"), [("train", 205), ("val", 87), ("test", 72)])
def test_blood_cells(split, count):
    found = read(shared("data", "bccd"), split=split, invalid_boxes="drop")
    assert len(found) == count
    assert found.class_map.names == ("Platelets", "RBC", "WBC")


def test_blood_cells_have_two_boxes_without_area():
    with pytest.raises(DataError, match=r"BloodImage_00343.xml:55: box \(181, 329, 181, 329\)"):
        read(shared("data", "bccd"))


def test_raccoons_are_split_by_their_names():
    counts = [
        len(read(shared("data", "raccoon"), split=split)) for split in ("train", "val", "test")
    ]
    assert sum(counts) == 200
    assert counts == [170, 19, 11]


def test_polygons_of_yolo(tmp_path):
    file = yolo(tmp_path)
    file.write_text("1 0.1 0.2 0.5 0.2 0.5 0.8\n0 0.5 0.5 0.2 0.2\n")
    found = read(tmp_path).row(0)
    np.testing.assert_allclose(found.boxes, [[4, 6, 20, 24], [16, 12, 24, 18]], atol=1e-4)
    assert found.polygons[1] is None
    np.testing.assert_allclose(found.polygons[0][0], [[4, 6], [20, 6], [20, 24]], atol=1e-4)


@given(st.integers(0, 10**6), st.booleans())
def test_run_lengths_are_those_of_coco(seed, packed):
    size = (7, 11)
    mask = np.random.default_rng(seed).random(size) < 0.4
    if packed:
        counts = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    else:
        counts = _runs(mask)
    np.testing.assert_array_equal(masks.from_rle(counts, size), mask)


def _runs(mask):
    runs, last = [0], False
    for value in mask.T.ravel().tolist():
        if value != last:
            runs.append(0)
            last = value
        runs[-1] += 1
    return runs


KEYS = {
    "id": 12,
    "area": 123.5,
    "keypoints": [5, 7, 2, 0, 0, 0],
    "num_keypoints": 1,
    "attributes": {"Größe": None, "list": [1, "a"]},
}


def test_areas_and_unknown_keys_are_kept(tmp_path):
    file = coco(tmp_path)
    data = json.loads(file.read_text())
    data["annotations"][0] |= KEYS
    data["annotations"][0]["bbox"] = [4.1, 6.3, 15.7, 19.9]
    data["annotations"][1]["area"] = None
    data["images"][0]["license"] = 4
    data["info"], data["licenses"] = {"year": 2026}, [{"id": 4}]
    data["categories"][0] |= {"supercategory": "animal", "skeleton": [[1, 2]]}
    file.write_text(json.dumps(data))
    found = read(tmp_path)
    np.testing.assert_array_equal(found.row(0).area, [123.5, np.nan])
    image, objects = unknown_keys.unpack(found.row(0).unknown, 2)
    assert image == {"id": 7, "license": 4}
    expected = {k: KEYS[k] for k in ("id", "attributes")}
    # What float32 corners do not give again is kept as it is.
    assert objects == [expected | {"bbox": [4.1, 6.3, 15.7, 19.9]}, {"id": 1}]
    assert found.extra == {"info": {"year": 2026}, "licenses": [{"id": 4}]}
    assert found.categories == ({}, {"supercategory": "animal", "skeleton": [[1, 2]]})
    assert unknown_keys.unpack(found.row(1).unknown, 0) == ({"id": 9}, [])
    again = SampleTable.from_bytes(found.samples.to_bytes())
    for one, other in zip(found.rows(), map(again.row, range(2)), strict=True):
        assert one.unknown == other.unknown
        np.testing.assert_array_equal(one.area, other.area)


@pytest.mark.parametrize(
    ("points", "kind"),
    [
        ([4, 6, 20, 6.5, 12, 26], np.float32),
        ([4.1, 6.37, 20, 6, 12, 26.123], np.float32),
        ([4.1, 6.37, 20, 6, 12, 26.12345678901], np.float64),
    ],
)
def test_points_are_exact(tmp_path, points, kind):
    with_mask(coco(tmp_path), [points])
    found = read(tmp_path)
    assert found.samples.arrays["points"].dtype == kind
    assert found.row(0).polygons[0][0].ravel().tolist() == points
    again = SampleTable.from_bytes(found.samples.to_bytes())
    assert again.row(0).polygons[0][0].ravel().tolist() == points


def test_a_polygon_without_a_list_around_it_is_one(tmp_path):
    with_mask(coco(tmp_path), [4, 6, 20, 6, 12, 26])
    (ring,) = read(tmp_path).row(0).polygons[0]
    assert ring.tolist() == [[4, 6], [20, 6], [12, 26]]


@pytest.mark.parametrize("area", [-1, "12", float("nan"), [3], True])
def test_invalid_areas(tmp_path, area):
    file = coco(tmp_path)
    data = json.loads(file.read_text())
    data["annotations"][0]["area"] = area
    file.write_text(json.dumps(data))
    with pytest.raises(DataError, match=r"`area` is .*; expected a number of at least 0"):
        read(tmp_path)


def test_masks_in_run_lengths(tmp_path):
    file = coco(tmp_path)
    mask = np.zeros((30, 40), bool)
    mask[6:26, 4:20] = True
    mask[10:14, 8:12] = False
    with_mask(file, {"counts": _runs(mask), "size": [30, 40]})
    found = read(tmp_path).row(0)
    np.testing.assert_array_equal(masks.fill(found.polygons[0], (30, 40)), mask)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("path,x1,y1,x2,y2,class", "a.png,4,6,20,26,cat"),
        ("filename,width,height,class,xmin,ymin,xmax,ymax", "a.png,40,30,cat,4,6,20,26"),
        ("split,image,label,left,top,right,bottom", "train,a.png,cat,4,6,20,26"),
    ],
)
def test_headers_of_csv(tmp_path, header, row):
    csv(tmp_path)
    (tmp_path / "train.csv").write_text(f"{header}\n{row}\n")
    found = read(tmp_path)
    assert found.class_map.names == ("cat",)
    assert found.row(0).boxes.tolist() == [[4, 6, 20, 26]]


def test_one_csv_for_all_splits(tmp_path):
    csv(tmp_path)
    (tmp_path / "train.csv").unlink()
    (tmp_path / "labels.csv").write_text(
        "path,x1,y1,x2,y2,class,split\na.png,4,6,20,26,cat,train\nb.png,1,1,9,9,dog,val\n"
    )
    for split, label in (("train", 0), ("val", 1)):
        found = read(tmp_path, split=split)
        assert found.class_map.names == ("cat", "dog")
        assert [e.classes.tolist() for e in found.rows()] == [[label]]
    with pytest.raises(DataError, match="the splits are train, val"):
        read(tmp_path, split="test")


def test_classes_in_their_own_order(tmp_path):
    voc(tmp_path)
    (tmp_path / "classes.txt").write_text("zebra\ndog\ncat\n")
    found = read(tmp_path)
    assert found.class_map.names == ("zebra", "dog", "cat")
    assert found.row(0).classes.tolist() == [2, 1]


def test_fractions_in_place_of_pixels(tmp_path):
    file = csv(tmp_path)
    file.write_text("".join(f"a.png,0.1,0.2,0.{n},0.8,cat\n" for n in range(3, 8)))
    with pytest.raises(DataError, match="what look like fractions of the image size"):
        read(tmp_path)


RECORD = {
    "image": np.zeros((30, 40, 3), np.uint8),
    "objects": {"bbox": [[0.2, 0.1, 0.8, 0.5]], "label": [1], "is_crowd": [False]},
}


def test_a_source_is_read_as_it_is_needed():
    asked = []

    class Source:
        def __len__(self):
            return 100_000

        def __getitem__(self, index):
            asked.append(index)
            return RECORD

    found = from_source(Source(), ["cat", "dog"], max_boxes=5)
    one = Loader(found, (32, 32), 2, [], shuffle=True)
    assert (len(one), one.capacity, asked) == (50_000, 5, [])
    example = found.load(7)
    objects = example.instances
    np.testing.assert_allclose(objects.boxes, [[4, 6, 20, 24]], atol=1e-4)
    assert (objects.classes.tolist(), example.info.original_size, asked) == ([1], (30, 40), [7])
    batch = next(one.epoch(0))
    assert batch.images.shape == (2, 32, 32, 3)
    assert len(asked) < 200


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "does not have both `image` and `objects`"),
        (RECORD | {"image": b"no"}, "not an image"),
        (RECORD | {"image": np.zeros((3, 4))}, "not an RGB image"),
        (RECORD | {"objects": {"bbox": [[0, 0, 1, 1]] * 9, "label": [0] * 9}}, "at most"),
        (RECORD | {"objects": {"bbox": [[0, 0, 1, 1]], "label": [2]}}, "outside the class map"),
        (RECORD | {"objects": {"bbox": [[0, 0, 9, 9]], "label": [0]}}, "is outside"),
    ],
)
def test_invalid_records(record, message):
    found = from_source([record], ["cat", "dog"], max_boxes=5)
    with pytest.raises(DataError, match=f"record 0: .*{message}|{message}"):
        found.load(0)


def test_areas_and_unknown_keys_are_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("VISIONGARDEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "LARGE", 2)
    monkeypatch.setattr(cache, "CLOCK_TICK", 0)  # the files were written just now
    file = coco(tmp_path / "set")
    data = json.loads(file.read_text())
    data["annotations"][0] |= {"area": 99.5, "segmentation": [[4.1, 6, 20, 6, 12, 26]]}
    data["info"], data["categories"][0]["color"] = {"year": 2026}, "rot"
    file.write_text(json.dumps(data))
    first = read(tmp_path / "set")
    monkeypatch.setattr(reading, "gather", None)  # from here on nothing can be read
    again = read(tmp_path / "set")
    assert again.extra == first.extra == {"info": {"year": 2026}}
    assert again.categories == first.categories == ({}, {"color": "rot"})
    for a, b in zip(first.rows(), again.rows(), strict=True):
        assert a.unknown == b.unknown
        np.testing.assert_array_equal(a.area, b.area)
    assert again.row(0).polygons[0][0].ravel().tolist() == [4.1, 6, 20, 6, 12, 26]


def test_labels_are_cached_until_a_file_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("VISIONGARDEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "LARGE", 2)
    monkeypatch.setattr(cache, "CLOCK_TICK", 0)  # the files were written just now
    file = yolo(tmp_path / "set")
    first = read(tmp_path / "set")
    entries = list((tmp_path / "cache" / "indexes").iterdir())
    assert len(entries) == 1
    monkeypatch.setattr(reading, "gather", None)  # from here on nothing can be read
    again = read(tmp_path / "set")
    assert again.class_map == first.class_map
    for a, b in zip(first.rows(), again.rows(), strict=True):
        np.testing.assert_array_equal(a.boxes, b.boxes)
        assert (a.path, a.size) == (b.path, b.size)
    assert again.load(0).image.shape == (30, 40, 3)
    with pytest.raises(TypeError):
        read(tmp_path / "set", invalid_boxes="drop")
    spoiled = entries[0].read_bytes()
    entries[0].write_bytes(spoiled[:-3] + b"abc")
    with pytest.raises(TypeError):
        read(tmp_path / "set")
    entries[0].write_bytes(spoiled)
    read(tmp_path / "set")
    file.write_text("1 0.5 0.5 0.1 0.1\n")
    with pytest.raises(TypeError):
        read(tmp_path / "set")
    monkeypatch.undo()
    monkeypatch.setenv("VISIONGARDEN_CACHE", str(tmp_path / "cache"))
    assert read(tmp_path / "set").row(0).classes.tolist() == [1]


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    monkeypatch.setenv("VISIONGARDEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "LARGE", 2)
    monkeypatch.setattr(cache, "CLOCK_TICK", 0)
    file, gather = yolo(tmp_path / "set"), reading.gather

    def edited_meanwhile(*given):
        found = gather(*given)
        file.write_text("1 0.5 0.5 0.1 0.1\n")
        return found

    monkeypatch.setattr(reading, "gather", edited_meanwhile)
    assert len(read(tmp_path / "set").row(0).classes) == 2
    monkeypatch.setattr(reading, "gather", gather)
    assert read(tmp_path / "set").row(0).classes.tolist() == [1]


@pytest.mark.parametrize("sizes", ["width,height", "height,width"])
def test_sizes_in_a_table_are_numbers(tmp_path, sizes):
    picture(tmp_path / "a.png")
    stated = {"width": "40.0", "height": "030"}
    rows = ["filename,xmin,ymin,xmax,ymax,class," + sizes]
    rows.append("a.png,4,6,20,26,cat," + ",".join(stated[name] for name in sizes.split(",")))
    (tmp_path / "train.csv").write_text("\n".join(rows))
    assert read(tmp_path).row(0).boxes.tolist() == [[4, 6, 20, 26]]
    (tmp_path / "train.csv").write_text("\n".join(rows).replace("40.0", "41"))
    with pytest.raises(DataError, match="41"):
        read(tmp_path)


@settings(max_examples=150)
@given(st.binary(max_size=300), st.integers(0, 700), st.sampled_from([".jpg", ".png"]))
def test_any_header_is_read_or_refused(raw, place, ending):
    whole = cv2.imencode(ending, np.zeros((30, 40, 3), np.uint8))[1].tobytes()
    for spoiled in (raw, whole[:place] + raw + whole[place + len(raw) :], whole[:place]):
        with contextlib.suppress(DataError):
            height, width = header_of_bytes(spoiled, "a").size
            assert height > 0
            assert width > 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_headers_agree_with_what_is_decoded(tmp_path, orientation, ending):
    tags = Image.Exif()
    tags[0x0112] = orientation
    path = tmp_path / f"a.{ending}"
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(path, exif=tags)
    assert image_size(path) == decode(path).shape[:2]
