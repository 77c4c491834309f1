"""Scenes are reproducible, and as varied as documented."""

import colorsys

import numpy as np
import pytest

from visiongarden.data import read
from visiongarden.errors import UserError
from visiongarden.scenes import make_scenes
from visiongarden.scenes.scene_classes import HUES, PLAIN, scene_classes
from visiongarden.scenes.scenes import CLASSES, _render, scene


def test_scenes_are_a_valid_dataset(tmp_path):
    folder = make_scenes(tmp_path / "scenes", 60, (96, 96))
    train, val = read(folder), read(folder, split="val")
    assert (len(train), len(val)) == (48, 12)
    assert train.class_map.names == CLASSES
    sides = np.concatenate(
        [np.sqrt(np.prod(r.boxes[:, 2:] - r.boxes[:, :2], 1)) for r in train.rows()]
    )
    assert sides.max() > 5 * sides.min()
    counts = train.objects()
    assert min(counts) == 0
    assert max(counts) >= 4
    assert set(np.concatenate([row.classes for row in train.rows()])) == set(range(5))


def test_a_seed_is_a_scene():
    first, again, other = (scene((64, 64), np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_scenes_are_written_once_and_never_replace_other_files(tmp_path):
    folder = make_scenes(tmp_path / "scenes", 5, (64, 64))
    stamp = (folder / "train.json").stat().st_mtime_ns
    make_scenes(folder, 5, (64, 64))
    assert (folder / "train.json").stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match="is not empty"):
        make_scenes(folder, 6, (64, 64))
    assert [p.name for p in tmp_path.iterdir()] == ["scenes"]


def test_many_classes_have_one_color_and_fill_each(tmp_path):
    folder = make_scenes(
        tmp_path / "scenes", 16, (96, 96), val_share=0.0, classes=80, objects=(4, 6)
    )
    scenes = read(folder)
    names = scenes.class_map.names
    assert (len(scenes), len(names), len(set(names))) == (16, 80, 80)
    assert (names[0], names[6], names[79]) == ("red disc", "amber ring", "striped magenta star")
    assert set(scenes.objects()) == {4, 5, 6}
    discs = [HUES.index(name.split()[0]) for name in names[:40] if name.endswith("disc")]
    assert discs == list(range(8))


@pytest.mark.parametrize("hue", range(8))
def test_hue_of_a_class_is_the_hue_of_its_objects(hue):
    kind = scene_classes(80)[hue * 5 + 2]  # boxes: most of a box's area is the object's
    image, boxes, _ = scene((96, 96), np.random.default_rng(hue), (kind,), (1, 1))
    x1, y1, x2, y2 = boxes[0].astype(int)
    middle = image[(y1 + y2) // 2 - 3 : (y1 + y2) // 2 + 3, (x1 + x2) // 2 - 3 : (x1 + x2) // 2 + 3]
    red, green, blue = np.median(middle.reshape(-1, 3), axis=0) / 255
    seen = colorsys.rgb_to_hsv(red, green, blue)[0] * 8
    assert abs((seen - hue + 4) % 8 - 4) < 0.4
    assert kind.name == f"{HUES[hue]} box"


def test_number_of_classes_is_limited(tmp_path):
    assert [len(scene_classes(n)) for n in (1, 5, 6, 120)] == [1, 5, 6, 120]
    assert scene_classes(5) == scene_classes() == PLAIN
    for classes in (0, 121):
        with pytest.raises(UserError, match="1 to 120 classes"):
            make_scenes(tmp_path / "scenes", 1, classes=classes)


def test_masks_and_keypoints_of_scenes(tmp_path):
    options = {"val_share": 0.0, "objects": (3, 5)}
    plain = read(make_scenes(tmp_path / "plain", 8, (96, 96), **options))
    folder = make_scenes(tmp_path / "full", 8, (96, 96), masks=True, keypoints=True, **options)
    found = read(folder)
    assert found.fields == {"boxes", "masks", "keypoints"}
    assert found.scheme.names == ("top", "left_side", "right_side")
    assert found.scheme.pairs == ((1, 2),)
    hidden = 0
    for index, sample in enumerate(found):
        objects = sample.instances
        # Images and boxes are those without masks and keypoints.
        np.testing.assert_array_equal(found.load(index).image, plain.load(index).image)
        boxes = np.asarray(objects.boxes)
        np.testing.assert_array_equal(boxes, np.asarray(plain[index].instances.boxes))
        bitmaps = objects.masks.bitmaps()
        assert bitmaps.sum(axis=0).max() == 1
        owner = _render((96, 96), np.random.default_rng((0, index)), PLAIN, (3, 5)).owner
        for number, mask in enumerate(bitmaps, start=1):
            cells = (owner == number).reshape(96, 2, 96, 2).sum(axis=(1, 3))
            assert mask[cells >= 3].all()
            assert not mask[cells == 0].any()
        points = objects.keypoints.values
        hidden += int((points[..., 2] == 1).sum())
        assert (points[..., 2] > 0).all()
        assert (points[:, 0, 1] < points[:, 1:, 1].max(axis=1)).all()  # the top is above
        assert (points[:, 1, 0] < points[:, 2, 0]).all()  # left is left of right
        for mask, own in zip(bitmaps, points, strict=True):
            for x, y, seen in own.tolist():
                rows, columns = np.nonzero(mask)
                distance = np.hypot(columns + 0.5 - x, rows + 0.5 - y).min()
                assert seen == 1 or distance < 3
    assert hidden > 0


@pytest.mark.parametrize("name", ["disc", "ring", "box", "triangle", "star"])
def test_keypoints_are_on_the_edge_of_their_shape(name):
    kind = next(kind for kind in PLAIN if kind.shape == name)
    found = _render((128, 128), np.random.default_rng(3), (kind,), (1, 1))
    (placed,) = found.shapes
    rows, columns = np.nonzero(placed.mask)
    centers = np.stack([columns, rows], axis=1) + 0.5
    inward = placed.center + 0.9 * (placed.points - placed.center)
    outward = placed.center + 1.15 * (placed.points - placed.center)
    for inside, outside in zip(inward, outward, strict=True):
        assert np.linalg.norm(centers - inside, axis=1).min() < 2
        assert np.linalg.norm(centers - outside, axis=1).min() > 2
