"""`diagnose` and `fix` on class folders and mask folders."""

import re
import shutil
import tempfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.doctor.test_doctor import exif_of, picture
from tests.shared import shared

from visiongarden.data import Prints, leaked, read
from visiongarden.doctor import check_dataset, diagnose, fix
from visiongarden.doctor.checking import check
from visiongarden.errors import DataError, UserError

CLASSES = ("ant", "bee", "cow")
SIZE = (40, 56)


def folders(root):
    """Three classes, two splits, three images each; a valid dataset."""
    for s, split in enumerate(("train", "val")):
        for c, name in enumerate(CLASSES):
            for i in range(3):
                picture(root / split / name / f"{i}.png", 100 * s + 10 * c + i, SIZE)
    return root


def write_mask(file, values):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values)).save(file)


def mask(seed):
    """Four values in blocks: 0, 1, 2 and, in few pixels, 255."""
    found = np.random.default_rng(seed).permutation([0, 0, 1, 1, 2, 2]).reshape(2, 3)
    found = found.repeat(20, axis=0).repeat(19, axis=1)[:, :56].astype(np.uint8)
    found[:2] = 255
    return found


def masks(root):
    """Two splits of three images with masks of three classes; a valid dataset."""
    for s, split in enumerate(("train", "val")):
        for i in range(3):
            picture(root / "images" / split / f"{split}{i}.png", 50 + 10 * s + i, SIZE)
            write_mask(root / "masks" / split / f"{split}{i}.png", mask(10 * s + i))
    (root / "classes.yaml").write_text("classes: [sky, road, tree]\n")
    return root


def put(source, target):
    def spoil(root):
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / source, root / target)

    return spoil


def text(name, content):
    def spoil(root):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)

    return spoil


def remove(name):
    return lambda root: (root / name).unlink()


