"""Detection of formats; class folders and mask folders that are written again and plotted."""

import contextlib
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.doctor.test_doctor import picture, yolo
from tests.doctor.test_doctor_kinds import CLASSES, SIZE, folders, mask, masks, packed, write_mask

from visiongarden.data import read
from visiongarden.data.readers import opened
from visiongarden.doctor import convert_dataset, diagnose, fix
from visiongarden.doctor.sheet import contact_sheet
from visiongarden.errors import UserError
from visiongarden.scenes import make_mask_scenes
from visiongarden.tasks import find
from visiongarden.transforms import MixUp, RandAugment, RandomResizedCrop

PIXELS = cv2.imencode(".png", np.arange(64, dtype=np.uint8).reshape(8, 8) % 2)[1].tobytes()


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
        (lists / f"{split}.txt").write_text("".join(f"{split}{i}\n" for i in range(3)))


PATHS = [
    f"{top}/{inner}/{name}"
    for top in ("train", "val", "images", "masks", "cat")
    for inner in ("cat", "dog", "train", "images", "masks", "labels", ".")
    for name in ("a.png", "b.jpg", "a.txt", "classes.txt")
] + ["classes.yaml", "classes.txt", "data.yaml", "train.json", "train.csv", "a.png"]
CONTENTS = (b"", b"cat", b"classes: [cat, dog]\n", b"names: [cat]\ntrain: images\n", b"{}", b"[1]",
            b"\xff\xd8\xff", b"a.png,1,1,3,3,cat\n", PIXELS, PIXELS[:60])  # fmt: skip


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.sampled_from(PATHS), st.sampled_from([*CONTENTS, PIXELS, PIXELS]), max_size=16
    ),
    st.sampled_from(["auto", "ClassFolders", "MaskFolders"]),
)
def test_any_folder_is_checked_or_refused(tree, reader):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "set"
        root.mkdir()
        for path, content in tree.items():
            file = root / path
            with contextlib.suppress(OSError):  # a file where a folder should be, or the reverse
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
        with contextlib.suppress(UserError):
            diagnose(root, reader).to_json()
        with contextlib.suppress(UserError):
            fix(root, Path(folder) / "fixed", reader)
            assert diagnose(Path(folder) / "fixed", reader).count("error") == 0


@pytest.mark.parametrize("archived", [False, True])
def test_class_folders_are_written_again(tmp_path, archived):
    root = folders(tmp_path / "set")
    (root / "classes.txt").write_text("cow\nant\nbee\n")
    source = packed(root, tmp_path / "set.zip") if archived else root
    assert convert_dataset(source, tmp_path / "there", format="folders").lost == ()
    for split in ("train", "val"):
        a, b = (read(p, split=split).samples for p in (root, tmp_path / "there"))
        assert a.class_map == b.class_map
        assert a.classes == b.classes
        assert [p.read_bytes() for p in a.paths] == [p.read_bytes() for p in b.paths]


def test_a_split_is_made(tmp_path):
    for c, name in enumerate(CLASSES):
        for i in range(30):
            picture(tmp_path / "set" / name / f"{i}.png", 100 * c + i, SIZE)
    convert_dataset(tmp_path / "set", tmp_path / "there", format="folders")
    for split in ("train", "val", "test"):
        a, b = (read(tmp_path / name, split=split).samples for name in ("set", "there"))
        assert [(p.name, c) for p, c in zip(a.paths, a.classes, strict=True)] == [
            (p.name, c) for p, c in zip(b.paths, b.classes, strict=True)
        ]
    picture(tmp_path / "set" / "dog" / "30.png", 999, SIZE)
    names = [n for n in range(40) if not _falls_into_train(tmp_path, n)]
    (tmp_path / "set" / "dog" / "30.png").rename(tmp_path / "set" / "dog" / f"{names[0]}.png")
    with pytest.raises(UserError, match="all images of dog are in"):
        convert_dataset(tmp_path / "set", tmp_path / "other", format="folders")
    assert not (tmp_path / "other").exists()


