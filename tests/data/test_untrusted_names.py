"""Names in a dataset never make a writer leave its target folder."""

import json

import cv2
import numpy as np
import pytest

from visiongarden.data.writers import Writer
from visiongarden.doctor import convert_dataset, fix
from visiongarden.errors import DataError

FORMATS = [name for name in Writer.by_name() if name not in ("folders", "masks")]
ESCAPES = ["{}/home", "../home", "..\\home", "C:\\home", "con", "a\0b", "x" * 300]


@pytest.fixture
def victim(tmp_path):
    """Files beside the data set that a bad name could overwrite."""
    (tmp_path / "home").mkdir()
    for name in ("home.csv", "home.txt", "home/a.png"):
        (tmp_path / name).write_text("precious")
    yield tmp_path
    found = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")} - {"home"}
    assert {name for name in found if not name.startswith("set")} == {
        "home.csv", "home.txt", "home/a.png",
    }  # fmt: skip
    assert all((tmp_path / n).read_text() == "precious" for n in ("home.csv", "home.txt"))


def _csv(root, split):
    (root / "set").mkdir()
    for name in "ab":
        cv2.imwrite(str(root / "set" / f"{name}.png"), np.zeros((40, 48, 3), np.uint8))
    rows = ["path,x1,y1,x2,y2,class,split", "a.png,1,1,9,9,a,train"]
    rows += [f'b.png,1,1,9,9,a,"{split.format(root)}"']
    (root / "set" / "annotations.csv").write_text("\n".join(rows), encoding="utf-8")
    return root / "set"


@pytest.mark.parametrize("to", FORMATS)
def test_a_csv_split_cannot_leave_the_target_folder(victim, to):
    with pytest.raises(DataError, match=r"annotations\.csv:3: the split is not a valid file name"):
        convert_dataset(_csv(victim, "{}/home"), victim / "out", format=to)


@pytest.mark.parametrize("split", ESCAPES)
def test_neither_convert_nor_fix_accept_such_splits(victim, split):
    path = _csv(victim, split)
    with pytest.raises(DataError, match="split is not a valid file name"):
        convert_dataset(path, victim / "out", format="coco")
    with pytest.raises(DataError, match="split is not a valid file name"):
        fix(path, victim / "fixed")


@pytest.mark.parametrize("name", ["..\\home\\a.png", "con.png", "\x1b[2J.png", "C:a.png"])
@pytest.mark.parametrize("to", FORMATS)
def test_unsafe_image_names_are_refused(victim, name, to):
    (victim / "set").mkdir()
    image = cv2.imencode(".png", np.zeros((40, 48, 3), np.uint8))[1].tobytes()
    (victim / "set" / name).write_bytes(image)
    rows = {"images": [{"id": 1, "file_name": name}], "categories": [{"id": 1, "name": "a"}]}
    rows["annotations"] = [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}]
    (victim / "set" / "train.json").write_text(json.dumps(rows))
    if to == "arrayrecord":  # its images have no names
        return
    with pytest.raises(DataError, match="not a valid file name"):
        convert_dataset(victim / "set", victim / "out", format=to)


@pytest.mark.parametrize("name", ["../home", "..\\home", "nul"])
def test_splits_of_array_record_are_names(victim, name):
    (victim / "set").mkdir()
    meta = {"format": "visiongarden array_record", "version": 2, "classes": ["a"]}
    (victim / "set" / "dataset.json").write_text(json.dumps(meta | {"splits": {name: 1}}))
    with pytest.raises(DataError, match="split"):
        convert_dataset(victim / "set", victim / "out", format="coco")
