"""`convert`: written datasets are read back unchanged, or the losses are listed."""

import contextlib
import json
import tarfile
import zipfile

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from visiongarden.data import read
from visiongarden.data.writers import Writer
from visiongarden.doctor import convert_dataset
from visiongarden.errors import DataError, UserError
from visiongarden.samples import masks

SIZE = (30, 40)
NAMES = ["dog", "cat", "a cow & calf"]
MAX_OFF = {"yolo": 1e-3}  # pixels; the others keep every float32


FORMATS = [
    name for name, kind in Writer.by_name().items() if "boxes" in kind.fields and name != "dota"
]


def convert(source, target, format, **arguments):
    return list(convert_dataset(source, target, format=format, **arguments).lost)


def coco(root, splits):
    """Writes splits of images, each a list of (class, box, crowd, polygons)."""
    (root / "annotations").mkdir(parents=True)
    for split, images in splits.items():
        rows = {"images": [], "annotations": []}
        rows["categories"] = [{"id": 3 * i + 1, "name": name} for i, name in enumerate(NAMES)]
        for number, objects in enumerate(images):
            path = root / "images" / split / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((*SIZE, 3), number, np.uint8))
            rows["images"].append({"id": number + 5, "file_name": path.name})
            for index, (x1, y1, x2, y2), crowd, polygons in objects:
                row = {"image_id": number + 5, "category_id": 3 * index + 1, "iscrowd": crowd}
                row["bbox"] = [x1, y1, x2 - x1, y2 - y1]
                rows["annotations"].append(row | ({"segmentation": polygons} if polygons else {}))
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(rows))
    return root


PLAIN = {
    "train": [[(0, (1, 2, 30.5, 20.25), 0, None), (2, (0, 0, 40, 30), 0, None)], []],
    "val": [[(0, (5, 5, 9, 9), 0, None)]],
}
MASKED = {
    "train": [
        [
            (0, (4, 4, 20, 20), 0, [[4, 4, 20, 4, 12, 20]]),
            (1, (2, 2, 38, 28), 0, [[2, 2, 10, 2, 10, 10], [30, 20, 38, 20, 38, 28]]),
            (2, (10, 10, 30, 25), 1, None),
        ]
    ]
}


def assert_same(a, b, max_difference=0.0):
    assert a.class_map.names == b.class_map.names
    assert len(a) == len(b)
    for i in range(len(a)):
        one, other = a.load(i), b.load(i)
        np.testing.assert_array_equal(one.image, other.image)
        first, second = a.row(i), b.row(i)
        np.testing.assert_allclose(first.boxes, second.boxes, atol=max_difference)
        np.testing.assert_array_equal(first.classes, second.classes)


@pytest.mark.parametrize("to", FORMATS)
def test_there_and_back(tmp_path, to):
    source = coco(tmp_path / "source", PLAIN)
    assert convert(source, tmp_path / "there", to) == []
    assert convert(tmp_path / "there", tmp_path / "back", "coco") == []
    for split in PLAIN:
        first = read(source, split=split)
        assert_same(first, read(tmp_path / "there", split=split), MAX_OFF.get(to, 0))
        assert_same(first, read(tmp_path / "back", split=split), MAX_OFF.get(to, 0))
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {"source", "there", "back"}  # nothing half-written is left


@pytest.mark.parametrize(
    ("to", "lost"),
    [
        ("coco", []),
        ("arrayrecord", []),
        ("yolo", ["crowd"]),
        ("voc", ["mask", "mask", "crowd"]),
        ("csv", ["mask", "mask", "crowd"]),
    ],
)
def test_masks_and_crowds(tmp_path, to, lost):
    source = coco(tmp_path / "source", MASKED)
    losses = convert(source, tmp_path / "there", to)
    assert len(losses) == len(lost)
    assert all(word in line for word, line in zip(lost, losses, strict=True))
    first, second = read(source).row(0), read(tmp_path / "there").row(0)
    np.testing.assert_allclose(first.boxes, second.boxes, atol=1e-3)
    assert second.crowd.tolist() == [False, False, not lost]
    if to in ("coco", "arrayrecord", "yolo"):
        for a, b in zip(first.polygons, second.polygons, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                filled = masks.fill(a, SIZE), masks.fill(b, SIZE)
                # Ways of no width between rings still touch pixels where they are filled.
                assert (filled[0] ^ filled[1]).sum() <= (0 if to != "yolo" else 40)
                assert masks.area_of(a) == pytest.approx(masks.area_of(b), rel=0.02)


@st.composite
def objects(draw):
    x1, y1 = draw(st.floats(0, 38)), draw(st.floats(0, 28))
    x2, y2 = draw(st.floats(x1 + 1, 40)), draw(st.floats(y1 + 1, 30))
    return (draw(st.integers(0, 2)), (x1, y1, x2, y2), 0, None)


LARGE = (0, (1.0, 1.0, 30.0, 20.0), 0, None)  # boxes of one pixel alone would look like shares
floats = st.lists(st.lists(objects(), max_size=4), max_size=2).map(lambda i: [[LARGE], *i])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(floats, st.sampled_from(FORMATS))
def test_any_boxes_are_restored(tmp_path_factory, images, to):
    root = tmp_path_factory.mktemp("convert")
    source = coco(root / "source", {"train": images})
    assert convert(source, root / "there", to) == []
    assert_same(read(source), read(root / "there"), MAX_OFF.get(to, 4e-6))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("source", "new", "coko"), "did you mean coco"),
        (("source", "source", "yolo"), "exists already"),
        (("nowhere", "new", "yolo"), "the dataset .* does not exist"),
    ],
)
def test_invalid_arguments(tmp_path, arguments, message):
    coco(tmp_path / "source", PLAIN)
    source, target, to = arguments
    with pytest.raises(UserError, match=message):
        convert(tmp_path / source, tmp_path / target, to)
    assert [p.name for p in tmp_path.iterdir()] == ["source"]


