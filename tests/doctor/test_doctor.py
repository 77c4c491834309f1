"""`diagnose` finds every planted error of a dataset of boxes, and nothing else."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from tests.shared import shared

from visiongarden.data import read
from visiongarden.doctor import KINDS, check_dataset, convert_dataset, diagnose, fix
from visiongarden.errors import DataError, UserError

SIZE = (60, 80)
NAMES = ("ant", "bee", "cow", "dog")


def picture(path, seed, size=SIZE):
    """An image that looks like no other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    cv2.imwrite(str(path), cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC))


def yolo(root):
    """Two splits of four images with a box of each class; a valid dataset."""
    for number, split in enumerate(("train", "val")):
        for i in range(4):
            picture(root / "images" / split / f"{split}{i}.png", 10 * number + i)
            label = root / "labels" / split / f"{split}{i}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            lines = [f"{k} 0.{2 * k + 1} 0.{2 + i} 0.15 0.2" for k in range(4)]
            label.write_text("\n".join(lines) + "\n")
    names = f"train: images/train\nval: images/val\nnames: {list(NAMES)}\n"
    (root / "data.yaml").write_text(names)


def coco(root):
    """The same as COCO JSON."""
    yolo(root)
    for split in ("train", "val"):
        found = read(root, reader="YOLO", split=split)
        rows = {"images": [], "annotations": []}
        rows["categories"] = [{"id": i + 1, "name": name} for i, name in enumerate(NAMES)]
        for i, row in enumerate(found.rows()):
            name = f"images/{split}/{row.path.name}"
            rows["images"].append({"id": i, "file_name": name, "width": 80, "height": 60})
            for (x1, y1, x2, y2), index in zip(row.boxes.tolist(), row.classes, strict=True):
                rows["annotations"].append(
                    {"image_id": i, "category_id": int(index) + 1,
                     "bbox": [x1, y1, x2 - x1, y2 - y1]}
                )  # fmt: skip
        (root / f"{split}.json").write_text(json.dumps(rows))
    (root / "data.yaml").unlink()


def label(root, name="train1"):
    return next((root / "labels").rglob(f"{name}.txt"))


def image(root, name="train1"):
    return next((root / "images").rglob(f"{name}.png"))


def append(line):
    return lambda root: label(root).write_text(label(root).read_text() + line + "\n")


def every_label(change):
    def spoil(root):
        for file in (root / "labels").rglob("*.txt"):
            rows = [line.split() for line in file.read_text().splitlines()]
            rows = [row for line in rows if (row := change(line))]
            file.write_text("".join(" ".join(row) + "\n" for row in rows))

    return spoil


def annotations(change):
    def spoil(root):
        for file in root.glob("*.json"):
            data = json.loads(file.read_text())
            change(data)
            file.write_text(json.dumps(data))

    return spoil


def shares(data):
    for row in data["annotations"]:
        row["bbox"] = [v / 80 for v in row["bbox"]]


def corners(data):
    for row in data["annotations"]:
        x, y, w, h = row["bbox"]
        row["bbox"] = [x, y, x + w, y + h]


def from_zero(data):
    for row in data["annotations"]:
        row["category_id"] -= 1


def lost_image(data):
    data["annotations"][0]["image_id"] = 99


def shorten(path):
    path.write_bytes(path.read_bytes()[:900])


def swapped(data):
    for row in data["images"]:
        row["width"], row["height"] = row["height"], row["width"]


def exif_of(path, orientation):
    with Image.open(path) as opened:
        tags = Image.Exif()
        tags[0x0112] = orientation
        opened.save(path, exif=tags)


def copied(first, second):
    """One image in the place of another, with its labels."""

    def spoil(root):
        image(root, second).write_bytes(image(root, first).read_bytes())
        label(root, second).write_text(label(root, first).read_text())

    return spoil


def exif(root):
    exif_of(image(root), 3)


