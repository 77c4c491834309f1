"""Written datasets are read back equal: masks, areas, unknown keys, splits."""

import contextlib
import io
import json
import math

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from visiongarden.data import read
from visiongarden.data.writers import COCOWriter
from visiongarden.doctor import convert_dataset, fix
from visiongarden.errors import DataError
from visiongarden.samples import masks, unknown_keys

SIZE = (24, 32)
NAMES = ["Hund", "кот", "a cow & calf"]
LARGE = {"bbox": [1, 1, 30, 20], "category_id": 4, "iscrowd": 0}


READERS = {"coco": "COCO", "yolo": "YOLO", "voc": "VOC", "csv": "CSV", "dota": "DOTA"}


def convert(source, target, format):
    return list(convert_dataset(source, target, format=format).lost)


def write_coco(root, splits, categories=None, top=None):
    """Splits: name -> list of (file name, annotations, keys of the image)."""
    (root / "annotations").mkdir(parents=True)
    seed = 0
    for split, images in splits.items():
        data = {**(top or {}), "images": [], "annotations": []}
        data["categories"] = categories or [
            {"id": 3 * i + 1, "name": name} for i, name in enumerate(NAMES)
        ]
        for number, (name, annotations, keys) in enumerate(images):
            path = root / "images" / split / name
            path.parent.mkdir(parents=True, exist_ok=True)
            seed += 1
            pixels = np.random.default_rng(seed).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
            path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
            data["images"].append({"id": number + 5, "file_name": name} | keys)
            for row in annotations:
                number_of = {"id": len(data["annotations"]) + 1, "image_id": number + 5}
                data["annotations"].append(number_of | row)
        text = json.dumps(data, ensure_ascii=False)
        (root / "annotations" / f"instances_{split}.json").write_text(text, encoding="utf-8")
    return root


def rows_of(root, split):
    """File name -> annotations, and the file's other keys."""
    data = json.loads((root / "annotations" / f"instances_{split}.json").read_text())
    names = {image["id"]: image["file_name"] for image in data["images"]}
    rows = {name: [] for name in names.values()}
    for row in data.pop("annotations"):
        rows[names[row["image_id"]]].append(row)
    return rows, data


def decoded(segmentation, size=SIZE):
    if isinstance(segmentation, dict):
        found = segmentation
        if isinstance(found["counts"], list):
            found = coco_mask.frPyObjects(found, *size)
    else:
        found = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
    return coco_mask.decode(found).astype(bool)


def run_lengths(mask, packed):
    if packed:
        found = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        return {"size": list(mask.shape), "counts": found["counts"].decode()}
    counts, last = [0], False
    for value in mask.T.ravel().tolist():
        if value != last:
            counts.append(0)
            last = value
        counts[-1] += 1
    return {"size": list(mask.shape), "counts": counts}


def box_of(mask):
    rows, columns = np.nonzero(mask)
    left, top = int(columns.min()), int(rows.min())
    return [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top]


coordinates = st.one_of(st.integers(0, 24), st.floats(0, 24).map(lambda v: round(v, 2)))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)
own_keys = st.dictionaries(
    st.sampled_from(["attributes", "track", "größe", "score", "text"]), values, max_size=2
)


@st.composite
def boxes(draw):
    x, y = draw(coordinates), draw(st.floats(0, 16).map(lambda v: round(v, 2)))
    return {"bbox": [x, y, draw(st.floats(1, 32 - x)), draw(st.floats(1, 24 - y))]}


@st.composite
def polygons(draw):
    """One to three parts, which may overlap, each of some winding."""
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        x, y = draw(st.floats(0, 20)), draw(st.floats(0, 14))
        w, h = draw(st.floats(2, 12)), draw(st.floats(2, 10))
        corners = [(x, y), (x + w, y), (x + w, y + h), (x + w / 3, y + h / 2), (x, y + h)]
        if draw(st.booleans()):
            corners = [(round(a), round(b)) for a, b in corners]
        parts.append([v for corner in corners[:: draw(st.sampled_from([1, -1]))] for v in corner])
    points = np.concatenate([np.reshape(part, (-1, 2)) for part in parts])
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    area = float(decoded(parts).sum()) if draw(st.booleans()) else draw(st.floats(0, 900))
    return {"bbox": [x1, y1, x2 - x1, y2 - y1], "segmentation": parts, "area": area}