def packed(folder, kind, target):
    if kind == "zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.rglob("*")):
                archive.write(file, file.relative_to(folder.parent))
    else:
        with tarfile.open(target, "w") as archive:
            archive.add(folder, folder.name)
    return target


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("format", ["coco", "yolo", "voc", "csv"])
def test_archives_are_read_where_they_are(tmp_path, kind, format):
    source = coco(tmp_path / "source", PLAIN)
    convert(source, tmp_path / "set", format)
    archive = packed(tmp_path / "set", kind, tmp_path / f"set.{kind}")
    for split in PLAIN:
        found = read(archive, split=split)
        assert_same(read(tmp_path / "set", split=split), found)
        assert archive.name in str(found.image_path(0))
    convert(archive, tmp_path / "out", "arrayrecord")
    assert_same(read(source), read(tmp_path / "out"), 1e-3)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["zip", "tar"]), st.integers(0, 3000), st.binary(min_size=1, max_size=20))
def test_any_archive_is_read_or_refused(tmp_path_factory, kind, place, raw):
    base = tmp_path_factory.getbasetemp() / f"whole-{kind}"
    if not base.exists():
        coco(base / "set", PLAIN)
        packed(base / "set", kind, base / f"set.{kind}")
    whole = (base / f"set.{kind}").read_bytes()
    spoiled = tmp_path_factory.mktemp("fuzz") / f"set.{kind}"
    place %= len(whole)
    spoiled.write_bytes(whole[:place] + raw + whole[place + len(raw) :])
    try:
        found = read(spoiled)
        for i in range(len(found)):
            found.load(i)
    except DataError:
        pass


def test_invalid_archives(tmp_path):
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.yaml", b" " * (600 * 2**20))
    with pytest.raises(DataError, match="unpack to"):
        read(bomb, reader="YOLO")
    (tmp_path / "set.tar.gz").write_bytes(b"")
    with pytest.raises(DataError, match="gzip -d"):
        read(tmp_path / "set.tar.gz")
    with zipfile.ZipFile(tmp_path / "up.zip", "w") as archive:
        archive.writestr("../../data.yaml", "names: [a]")
    with pytest.raises(DataError, match=r"the format of .* cannot be determined"):
        read(tmp_path / "up.zip")


def spoil_json(root):
    (root / "dataset.json").write_text("[" * 100_000)


def spoil_version(root):
    file = root / "dataset.json"
    file.write_text(file.read_text().replace('"version": 2', '"version": 1'))


def spoil_shard(root):
    next(root.glob("train-labels*")).write_bytes(b"\0" * 70_000)


def lose_shard(root):
    next(root.glob("train-images*")).unlink()


@pytest.mark.parametrize("spoil", [spoil_json, spoil_version, spoil_shard, lose_shard])
def test_invalid_shards(tmp_path, spoil):
    convert(coco(tmp_path / "source", PLAIN), tmp_path / "set", "arrayrecord")
    spoil(tmp_path / "set")
    with pytest.raises(DataError):
        read(tmp_path / "set", reader="ArrayRecord")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=9))
def test_any_shard_is_read_or_refused(tmp_path_factory, place, raw):
    base = tmp_path_factory.getbasetemp() / "whole-record"
    if not base.exists():
        coco(base / "source", PLAIN)
        convert(base / "source", base / "set", "arrayrecord")
    folder = tmp_path_factory.mktemp("fuzz")
    for file in (base / "set").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    labels = next(folder.glob("train-labels*"))
    whole = labels.read_bytes()
    place %= len(whole)
    labels.write_bytes(whole[:place] + raw + whole[place + len(raw) :])
    with contextlib.suppress(DataError):
        read(folder)


def test_keys_of_classes_that_are_lost_are_one_line(tmp_path):
    source = coco(tmp_path / "coco", PLAIN)
    for file in (source / "annotations").iterdir():
        data = json.loads(file.read_text())
        for number, category in enumerate(data["categories"]):
            category["supercategory"] = f"kind {number}"
        file.write_text(json.dumps(data))
    found = convert_dataset(source, tmp_path / "yolo", format="yolo")
    assert [line for line in found.summary if "supercategory" in line] == [
        "3 × `supercategory` of a class (dog, cat, a cow & calf)"
    ]
