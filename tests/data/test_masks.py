"""Mask folders: equal results for all layouts, errors with file names, equal transforms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visiongarden.data import SegmentationLoader, read_masks
from visiongarden.doctor.checking import check
from visiongarden.errors import UserError
from visiongarden.scenes import make_mask_scenes
from visiongarden.scenes.scenes import mask_scene, scene
from visiongarden.transforms import SegmentationAugmentation, warp_with_mask


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return make_mask_scenes(tmp_path_factory.mktemp("data") / "scenes", 10, (48, 64))


def test_scenes_are_known(scenes):
    train, val = read_masks(scenes), read_masks(scenes, "val")
    assert (len(train), len(val)) == (8, 2)
    check(train)
    assert make_mask_scenes(scenes, 10, (48, 64)) == scenes
    image, boxes, classes = scene((48, 64), np.random.default_rng((0, 3)))
    same, mask = mask_scene((48, 64), np.random.default_rng((0, 3)))
    np.testing.assert_array_equal(image, same)
    np.testing.assert_array_equal(train.load(3)[1], mask)
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
        options = {"augmentation": SegmentationAugmentation(degrees=20), "shuffle": True} | options
        return [
            (b.images, b.masks)
            for b in SegmentationLoader(read_masks(scenes), (32, 32), 3, **options).epoch(epoch)
        ]

    first = batches(0)
    assert all(np.array_equal(a, b) for x, y in zip(first, batches(0), strict=True)
               for a, b in zip(x, y, strict=True))  # fmt: skip
    assert not np.array_equal(first[0][0], batches(1)[0][0])
    assert not np.array_equal(first[0][0], batches(0, seed=1)[0][0])
    image, mask = batches(0, augmentation=None, shuffle=False)[0]
    assert (mask[:, :4] == 255).all()  # 48 × 64 on 32 × 32: four rows of border
    assert (image[:, :4] == 114).all()
    assert (mask[:, 4:28] < 6).all()


def test_batches_of_several_sizes(scenes):
    settings = SegmentationAugmentation(multi_scale=0.5)
    one = SegmentationLoader(read_masks(scenes), (64, 64), 3, settings, shuffle=True)
    batches = [batch for epoch in range(4) for batch in one.epoch(epoch)]
    assert {batch.images.shape[1:3] for batch in batches} == {(32, 32), (64, 64), (96, 96)}
    assert all(batch.masks.shape == batch.images.shape[:3] for batch in batches)


@given(
    st.floats(0.3, 3), st.floats(-3.1, 3.1), st.floats(-20, 20), st.floats(-20, 20),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_image_and_mask_move_together(scale, angle, dx, dy, seed):
    """The mask is painted into the image too: both must show a class at the same pixels."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((40, 50), np.uint8)
    y, x = rng.integers(5, 20, 2)
    mask[y : y + 15, x : x + 20] = 1
    image = np.repeat(mask[..., None] * np.uint8(200), 3, axis=-1)
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([turn, (25 + dx, 20 + dy) - turn @ (25, 20)])
    moved, masked = warp_with_mask(image, mask, matrix, (40, 50))
    assert (masked[moved[..., 0] > 180] != 0).all()
    sure = (moved[..., 0] > 120) & (masked != 255) & (moved[..., 0] != 114)
    agree = masked[sure] == 1
    assert agree.mean() > 0.9 if agree.size > 50 else True


def test_identity_and_halving_leave_the_mask_exact():
    mask = np.random.default_rng(0).integers(0, 3, (8, 8)).astype(np.uint8)
    image = np.repeat(mask[..., None], 3, axis=-1)
    same = warp_with_mask(image, mask, np.array([[1.0, 0, 0], [0, 1, 0]]), (8, 8))
    np.testing.assert_array_equal(same[0], image)
    np.testing.assert_array_equal(same[1], mask)
    double = warp_with_mask(image, mask, np.array([[2.0, 0, 0], [0, 2, 0]]), (16, 16))[1]
    np.testing.assert_array_equal(double, mask.repeat(2, axis=0).repeat(2, axis=1))