@st.composite
def encoded_masks(draw):
    """Run lengths with holes, of several parts, also one pixel thin; crowds too."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    mask = np.zeros(SIZE, bool)
    for _ in range(draw(st.integers(1, 3))):
        y, x = rng.integers(0, 20), rng.integers(0, 28)
        mask[y : y + rng.integers(1, 9), x : x + rng.integers(1, 9)] = True
    if draw(st.booleans()):
        mask &= rng.random(SIZE) < 0.8
        mask[5, 6] = True
    row = {"bbox": box_of(mask), "segmentation": run_lengths(mask, draw(st.booleans()))}
    return row | {"area": float(mask.sum()), "iscrowd": draw(st.integers(0, 1))}


@st.composite
def keypoints(draw):
    points = draw(st.lists(st.integers(0, 20), min_size=6, max_size=6))
    points[2], points[5] = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    row = draw(boxes())
    return row | {"keypoints": points, "num_keypoints": sum(v > 0 for v in points[2::3])}


@st.composite
def annotations(draw):
    row = draw(st.one_of(boxes(), polygons(), encoded_masks(), keypoints()))
    row.setdefault("iscrowd", 0)
    row["category_id"] = draw(st.sampled_from([1, 4, 7]))
    return draw(own_keys) | row


images = st.lists(
    st.tuples(st.lists(annotations(), max_size=3), st.dictionaries(
        st.sampled_from(["license", "date_captured"]), values, max_size=1)),
    max_size=2,
)  # fmt: skip
files = st.tuples(images, images, st.dictionaries(st.sampled_from(["info", "licenses"]), values))


def splits_of(train, val):
    named = {"train": [([LARGE], {}), *train], "val": val}
    names = ["große Straße", "b", "猫"]
    return {
        split: [(f"{names[i]}{split}.png", rows, keys) for i, (rows, keys) in enumerate(found)]
        for split, found in named.items()
        if found
    }


def assert_equal(source, target, split):
    """Every key of every annotation is as it was; what COCO requires may be added."""
    (rows, top), (again, top_again) = rows_of(source, split), rows_of(target, split)
    assert {k: v for k, v in top.items() if k != "images"} == {
        k: v for k, v in top_again.items() if k != "images"
    }
    assert rows.keys() == again.keys()
    for one, other in zip(top["images"], top_again["images"], strict=True):
        assert one.items() <= other.items()
    for name, found in rows.items():
        assert len(found) == len(again[name])
        for one, other in zip(found, again[name], strict=True):
            assert {key: other.get(key) for key in one} == one
            if one.get("segmentation"):
                np.testing.assert_array_equal(
                    decoded(one["segmentation"]), decoded(other["segmentation"])
                )
            assert other["area"] >= 0


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files)
def test_coco_keeps_everything(tmp_path_factory, content):
    root = tmp_path_factory.mktemp("write")
    source = write_coco(root / "source", splits_of(*content[:2]), top=content[2])
    assert convert(source, root / "copy", "coco") == []
    assert convert(source, root / "shards", "arrayrecord") == []
    assert convert(root / "shards", root / "back", "coco") == []
    for split in splits_of(*content[:2]):
        assert_equal(source, root / "copy", split)
        assert_equal(source, root / "back", split)
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO(str(root / "copy" / "annotations" / "instances_train.json"))
    for row in ground_truth.anns.values():
        if row.get("segmentation"):
            assert ground_truth.annToMask(row).shape == SIZE


KEPT_OUTSIDE = {"id", "bbox", "segmentation", "image_id", "category_id", "iscrowd", "area"}


@pytest.mark.slow
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files, st.sampled_from(["yolo", "voc", "csv"]))
def test_others_keep_it_or_list_it(tmp_path_factory, content, to):
    root = tmp_path_factory.mktemp("write")
    splits = splits_of(*content[:2])
    source = write_coco(root / "source", splits, top=content[2])
    lost = convert(source, root / "copy", to)
    for split in splits:
        first = read(source, split=split)
        second = read(root / "copy", split=split, reader=READERS[to])
        assert first.class_map.names == second.class_map.names
        order = {second.image_path(i).name: i for i in range(len(second))}
        for one in first.rows():
            other = second.row(order[one.path.name])
            dropped = [
                line.removeprefix(f"{one.path.name}: ")
                for line in lost
                if line.startswith(f"{one.path.name}: ")
            ]
            assert_kept(one, other, dropped)
        for key in content[2]:
            assert second.extra.get(key, math.nan) == content[2][key] or any(
                line.startswith(f"{split}: `{key}`") for line in lost
            )


def assert_kept(one, other, dropped):
    np.testing.assert_array_equal(one.classes, other.classes)
    moved = sum("exceeds its mask by less than a pixel" in what for what in dropped)
    off = np.abs(one.boxes - other.boxes).max(axis=1, initial=0)
    assert (off <= 1).all()
    assert (off > 2e-3).sum() <= moved
    crowds = sum(what == "a crowd region that becomes an object" for what in dropped)
    assert one.crowd.sum() == other.crowd.sum() + crowds
    pairs = zip(
        one.polygons or [None] * len(one.boxes),
        other.polygons or [None] * len(one.boxes),
        strict=True,
    )
    gone = 0
    for a, b in pairs:
        gone += a is not None and b is None
        assert a is not None or b is None  # a box never becomes a polygon
        if a is not None and b is not None:
            difference = masks.fill(a, SIZE) ^ masks.fill(b, SIZE)
            # Nine digits move a point that is between two pixels, or on a sampled line.
            assert difference.sum() <= 3
    assert gone <= sum(what.startswith(("a mask", "the mask")) for what in dropped)
    assert_points_kept(one, other, dropped)
    kept = unknown_keys.unpack(other.unknown, len(other.classes))
    given = unknown_keys.unpack(one.unknown, len(one.classes))
    for keys, again in zip(given[1], kept[1], strict=True):
        for key in set(keys) - KEPT_OUTSIDE - {"keypoints", "num_keypoints"}:
            assert f"`{key}` of an object" in dropped or again[key] == keys[key]
    for key, value in given[0].items():
        if key != "id" and f"`{key}` of the image" not in dropped:
            assert kept[0][key] == value


def assert_points_kept(one, other, dropped):
    labeled = np.zeros(len(one.classes), bool)
    if one.keypoints is not None:
        labeled = (one.keypoints[..., 2] > 0).any(axis=1)
    if labeled.sum() == sum("the keypoints of an object" in what for what in dropped):
        return
    seen = one.keypoints[..., 2] > 0
    np.testing.assert_array_equal(one.keypoints[..., 2], other.keypoints[..., 2])
    np.testing.assert_allclose(one.keypoints[seen], other.keypoints[seen], atol=1e-3)


def keypoint_set(root, rows):
    category = {"id": 1, "name": "beast", "keypoints": ["ear", "tail"], "skeleton": [[1, 2]]}
    return write_coco(root, {"train": [("a.png", rows, {})]}, categories=[category])


POSED = {"bbox": [4, 4, 20, 16], "category_id": 1, "iscrowd": 0, "area": 320,
         "keypoints": [6, 7, 2, 20, 18, 1], "num_keypoints": 2}  # fmt: skip


def test_keypoints_become_pose_labels(tmp_path):
    plain = {"bbox": [1, 2, 8, 8], "category_id": 1, "iscrowd": 0, "area": 64}
    source = keypoint_set(tmp_path / "source", [POSED, plain])
    lost = convert(source, tmp_path / "yolo", "yolo")
    assert lost == [
        "train: the names of the keypoints",
        "train: the skeleton of the keypoints",
    ]
    assert "kpt_shape: [2, 3]" in (tmp_path / "yolo" / "data.yaml").read_text()
    (label,) = (tmp_path / "yolo" / "labels" / "train").iterdir()
    first, second = (line.split() for line in label.read_text().splitlines())
    expected = [14 / 32, 12 / 24, 20 / 32, 16 / 24, 6 / 32, 7 / 24, 2, 20 / 32, 18 / 24, 1]
    np.testing.assert_allclose([float(v) for v in first[1:]], expected, atol=1e-9)
    assert second[5:] == ["0.000000000", "0.000000000", "0"] * 2
    convert(tmp_path / "yolo", tmp_path / "back", "coco")
    rows = rows_of(tmp_path / "back", "train")[0]["a.png"]
    np.testing.assert_allclose(rows[0]["keypoints"], POSED["keypoints"], atol=1e-4)


def test_keypoints_that_a_format_cannot_store_are_listed(tmp_path):
    source = keypoint_set(tmp_path / "source", [POSED, POSED | {"bbox": [1, 1, 30, 20]}])
    result = convert_dataset(source, tmp_path / "csv", format="csv")
    assert result.lost.count("a.png: the keypoints of an object; its box is kept") == 2
    assert "2 × the keypoints of an object; its box is kept (a.png)" in result.summary


MASK = np.zeros(SIZE, bool)
MASK[2:12, 3:15] = True
MASK[5:8, 6:10] = False
MASK[14, 4:30] = True  # a line of one pixel
ROW = {"bbox": box_of(MASK), "segmentation": run_lengths(MASK, True), "area": 134,
       "category_id": 1, "iscrowd": 0}  # fmt: skip


@pytest.mark.parametrize("packed", [True, False])
def test_masks_with_holes_and_parts_survive_yolo(tmp_path, packed):
    row = ROW | {"segmentation": run_lengths(MASK, packed)}
    source = write_coco(tmp_path / "source", {"train": [("a.png", [row], {})]})
    convert(source, tmp_path / "yolo", "yolo")
    found = read(tmp_path / "yolo").row(0)
    np.testing.assert_array_equal(masks.fill(found.polygons[0], SIZE), MASK)
    assert found.boxes.tolist() == [[3, 2, 30, 15]]
    convert(tmp_path / "yolo", tmp_path / "back", "coco")
    (again,) = rows_of(tmp_path / "back", "train")[0]["a.png"]
    assert again["area"] == MASK.sum() == 134
    np.testing.assert_array_equal(decoded(again["segmentation"]), MASK)


def test_files_that_cannot_be_read_back_are_not_written(tmp_path, monkeypatch):
    source = write_coco(tmp_path / "source", {"train": [("a.png", [LARGE, ROW], {})]})
    fill = COCOWriter.fill

    def wrong(self, splits, folder, lost):
        fill(self, splits, folder, lost)
        file = folder / "annotations" / "instances_train.json"
        file.write_text(file.read_text().replace('"area": 134', '"area": 135'))

    monkeypatch.setattr(COCOWriter, "fill", wrong)
    for attempt in (
        lambda: convert(source, tmp_path / "copy", "coco"),
        lambda: fix(source, tmp_path / "copy"),
    ):
        with pytest.raises(DataError, match="the dataset is not written") as error:
            attempt()
        assert "a.png: different areas" in error.value.received
        assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize("to", ["yolo", "voc", "csv"])
def test_boxes_over_the_border_are_listed_where_they_are_cut(tmp_path, to):
    rows = [LARGE, LARGE | {"bbox": [-0.5, 3, 9.5, 9]}]
    source = write_coco(tmp_path / "source", {"train": [("a.png", rows, {})]})
    lost = convert(source, tmp_path / "copy", to)
    assert lost == ["a.png: a box that is clipped to the image"]
    assert read(tmp_path / "copy").row(0).boxes[1].tolist() == pytest.approx([0, 3, 9, 12])
