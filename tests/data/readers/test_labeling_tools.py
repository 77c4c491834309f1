"""Datasets of labeling tools are read without naming a reader, also from archives."""

import json
import zipfile

import cv2
import numpy as np
import pytest
from tests.fuzz.labeling_tools import sets_of_tools

from visiongarden.data.readers import opened, read, splits_of
from visiongarden.data.readers.choosing import candidates
from visiongarden.data.readers.reader import Source
from visiongarden.errors import DataError


def png(number):
    image = np.full((40, 48, 3), number, np.uint8)
    return cv2.imencode(".png", image)[1].tobytes()


PARTS = ("train", "val", "test")
SETS = sets_of_tools(png, png(1))


def written(root, files):
    for name, raw in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(raw)
    return root


@pytest.mark.parametrize("name", SETS)
def test_the_reader_is_found(tmp_path, name):
    root = written(tmp_path / "set", SETS[name])
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for member, raw in SETS[name].items():
            file.writestr(f"set/{member}", raw)
    assert list(candidates(root)) == [name]
    place, reader = opened(root)
    for split in splits_of(place, reader):
        found, packed = read(root, split=split), read(archive, split=split)
        assert len(found) == len(packed) > 0
        for index in range(len(found)):
            one, other = found.row(index), packed.row(index)
            assert one.boxes.tolist() == other.boxes.tolist()
            assert one.classes.tolist() == other.classes.tolist()
            assert found.load(index).image.shape == packed.load(index).image.shape == (40, 48, 3)


def _has(part, name):
    return any(row.path.name == name for row in part.rows())


def test_a_dataset_without_splits_is_divided(tmp_path):
    names = [f"photo{i}" for i in range(40)]
    for name in names:
        shape = {"label": "cat", "points": [[1, 2], [9, 9]], "shape_type": "rectangle"}
        content = {"shapes": [shape], "imagePath": f"{name}.png"}
        files = {f"{name}.json": json.dumps(content).encode(), f"{name}.png": png(3)}
        written(tmp_path, files)
    parts = [read(tmp_path, split=split) for split in PARTS]
    assert sum(map(len, parts)) == 40
    assert all(len(part) for part in parts)
    paths = {row.path.name for part in parts for row in part.rows()}
    assert len(paths) == 40
    # An error is reported once, with the split of its image.
    (tmp_path / "photo0.json").write_text('{"shapes": [{}], "imagePath": "photo0.png"}')
    (split,) = (s for s, part in zip(PARTS, parts, strict=True) if _has(part, "photo0.png"))
    with pytest.raises(DataError, match=r"photo0\.json: shapes\[0\]"):
        read(tmp_path, split=split)
    for other in set(PARTS) - {split}:
        read(tmp_path, split=other)


def test_video_annotations_of_cvat_are_refused(tmp_path):
    xml = b'<annotations><version>1.1</version><track id="0" label="a"></track></annotations>'
    written(tmp_path, {"annotations.xml": xml, "a.png": png(0)})
    with pytest.raises(DataError, match="CVAT for video") as caught:
        opened(tmp_path)
    assert "CVAT for images 1.1" in caught.value.fix


@pytest.mark.parametrize("name", SETS)
def test_splits_of_an_empty_folder(tmp_path, name):
    from visiongarden.data.readers.reader import Reader

    reader = Reader.kinds()[name]()
    assert reader.matches(Source(tmp_path)) == 0
    with pytest.raises(DataError):
        reader.read(Source(tmp_path), "train")