def nearly(root):
    raw = cv2.imread(str(image(root, "train0")))
    cv2.imwrite(str(image(root, "val0")), np.clip(raw.astype(int) + 2, 0, 255).astype(np.uint8))


def rename(old, new):
    def spoil(root):
        file = root / "data.yaml"
        file.write_text(file.read_text().replace(old, new))

    return spoil


ISSUES = [
    (yolo, append("0 0.5 0.5 0.1"), "label", "error", "train1.txt:5"),
    (yolo, append("7 0.5 0.5 0.1 0.1"), "id", "error", "train1.txt:5"),
    (yolo, append("0 0.95 0.5 0.3 0.1"), "outside", "error", "train1.txt:5"),
    (yolo, append("0 0.5 0.5 0 0.1"), "degenerate", "error", "train1.txt:5"),
    (yolo, append("0 0.5 nan 0.1 0.1"), "not-finite", "error", "train1.txt:5"),
    (yolo, append("0 40 30 10 10"), "pixels", "error", "train1.txt:5"),
    (yolo, append("1 0.3 0.3 0.15 0.2"), "duplicate-box", "warning", "train1.png"),
    (yolo, append("2 0.3 0.3 0.15 0.2"), "two-classes", "warning", "train1.png"),
    (yolo, append("2 0.9 0.9 0.02 0.02"), "tiny", "warning", "train1.png"),
    (yolo, append("2 0.5 0.9 0.9 0.01"), "aspect", "warning", "train1.png"),
    (yolo, lambda r: label(r).write_bytes(b"\xff\xfe"), "unreadable", "error", "train1.txt"),
    (yolo, lambda r: label(r).write_text(""), "empty", "note", "train1.png"),
    (yolo, lambda r: image(r).write_bytes(b"no"), "image", "error", "train1.png"),
    (yolo, lambda r: image(r).unlink(), "image", "error", "train1.txt"),
    (yolo, lambda r: shorten(image(r)), "image", "error", "truncated"),
    (yolo, copied("train0", "train1"), "duplicate-image", "warning", "train0.png"),
    (yolo, copied("train0", "val1"), "duplicate-image", "warning", "train; metrics are too high"),
    (yolo, nearly, "near-duplicate", "warning", "train0.png"),
    (yolo, exif, "exif", "note", "orientation 3"),
    (yolo, every_label(lambda w: [str(int(w[0]) + 1), *w[1:]]), "off-by-one", "error", "1 to 4"),
    (yolo, every_label(lambda w: None if w[0] == "0" else w), "off-by-one", "warning", "'ant'|ant"),
    (yolo, lambda r: label(r).write_text("1 .5 .5 .5 .5\n" * 9), "duplicate-box", "warning", "bee"),
    (yolo, rename("cow", "Bee "), "similar-names", "warning", "Bee"),
    (yolo, rename("'dog'", "'dog', 'eel'"), "unused-class", "warning", "eel"),
    (coco, annotations(shares), "shares", "error", "first pixel"),
    (coco, annotations(corners), "corners", "error", "as corners"),
    (coco, annotations(from_zero), "off-by-one", "error", "one too low"),
    (coco, annotations(swapped), "size", "error", "EXIF rotation"),
    (coco, annotations(lost_image), "image-id", "error", "99"),
    (coco, lambda r: (r / "train.json").write_text("{"), "unreadable", "error", "line 1"),
]  # fmt: skip


def load_all(root):
    for split in ("train", "val"):
        dataset = read(root, split=split)
        _ = [dataset.load(i) for i in range(len(dataset))]


@pytest.mark.parametrize(("make", "spoil", "kind", "level", "place"), ISSUES)
def test_every_issue_is_found(tmp_path, make, spoil, kind, level, place):
    make(tmp_path)
    spoil(tmp_path)
    report = diagnose(tmp_path, image_size=80)
    found = [finding for finding in report.findings if finding.kind == kind]
    assert found, report.text()
    assert {finding.level for finding in found} == {level}
    assert any(re.search(place, str(finding)) for finding in found), found
    if level == "error":
        with pytest.raises(DataError):
            report.raise_if_errors()
        if kind not in ("off-by-one", "corners"):  # what reading refuses is their effect
            with pytest.raises(DataError):
                load_all(tmp_path)
    else:
        report.raise_if_errors()


