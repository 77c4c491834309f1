"""The readers in `examples/` read datasets that are in no tool's format."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.shared import shared

from visiongarden import registry
from visiongarden.data import read
from visiongarden.data.readers import opened

EXAMPLES = [
    Path(__file__).parents[1] / "examples" / name for name in ("donkey_tub.py", "glue_tubes.py")
]


@pytest.fixture(autouse=True)
def examples():
    known = dict(registry._known)
    for file in EXAMPLES:
        spec = importlib.util.spec_from_file_location(file.stem, file)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    yield
    registry._known.clear()
    registry._known.update(known)


def test_examples_are_short():
    lengths = {file.name: len(file.read_text(encoding="utf-8").splitlines()) for file in EXAMPLES}
    assert max(lengths.values()) <= 40


def test_glue_tubes_have_keypoints(tmp_path):
    root = shared("data", "glue_tubes")
    assert type(opened(root)[1]).__name__ == "GlueTubes"
    train, test = read(root), read(root, split="test")
    assert (len(train), train.counts().tolist()) == (50, [83])
    assert (len(test), test.counts().tolist()) == (12, [23])
    assert train.fields == {"boxes", "keypoints"}
    points = [each.instances.keypoints for part in (train, test) for each in part]
    assert sum(2 * len(each) for each in points) == 212
    assert {each.names for each in points} == {("head", "tail")}
    assert all(each.can_mirror for each in points)
    for part in (train, test):
        for each in part:
            x, y = np.moveaxis(each.instances.keypoints.values[..., :2], -1, 0)
            boxes = np.asarray(each.instances.boxes)[:, None]
            assert ((boxes[..., 0] <= x) & (x <= boxes[..., 2])).all()
            assert ((boxes[..., 1] <= y) & (y <= boxes[..., 3])).all()
    packed = shutil.make_archive(str(tmp_path / "tubes"), "zip", root)
    assert read(packed).counts().tolist() == [83]
    first = train.load(0)
    assert first.image.shape[:2] == first.info.original_size


def test_a_tub_has_labels():
    root = shared("data", "donkey_tub")
    parts = {split: read(root, split=split) for split in ("train", "val", "test")}
    assert {split: len(part) for split, part in parts.items()} == {
        "train": 700, "val": 150, "test": 150,
    }  # fmt: skip
    assert parts["train"].fields == {"labels"}
    assert parts["train"].label_map.names == ("angle", "throttle")
    labels = {split: np.stack([each.labels for each in part]) for split, part in parts.items()}
    # Statistics of the whole tub and the errors of a constant guess are those of its description.
    angles = np.concatenate([each[:, 0] for each in labels.values()])
    assert angles.mean() == pytest.approx(0.160, abs=5e-4)
    assert angles.std() == pytest.approx(0.400, abs=5e-4)
    mean = labels["train"][:, 0].mean()
    for split, expected in (("val", 0.334), ("test", 0.491)):
        error = np.sqrt(((labels[split][:, 0] - mean) ** 2).mean())
        assert error == pytest.approx(expected, abs=5e-4)
