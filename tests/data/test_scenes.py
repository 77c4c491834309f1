"""Scenes: the same for the same seed, with the variety that they promise."""

import numpy as np
import pytest

from visiongarden.data import make_scenes, read
from visiongarden.data.scenes import CLASSES, scene
from visiongarden.errors import UserError


def test_scenes_are_a_sound_data_set(tmp_path):
    folder = make_scenes(tmp_path / "scenes", 60, (96, 96))
    train, val = read(folder), read(folder, split="val")
    assert (len(train), len(val)) == (48, 12)
    assert train.class_map.names == CLASSES
    sides = np.concatenate([np.sqrt(np.prod(e.boxes[:, 2:] - e.boxes[:, :2], 1)) for e in train])
    assert sides.max() > 5 * sides.min()
    counts = [len(example.boxes) for example in train]
    assert min(counts) == 0
    assert max(counts) >= 4
    assert set(np.concatenate([e.classes for e in train])) == set(range(5))


def test_a_seed_is_a_scene():
    first, again, other = (scene((64, 64), np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_made_once_and_never_over_something_else(tmp_path):
    folder = make_scenes(tmp_path / "scenes", 5, (64, 64))
    stamp = (folder / "train.json").stat().st_mtime_ns
    make_scenes(folder, 5, (64, 64))
    assert (folder / "train.json").stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match="is not empty"):
        make_scenes(folder, 6, (64, 64))
    assert [p.name for p in tmp_path.iterdir()] == ["scenes"]