def halve(raw):
    return raw[: len(raw) // 2]


def shorten(name):
    return lambda root: (root / name).write_bytes(halve((root / name).read_bytes()))


def many(root):
    for i in range(60):
        picture(root / "train" / "ant" / f"more{i}.png", 1000 + i, SIZE)


def change(name, how):
    def spoil(root):
        with Image.open(root / name) as opened:
            values = np.asarray(opened).copy()
        write_mask(root / name, how(values))

    return spoil


def every_mask(how):
    def spoil(root):
        for file in (root / "masks").rglob("*.png"):
            change(file.relative_to(root), how)(root)

    return spoil


def value(new):
    def how(values):
        values[5:9, 5:10] = new
        return values

    return how


def smooth(values):
    return cv2.GaussianBlur(np.where(values == 255, 0, values).astype(np.float32) * 40, (9, 9), 3)


def raised(values):
    return np.where(values == 255, 255, values + 1).astype(np.uint8)


def lossy(root):
    (root / "masks/train/train1.png").unlink()
    cv2.imwrite(str(root / "masks/train/train1.jpg"), mask(1))


def as_binary(root):
    every_mask(lambda v: np.where(v == 1, 255, 0).astype(np.uint8))(root)
    (root / "classes.yaml").write_text("classes: [ground, thing]\n")


def own_classes(root):
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            shutil.move(root / kind / split, root / split / kind)
    text("val/classes.yaml", "classes: [road, sky, tree]\n")(root)


def turn(name):
    return lambda root: exif_of(root / name, 6)


CLASS_ERRORS = [
    (shorten("train/bee/1.png"), "image", "error", "bee/1.png"),
    (text("train/bee/1.png", ""), "image", "error", "bee/1.png"),
    (text("train/bee/1.png", "not an image"), "image", "error", "bee/1.png"),
    (put("train/ant/0.png", "train/ant/7.png"), "duplicate-image", "warning", "ant/7.png"),
    (
        put("train/ant/0.png", "val/ant/7.png"),
        "duplicate-image",
        "warning",
        "in train; metrics are too high",
    ),
    (put("train/ant/0.png", "train/cow/7.png"), "two-labels", "error", "'ant' there and 'cow'"),
    (put("train/ant/0.png", "val/cow/7.png"), "two-labels", "error", "'ant' there and 'cow'"),
    (put("train/ant/0.png", "val/dog/7.png"), "split-class", "error", "cannot be learned"),
    (put("val/ant/0.png", "train/dog/0.png"), "split-class", "warning", "'dog' occurs in train"),
    (lambda r: (r / "train/dog").mkdir(), "empty-class", "warning", "train/dog"),
    (lambda r: (r / "train/dog").mkdir(), "unused-class", "warning", "'dog' has no image"),
    (text("train/ant/notes.txt", "x"), "stray", "error", "notes.txt"),
    (text("train/ant/0.png.part", "x"), "stray", "error", "0.png.part"),
    (lambda r: (r / "train/ant/more").mkdir(), "stray", "error", "folder inside"),
    (put("train/ant/0.png", "train/7.png"), "stray", "error", "outside the class folders"),
    (put("train/ant/0.png", "extra/ant/7.png"), "stray", "warning", "are not read"),
    (turn("train/ant/0.png"), "exif", "note", "orientation 6"),
    (lambda r: picture(r / "train/ant/7.png", 500, (9, 60)), "small", "warning", "60 × 9"),
    (many, "imbalance", "warning", "'ant' has 63 images, but 'bee', 'cow' only 3 each"),
    (put("train/ant/0.png", "train/Ant/7.png"), "similar-names", "warning", "'Ant', 'ant'"),
    (text("classes.txt", "cow\nbee\n"), "id", "error", "'ant' is not in the class map"),
    (text("val/classes.txt", "cow\nbee\nant\n"), "class-map", "error", "in another order"),
]

MASK_ERRORS = [
    (shorten("images/train/train1.png"), "image", "error", "train1.png"),
    (text("images/train/train1.png", ""), "image", "error", "train1.png"),
    (remove("images/train/train1.png"), "pair", "error", "the image .*train1.* does not exist"),
    (remove("masks/train/train1.png"), "pair", "error", "the mask .*train1.* does not exist"),
    (shorten("masks/train/train1.png"), "mask", "error", "masks/train/train1.png"),
    (change("masks/train/train1.png", lambda v: v[:-1]), "size", "error", "56 × 39"),
    (change("masks/train/train1.png", value(7)), "id", "error", r"train1.*: 7 \(20 pixels\)"),
    (change("masks/train/train1.png", value(9)), "id", "error", "20 pixels belong to no class"),
    (every_mask(lambda v: smooth(v).astype(np.uint8)), "id", "error", "interpolated, or saved"),
    (change("masks/train/train1.png", np.ones_like), "constant", "note", "'road'"),
    (change("masks/train/train1.png", lambda v: v * 0 + 255), "ignored", "warning", "train1"),
    (every_mask(np.zeros_like), "constant", "error|warning|note", "contain only 'sky'"),
    (every_mask(lambda v: v * 0 + 255), "constant", "error|warning", "contain no class"),
    (as_binary, "constant", "error|warning|note", "255, which is ignored; if it is a class"),
    (every_mask(raised), "off-by-one", "error", "one too high: the labels use 1 to 3"),
    (lossy, "lossy", "error", "train1.jpg"),
    (change("masks/train/train1.png", lambda v: np.dstack([v] * 3)), "mask", "error", "stores RGB"),
    (change("masks/train/train1.png", lambda v: np.dstack([v] * 4)), "mask", "error", "RGBA"),
    (every_mask(lambda v: np.where(v == 2, 0, v)), "unused-class", "warning", "no pixel"),
    (lambda r: [change(f"masks/val/val{i}.png", lambda v: np.where(v == 2, 0, v))(r)
                for i in range(3)], "split-class", "warning", "occurs in train, but not in val"),
    (text("masks/train/notes.txt", "x"), "stray", "note", "notes.txt"),
    (turn("images/train/train1.png"), "exif", "note", "so its mask must be rotated too"),
    (lambda r: [put("images/train/train0.png", "images/val/more.png")(r),
                put("masks/train/train0.png", "masks/val/more.png")(r)],
     "duplicate-image", "warning", "in train; metrics are too high"),
    (put("images/train/train0.png", "images/train/train1.png"), "two-labels", "warning", "another"),
    (own_classes, "class-map", "error", "road, sky, tree"),
    (remove("classes.yaml"), "unreadable", "error", "has no file with class names"),
]  # fmt: skip

FINDINGS = [(folders, *row) for row in CLASS_ERRORS] + [(masks, *row) for row in MASK_ERRORS]


@pytest.mark.parametrize(("make", "spoil", "kind", "level", "place"), FINDINGS)
def test_every_issue_is_found(tmp_path, make, spoil, kind, level, place):
    spoil(make(tmp_path))
    report = diagnose(tmp_path)
    found = [f for f in report.findings if f.kind == kind and re.search(place, str(f))]
    assert found, report.text()
    assert {f.level for f in found} <= set(level.split("|"))
    assert level.split("|")[0] in {f.level for f in found}
    if "error" in level:
        with pytest.raises(DataError):
            report.raise_if_errors()


@pytest.mark.parametrize("make", [folders, masks])
def test_a_valid_dataset_has_no_findings(tmp_path, make):
    report = diagnose(make(tmp_path))
    assert report.findings == [], report.text()
    assert "3 images" in report.text() or "9 images" in report.text()


REFUSED = [
    row for row in FINDINGS if row[3] == "error" and row[2] not in ("two-labels", "class-map")
]


@pytest.mark.parametrize(("make", "spoil", "kind", "level", "place"), REFUSED)
def test_errors_are_refused_by_reading(tmp_path, make, spoil, kind, level, place):
    spoil(make(tmp_path))
    with pytest.raises(DataError):
        _ = [check(read(tmp_path, split=split)) for split in ("train", "val")]


def test_training_refuses_contradictory_labels(tmp_path):
    put("train/ant/0.png", "train/cow/7.png")(folders(tmp_path / "classes"))
    with pytest.raises(
        DataError, match=r"ant/0\.png.*cow/7\.png: the same image has the classes ant and cow"
    ):
        check(read(tmp_path / "classes"))
    as_binary(masks(tmp_path / "masks"))
    dataset = read(tmp_path / "masks")
    with pytest.raises(
        DataError, match="only 'ground'; all other pixels are ignored: are they a class"
    ):
        check(dataset, trained_on=True)
    check(dataset)


def test_leaked_images_are_named(tmp_path):
    root = folders(tmp_path)
    assert leaked(read(root), read(root, split="val")) == []
    put("train/ant/0.png", "val/ant/7.png")(root)
    # One size and one end, other bytes: no copy.
    raw = bytearray((root / "train/bee/0.png").read_bytes())
    raw[60] ^= 1
    (root / "val/bee/8.png").write_bytes(raw)
    found = leaked(read(root), read(root, split="val"))
    assert found == [(root / "train/ant/0.png", root / "val/ant/7.png")]


def test_files_are_read_once_to_be_compared(tmp_path):
    root = folders(tmp_path)
    put("train/ant/0.png", "val/ant/7.png")(root)
    put("train/bee/1.png", "train/bee/7.png")(root)
    train, val, prints = read(root), read(root, split="val"), Prints()
    for dataset in (train, val):
        check(dataset, prints=prints)
    found = leaked(train, val, prints)
    assert found == leaked(train, val) == [(root / "train/ant/0.png", root / "val/ant/7.png")]
    for path in root.rglob("*.png"):
        path.unlink()
    assert leaked(train, val, prints) == found


def test_the_page_shows_three_of_a_kind(tmp_path):
    root = masks(tmp_path / "set")
    for i in range(3):
        change(f"masks/train/train{i}.png", value(7))(root)
    text("classes.yaml", "classes: [sky, '<b>', tree]\n")(root)
    check_dataset(root, output=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("values outside the class map)</figcaption>") == 3
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert page.count("<svg") == 5
    assert page.count("<img") == 6


def test_fixed_class_folders(tmp_path):
    root = folders(tmp_path / "set")
    for spoil in (
        shorten("train/bee/1.png"),
        text("train/ant/notes.txt", "x"),
        put("train/ant/0.png", "train/ant/7.png"),
        put("train/cow/2.png", "val/cow/7.png"),
        put("train/bee/0.png", "train/cow/8.png"),
        lambda r: picture(r / "val/dog/0.png", 900, SIZE),
        lambda r: (r / "train/eel").mkdir(),
    ):
        spoil(root)
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    changes = fix(root, tmp_path / "fixed")
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before
    fixed = tmp_path / "fixed"
    assert (fixed / "changes.txt").read_text().splitlines() == changes
    for word in ("bee/1.png", "notes.txt", "ant/7.png", "cow/2.png", "two labels", "dog/0.png"):
        assert any(word in line for line in changes), word
    kept = {str(p.relative_to(fixed)) for p in fixed.rglob("*.png")}
    assert kept == {
        *(f"train/ant/{i}.png" for i in range(3)), "train/bee/2.png",
        "train/cow/0.png", "train/cow/1.png", "val/cow/7.png",
        *(f"val/{name}/{i}.png" for name in CLASSES for i in range(3)),
    }  # fmt: skip
    assert diagnose(fixed).findings == []


def test_fixed_masks_are_shifted_back(tmp_path):
    root = masks(tmp_path / "set")
    every_mask(raised)(root)
    remove("images/train/train1.png")(root)
    change("masks/val/val1.png", lambda v: v[:-1])(root)
    changes = fix(root, tmp_path / "fixed")
    assert changes[0] == "class ids shifted by -1: the labels used 1 to 3 and now use 0 to 2"
    assert len(changes) == 3
    report = diagnose(tmp_path / "fixed")
    assert report.count("error") == 0
    np.testing.assert_array_equal(report.datasets["train"].samples.mask(0), mask(0))
    assert [p.name for p in report.datasets["val"].samples.images] == ["val0.png", "val2.png"]


@pytest.mark.parametrize(
    ("make", "spoil", "message"),
    [
        (masks, every_mask(lambda v: np.where(v == 0, 255, raised(v))), "one too high"),
        (masks, as_binary, "if it is a class"),
        (masks, own_classes, "names or their order differ from those in"),
        (folders, text("val/classes.txt", "cow\nbee\nant\n"), "another order"),
    ],
)
def test_ambiguous_issues_are_not_fixed(tmp_path, make, spoil, message):
    spoil(make(tmp_path / "set"))
    with pytest.raises(UserError, match=message):
        fix(tmp_path / "set", tmp_path / "fixed")
    assert not (tmp_path / "fixed").exists()


SPOILS = {
    folders: [row[0] for row in CLASS_ERRORS if row[1] not in ("imbalance", "id", "class-map")],
    masks: [row[0] for row in MASK_ERRORS if row[1] not in ("class-map", "unreadable")],
}


@settings(max_examples=25)
@given(st.data())
def test_fixed_copies_are_valid(data):
    make = data.draw(st.sampled_from([folders, masks]))
    spoils = data.draw(st.lists(st.sampled_from(range(len(SPOILS[make]))), max_size=4, unique=True))
    with tempfile.TemporaryDirectory() as folder:
        root = make(Path(folder) / "set")
        for number in spoils:
            try:
                SPOILS[make][number](root)
            except OSError:  # an earlier one took the file away, or changed it
                continue
        fixed = Path(folder) / "fixed"
        try:
            changes = fix(root, fixed)
        except UserError:
            assert not fixed.exists()
            return
        report = diagnose(fixed)
        assert report.count("error") == 0, report.text()
        assert not [f for f in report.findings if f.kind in ("duplicate-image", "two-labels")]
        assert bool(changes) == (diagnose(root).count("error") > 0) or changes
        assert fix(fixed, Path(folder) / "again") == []


def packed(root, target):
    with zipfile.ZipFile(target, "w") as archive:
        for file in root.rglob("*"):
            archive.write(file, file.relative_to(root.parent))
    return target


@pytest.mark.parametrize("make", [folders, masks])
def test_archives_are_read_as_folders(tmp_path, make):
    root = make(tmp_path / "set")
    archive = packed(root, tmp_path / "set.zip")
    report = diagnose(archive)
    assert report.findings == [], report.text()
    assert report.reader == diagnose(root).reader
    fix(archive, tmp_path / "fixed")
    same = {p.relative_to(root): p.read_bytes() for p in root.rglob("*.png")}
    fixed = tmp_path / "fixed"
    assert {p.relative_to(fixed): p.read_bytes() for p in fixed.rglob("*.png")} == same


def test_the_shared_clothing():
    report = diagnose(shared("data", "clothing"))
    assert report.reader == "ClassFolders"
    assert report.count("error") == 0, report.text()
    assert [len(d) for d in report.datasets.values()] == [400, 100, 100]