def _falls_into_train(folder, number):
    root = folder / f"try{number}"
    picture(root / "dog" / f"{number}.png", 999, SIZE)
    return type(opened(root)[1]).__name__ == "ClassFolders" and _splits(root) == ["train"]


def _splits(root):
    from visiongarden.data.readers import splits_of

    return splits_of(root, opened(root)[1])


@pytest.mark.parametrize("make", [masks, ade20k, pascal])
def test_masks_are_written_again(tmp_path, make):
    root = tmp_path / "set"
    make(root)
    ids = "classes: {sky: 0, road: 1, tree: 2}\nignore: [255]\n"
    (root / "classes.yaml").write_text(ids)
    assert convert_dataset(root, tmp_path / "there", format="masks").lost == ()
    assert (tmp_path / "there" / "masks" / "val" / "val2.png").is_file()
    for split in ("train", "val"):
        a, b = (read(p, split=split) for p in (root, tmp_path / "there"))
        assert (a.class_map, a.samples.ignored) == (b.class_map, b.samples.ignored)
        for i in range(3):
            np.testing.assert_array_equal(a.load(i).semantic, b.load(i).semantic)


def test_masks_of_colors_are_written_again(tmp_path):
    root = masks(tmp_path / "set")
    colors = np.zeros((256, 3), np.uint8)
    colors[:3] = (10, 20, 30), (40, 50, 60), (70, 80, 90)
    for file in (root / "masks").rglob("*.png"):
        write_mask(file, colors[mask(0)])
    (root / "classes.yaml").write_text(
        "classes: {sky: [10, 20, 30], road: [40, 50, 60], tree: [70, 80, 90]}\n"
        "ignore: [[0, 0, 0]]\n"
    )
    convert_dataset(root, tmp_path / "there", format="masks")
    again = read(tmp_path / "there")
    assert again.samples.ignored == ((0, 0, 0),)
    np.testing.assert_array_equal(again.load(0).semantic, mask(0))


@pytest.mark.parametrize(
    ("make", "to", "message"),
    [
        (folders, "yolo", "labels, which can be written as .*folders"),
        (folders, "masks", "labels, which can be written as .*folders"),
        (masks, "coco", "semantic masks, which can be written as masks"),
        (yolo, "folders", "boxes, which can be written as arrayrecord, coco"),
        (yolo, "cocoo", "did you mean coco"),
    ],
)
def test_what_has_no_meaning_is_refused(tmp_path, make, to, message):
    make(tmp_path / "set")
    with pytest.raises(UserError, match=message):
        convert_dataset(tmp_path / "set", tmp_path / "there", format=to)
    assert not (tmp_path / "there").exists()


def test_a_sheet_shows_the_images_of_training(tmp_path):
    """With the names painted over, the pixels of a cell are those of the loader's batch."""
    classes = read(folders(tmp_path / "classes"))
    transforms = (RandomResizedCrop(), RandAugment(operations=1), MixUp(probability=0.5))
    sheet = contact_sheet(classes, (64, 64), transforms, count=9, columns=3, seed=5)
    task = find("classification")
    batches = task.loader(classes, (64, 64), 9, transforms, shuffle=True, seed=5)
    batch = next(batches.epoch(0))
    cells = [sheet[6 + 70 * r : 70 + 70 * r, 6 + 70 * c : 70 + 70 * c] for r in range(3)
             for c in range(3)]  # fmt: skip
    for cell, image in zip(cells, batch.images, strict=True):
        np.testing.assert_array_equal(cell[34:], image[34:])
        assert not np.array_equal(cell[:10, :20], image[:10, :20])
    scenes = read(make_mask_scenes(tmp_path / "scenes", 6, (48, 64)))
    shown = contact_sheet(scenes, (128, 128), count=1)[6:134, 6:134]
    plain = next(find("segmentation").loader(scenes, (128, 128), 1).epoch(0))
    assert (plain.targets["semantic"][0][:16] == 255).all()
    # The border is darkened, the rest half its class's color.
    np.testing.assert_array_equal(shown[:16, 110:], plain.images[0][:16, 110:] // 2)
    assert not np.array_equal(shown[60:, 80:], plain.images[0][60:, 80:])