@pytest.mark.parametrize("make", [yolo, coco])
def test_a_valid_dataset_has_no_findings(tmp_path, make):
    make(tmp_path)
    report = diagnose(tmp_path, image_size=80)
    assert report.findings == []
    assert "no issues found" in report.text()


def test_crowd_regions_are_counted_and_no_duplicates(tmp_path):
    def crowded(data):
        first = data["annotations"][0]
        data["annotations"] += [
            first | {"iscrowd": 1},
            first | {"bbox": [1, 1, 1, 1], "iscrowd": 1},
        ]

    coco(tmp_path)
    annotations(crowded)(tmp_path)
    findings = diagnose(tmp_path, image_size=80).findings
    assert [(finding.level, finding.kind, finding.split) for finding in findings] == [
        ("note", "crowd-regions", "train"),
        ("note", "crowd-regions", "val"),
    ]
    assert "2 of 18 boxes" in findings[0].what


def test_all_issues_are_reported_together(tmp_path):
    yolo(tmp_path)
    for spoil in (append("7 .5 .5 .1 .1"), append("0 .5 .5 0 .1"), append("0 .5")):
        spoil(tmp_path)
    image(tmp_path, "val2").write_bytes(b"no")
    (tmp_path / "labels" / "val" / "lost.txt").write_text("")
    found = diagnose(tmp_path).findings
    assert {"id", "degenerate", "label", "image"} <= {f.kind for f in found}
    assert sum(f.level == "error" for f in found) == 5
    assert {f.split for f in found if f.level == "error"} == {"train", "val"}


def test_the_page_is_escaped_and_self_contained(tmp_path):
    yolo(tmp_path / "set")
    rename("cow", "<script>alert(1)</script>")(tmp_path / "set")
    append("7 .5 .5 .1 .1")(tmp_path / "set")
    page = tmp_path / "out" / "page.html"
    report = check_dataset(tmp_path / "set", output=page)
    text = page.read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert not re.search(r"(src|href)=[\"'](?!data:image/jpeg;base64,)", text)
    assert text.count("<img") >= 4
    assert text.count("<svg") == 5
    summary = json.loads(page.with_suffix(".json").read_text())
    assert summary["error"] == report.count("error") == 1
    assert summary["splits"]["train"]["images"] == 4
    assert {row["kind"] for row in summary["findings"]} <= set(KINDS)


def test_a_fix_that_errors_share_is_shown_once(tmp_path):
    yolo(tmp_path / "set")
    for file in (tmp_path / "set").glob("images/train/*.png"):
        file.write_bytes(file.read_bytes()[:-20])
    report = check_dataset(tmp_path / "set", output=tmp_path / "page.html")
    assert str(report).count("fix: copy the file again") == 1
    assert (tmp_path / "page.html").read_text().count("Fix: copy the file again") == 1
    summary = json.loads((tmp_path / "page.json").read_text())
    damaged = [row for row in summary["findings"] if row["kind"] == "image"]
    assert [row["fix"] for row in damaged] == ["copy the file again"] * 4
    with pytest.raises(DataError, match="has 4 errors") as caught:
        report.raise_if_errors()
    assert caught.value.fix == "copy the file again"


