"""Mask folders: equal results for all layouts, errors with file names, equal transforms."""

import numpy as np
import pytest

from visiongarden.data import read
from visiongarden.doctor.checking import check
from visiongarden.errors import UserError
from visiongarden.scenes import make_mask_scenes
from visiongarden.scenes.scenes import mask_scene, scene
from visiongarden.tasks import find
from visiongarden.transforms import Affine, HorizontalFlip


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return make_mask_scenes(tmp_path_factory.mktemp("data") / "scenes", 10, (48, 64))


def test_scenes_are_known(scenes):
    train, val = read(scenes), read(scenes, split="val")
    assert (len(train), len(val)) == (8, 2)
    check(train)
    assert make_mask_scenes(scenes, 10, (48, 64)) == scenes
    image, boxes, classes = scene((48, 64), np.random.default_rng((0, 3)))
    same, mask = mask_scene((48, 64), np.random.default_rng((0, 3)))
    np.testing.assert_array_equal(image, same)
    np.testing.assert_array_equal(train.load(3).semantic, mask)
    assert set(np.unique(mask)) - {0} <= {c + 1 for c in classes}
    # Pixels that are not background are inside the boxes of the objects.
    inside = np.zeros(mask.shape, bool)
    for x1, y1, x2, y2 in boxes:
        inside[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = True
    assert not (mask.astype(bool) & ~inside).any()
    with pytest.raises(UserError, match="not empty"):
        make_mask_scenes(scenes, 11, (48, 64))


def test_epochs_repeat_and_differ(scenes):
    def batches(epoch, **options):
        transforms = (Affine(degrees=20), HorizontalFlip())
        options = {"transforms": transforms, "shuffle": True} | options
        loader = find("segmentation").loader(read(scenes), (32, 32), 3, **options)
        return [(batch.images, batch.targets["semantic"]) for batch in loader.epoch(epoch)]

    first = batches(0)
    assert all(np.array_equal(a, b) for x, y in zip(first, batches(0), strict=True)
               for a, b in zip(x, y, strict=True))  # fmt: skip
    assert not np.array_equal(first[0][0], batches(1)[0][0])
    assert not np.array_equal(first[0][0], batches(0, seed=1)[0][0])
    image, mask = batches(0, transforms=None, shuffle=False)[0]
    assert (mask[:, :4] == 255).all()  # 48 × 64 on 32 × 32: four rows of border
    assert (image[:, :4] == 114).all()
    assert (mask[:, 4:28] < 6).all()


def test_batches_of_several_sizes(scenes):
    options = {"transforms": (Affine(),), "multi_scale": 0.5, "shuffle": True}
    one = find("segmentation").loader(read(scenes), (64, 64), 3, **options)
    batches = [batch for epoch in range(4) for batch in one.epoch(epoch)]
    assert {batch.images.shape[1:3] for batch in batches} == {(32, 32), (64, 64), (96, 96)}
    assert all(batch.targets["semantic"].shape == batch.images.shape[:3] for batch in batches)