def test_three_pictures_of_a_kind(tmp_path):
    yolo(tmp_path / "set")
    for file in (tmp_path / "set").rglob("labels/*/*.txt"):
        file.write_text(file.read_text() + "0 .9 .5 .4 .1\n")
    check_dataset(tmp_path / "set", output=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("(boxes outside the image)</figcaption>") == 3


def test_a_fixed_copy_is_valid_and_lists_the_changes(tmp_path):
    yolo(tmp_path / "set")
    root = tmp_path / "set"
    for line in ("7 .5 .5 .1 .1", "0 .5 .5 0 .1", "0 .95 .5 .3 .1", "1 .3 .3 .15 .2", "0 .5"):
        append(line)(root)
    picture(image(root, "train0"), 10)  # what val0 shows
    image(root, "val2").write_bytes(b"no")
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    changes = fix(root, tmp_path / "fixed")
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before
    assert (tmp_path / "fixed" / "changes.txt").read_text().splitlines() == changes
    assert len(changes) == 7
    for word in (
        "train1.txt:5",
        "no area",
        "clipped to the image",
        "is a duplicate of box",
        "val2",
        "val0",
    ):
        assert any(word in line for line in changes), word
    report = diagnose(tmp_path / "fixed")
    assert report.count("error") == 0
    assert [len(report.datasets[s]) for s in ("train", "val")] == [3, 3]
    train = {row.path.name: row for row in report.datasets["train"].rows()}
    assert len(train["train1.png"].boxes) == 5
    np.testing.assert_allclose(train["train1.png"].boxes[4], [64, 27, 80, 33], atol=1e-3)


@pytest.mark.parametrize(
    ("make", "spoil", "line"),
    [
        (
            yolo,
            every_label(lambda w: [str(int(w[0]) + 1), *w[1:]]),
            "used 1 to 4 and now use 0 to 3",
        ),
        (coco, annotations(from_zero), "used 0 to 3 and now use 1 to 4"),
    ],
)
def test_ids_that_are_certainly_shifted_are_corrected(tmp_path, make, spoil, line):
    make(tmp_path / "valid")
    make(tmp_path / "set")
    spoil(tmp_path / "set")
    changes = fix(tmp_path / "set", tmp_path / "fixed")
    assert len(changes) == 1
    assert line in changes[0]
    assert diagnose(tmp_path / "fixed").findings == []
    for split in ("train", "val"):
        pair = (read(tmp_path / name, split=split).rows() for name in ("valid", "fixed"))
        for valid, fixed in zip(*pair, strict=True):
            np.testing.assert_array_equal(valid.classes, fixed.classes)
            np.testing.assert_allclose(valid.boxes, fixed.boxes, atol=1e-3)


def test_shards_name_classes_by_position(tmp_path):
    coco(tmp_path / "set")
    convert_dataset(tmp_path / "set", tmp_path / "shards", format="arrayrecord")
    assert diagnose(tmp_path / "shards").findings == []


def test_ambiguous_issues_are_not_fixed(tmp_path):
    yolo(tmp_path / "set")
    # 2 to 4: as well shifted as labels of a class that the map lacks.
    every_label(lambda w: [str(int(w[0]) + 1), *w[1:]] if w[0] != "0" else None)(tmp_path / "set")
    with pytest.raises(UserError, match="one too high"):
        fix(tmp_path / "set", tmp_path / "fixed")
    assert not (tmp_path / "fixed").exists()
    coco(tmp_path / "other")
    with pytest.raises(UserError, match="exists already"):
        fix(tmp_path / "other", tmp_path / "set")


def test_raccoons_have_copies_across_their_splits():
    report = diagnose(shared("data", "raccoon"), "VOC")
    assert report.count("error") == 0
    copies = [f for f in report.findings if f.kind == "duplicate-image"]
    pairs = {(Path(f.where).stem, f.split) for f in copies}
    assert ("raccoon-83", "val") in pairs
    assert len(copies) == 4


def test_blood_cells_have_boxes_without_area():
    report = diagnose(shared("data", "bccd"), "VOC")
    errors = [f for f in report.findings if f.level == "error"]
    assert {f.kind for f in errors} == {"degenerate"}
    assert {Path(f.where.split(":")[0]).stem for f in errors} == {
        "BloodImage_00338",
        "BloodImage_00343",
    }
