"""Transforms that combine images: mosaics, mix-up, CutMix, copy-paste, random erasing."""

import dataclasses

import numpy as np
import pytest

import visiongarden as vg
from visiongarden.samples import Boxes, ImageInfo, Instances, Keypoints, Masks, RotatedBoxes, Sample
from visiongarden.transforms import (
    Affine,
    CopyPaste,
    CutMix,
    HorizontalFlip,
    MixUp,
    Mosaic,
    Pipeline,
    RandomErasing,
    Rotate90,
)

COLORS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [255, 0, 255],
                   [0, 255, 255], [255, 255, 255], [255, 128, 0], [128, 0, 255]])  # fmt: skip


def run(chosen, samples, size=(64, 64), place=0, **options):
    options = {"capacity": 100, "epochs": 1, "seed": 3} | options
    return Pipeline(chosen, samples, size=size, **options)(place, 0)


def gray(value, size=(64, 64), number=0, **fields):
    return Sample(ImageInfo(number, None, size), np.full((*size, 3), value, np.uint8), **fields)


def colored(number, rng, masks=False):
    """Return a black image with one rectangle, whose color is that of its class."""
    height, width = (int(v) for v in rng.integers(60, 130, 2))
    x1, y1 = (int(v * rng.uniform(0, 0.5)) for v in (width, height))
    x2, y2 = x1 + int(0.45 * width), y1 + int(0.45 * height)
    image = np.zeros((height, width, 3), np.uint8)
    image[y1:y2, x1:x2] = COLORS[number]
    objects = Instances((height, width), Boxes([[x1, y1, x2, y2]]), [number])
    if masks:
        ring = [x1, y1, x2, y1, x2, y2, x1, y2]
        objects = objects.replace(masks=Masks.from_polygons([[ring]], (height, width)))
    return Sample(ImageInfo(number, None, (height, width)), image, objects)


def boxes_of(image):
    """Return the boxes around the pixels of each color, from the pixels of the image."""
    found = {}
    for number, color in enumerate(COLORS):
        # Interpolated pixels at the border count from half of the color on.
        mask = (np.abs(image.astype(int) - color) < 64).all(axis=2)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if mask.sum() > 12:
            found[number] = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], mask.sum()
    return found


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("grid", [2, 3])
def test_labels_of_a_mosaic_are_where_the_pixels_are(grid, masks):
    """Including the parts that cells, the canvas and the affine transform hide."""
    total = 0
    count = grid * grid
    for seed in range(12):
        rng = np.random.default_rng(seed)
        samples = [colored(i, rng, masks) for i in range(count)]
        chosen = [
            Mosaic(grid=grid),
            Affine(scale=0, translate=0.4),
            HorizontalFlip(),
            Rotate90(turns=(0, 2)),
        ]
        found = run(chosen, samples, (200, 240), seed=seed, place=seed % count)
        seen = boxes_of(found.image)
        boxes = np.asarray(found.instances.boxes)
        classes = found.instances.classes.tolist()
        assert found.info.id == seed % count
        for box, number in zip(boxes, classes, strict=True):
            if (box[2:] - box[:2]).min() < 8:
                continue
            np.testing.assert_allclose(box, seen[number][0], atol=2.6)
            total += 1
        for number, (_, pixels) in seen.items():
            x1, y1, x2, y2 = np.asarray(samples[number].instances.boxes)[0]
            height, width = samples[number].image.shape[:2]
            scale = min(200 / height, 240 / width) * 2 / grid
            share = pixels / ((x2 - x1) * (y2 - y1) * scale**2)
            if abs(share - 0.1) > 0.03:
                assert (number in classes) == (share > 0.1)
    assert total > 15


def test_nine_images_become_four_and_four_become_one():
    """The numbers of objects decide, before anything is cut."""
    samples = [colored(i, np.random.default_rng(i)) for i in range(9)]
    for capacity, colors in ((9, 9), (8, 4), (4, 4), (3, 1), (1, 1)):
        found = run([Mosaic(grid=3), Affine(scale=(0.4, 0.41), translate=0)], samples, (200, 200),
                    capacity=capacity)  # fmt: skip
        assert len(found.instances) == colors
    two = Instances((64, 64), Boxes([[0, 0, 9, 9]] * 2), [0, 0])
    with pytest.raises(vg.UserError, match=r"(?s)image 0 has more objects.*capacity=2"):
        run([Mosaic()], [gray(0, instances=two)] * 4, capacity=1)


def test_annotations_of_all_types_are_combined():
    size = (64, 64)
    boxes = Boxes([[4, 4, 40, 40]])
    square = [4, 4, 40, 4, 40, 40, 4, 40]
    bitmap = np.zeros((1, 64, 64), bool)
    bitmap[:, 4:40, 4:40] = True
    samples = [
        gray(1, instances=Instances(size, boxes, [0], masks=Masks.from_polygons([[square]], size),
                                    area=[36.0**2])),
        gray(2, instances=Instances(size, boxes, [1], masks=Masks.from_bitmaps(bitmap))),
        gray(3, instances=Instances(size, boxes, [2], crowd=[True],
                                    keypoints=Keypoints([[[9, 9, 2]]], pairs=()))),
        gray(4),
    ]  # fmt: skip
    zoom = Affine(scale=(0.45, 0.451), translate=0)
    # With most meeting points, a cell cuts one of the images.
    results = (run([Mosaic(), zoom], samples, seed=s, min_visibility=1).instances
               for s in range(100))  # fmt: skip
    found = next(each for each in results if len(each) == 3)
    assert sorted(found.classes.tolist()) == [0, 1, 2]
    order = np.argsort(found.classes)
    found = found[order]
    assert found.masks.present().tolist() == [True, True, False]
    assert found.crowd.tolist() == [False, False, True]
    assert (found.keypoints.values[:, 0, 2] > 0).tolist() == [False, False, True]
    assert found.area is None
    scale = 0.45
    np.testing.assert_allclose(found.masks.area()[:2], (36 * scale) ** 2, rtol=0.1)


def test_two_parts_of_a_mask_stay_one_object():
    parts = [[2, 2, 20, 2, 20, 20, 2, 20], [44, 44, 62, 44, 62, 62, 44, 62]]
    objects = Instances((64, 64), Boxes([[2, 2, 62, 62]]), [0],
                        masks=Masks.from_polygons([parts], (64, 64)))  # fmt: skip
    samples = [gray(i, instances=objects, number=i) for i in range(4)]
    found = run([Mosaic(), Affine(scale=(0.4, 0.401), translate=0)], samples).instances
    assert len(found) == 4
    assert [len(polygons) for polygons in found.masks.polygons()] == [2, 2, 2, 2]


def test_known_classes_are_those_of_all_images():
    known = [np.array(v) for v in ([True, True, False], [True, False, True], [True, True, True])]
    samples = [gray(i, known_classes=k, number=i) for i, k in enumerate(known)] + [gray(3)]
    assert run([Mosaic()], samples).known_classes.tolist() == [True, False, False]
    mixed = run([MixUp()], samples[:2])
    assert mixed.known_classes.tolist() == [True, False, False]
    assert run([MixUp()], [gray(1), gray(2)]).known_classes is None


# Mix-up and CutMix


@pytest.mark.parametrize("transform", [MixUp(alpha=1), CutMix()])
def test_labels_are_blended_by_the_actual_share(transform):
    """The images are black and white, so that the mean is the share of the white one."""
    labels = np.array([[1, 0, np.nan, 0], [0, 1, 1, np.nan]], np.float32)
    black, white = (
        Sample(ImageInfo(i, None, (64, 64)), np.full((64, 64, 1), float(i), np.float32),
               labels=labels[i])
        for i in (0, 1)
    )  # fmt: skip
    shares = []
    for seed in range(20):
        found = run([transform], [black, white], seed=seed)
        share = float(found.image.mean())
        np.testing.assert_allclose(found.labels[:2], [1 - share, share], atol=1e-6)
        if 0 < share < 1:
            assert np.isnan(found.labels[2:]).all()
        assert found.labels.dtype == np.float32
        shares.append(share)
    assert np.std(shares) > 0.15


def test_mixup_keeps_the_objects_of_both():
    one = Instances((64, 64), Boxes([[1, 1, 9, 9]]), [0])
    two = Instances((64, 64), Boxes([[20, 20, 30, 40], [0, 0, 64, 64]]), [1, 2])
    samples = [gray(0, instances=one), gray(200, instances=two)]
    found = run([MixUp()], samples)
    np.testing.assert_array_equal(
        np.asarray(found.instances.boxes), [[1, 1, 9, 9], [20, 20, 30, 40], [0, 0, 64, 64]]
    )
    assert found.instances.classes.tolist() == [0, 1, 2]
    assert 60 < found.image[0, 0, 0] < 140
    assert len(run([MixUp()], samples, capacity=2).instances) == 1
    assert (run([MixUp()], samples, capacity=2).image == 0).all()


def test_mixup_after_a_mosaic_blends_two_finished_mosaics():
    samples = [colored(i, np.random.default_rng(i)) for i in range(9)]
    chosen = [Mosaic(), Affine(scale=(0.45, 0.46), translate=0), MixUp()]
    found = run(chosen, samples, (200, 200))
    assert len(found.instances) == 8
    assert found.image.shape == (200, 200, 3)


def test_images_of_other_sizes_are_fitted_before_they_are_mixed():
    samples = [gray(100, (32, 64)), gray(100, (64, 32), number=1)]
    found = run([MixUp(alpha=1e4)], samples)
    # Where the letterboxed images overlap, and where only one of them is.
    assert found.image[32, 32].tolist() == [100] * 3
    assert found.image[32, 2].tolist() == [107] * 3
    assert found.image[2, 2].tolist() == [114] * 3


def test_cutmix_cuts_the_objects_of_both():
    one = Instances((64, 64), Boxes([[0, 0, 64, 64]]), [0])
    two = Instances((64, 64), Boxes([[0, 0, 64, 64]]), [1])
    points = np.zeros((64, 64), np.uint8)
    samples = [gray(0, instances=one, semantic=points),
               gray(255, instances=two, semantic=points + 1)]  # fmt: skip
    seen = set()
    for seed in range(30):
        found = run([CutMix()], samples, seed=seed)
        white = found.image[..., 0] == 255
        np.testing.assert_array_equal(found.semantic == 1, white)
        classes = found.instances.classes.tolist()
        seen.add(tuple(classes))
        boxes = np.asarray(found.instances.boxes)
        assert (0 in classes) == (white.mean() <= 0.9)
        if 1 in classes:
            rows, columns = np.nonzero(white)
            around = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_array_equal(boxes[classes.index(1)], around)
            assert white.mean() >= 0.1
        elif white.any():
            assert white.mean() < 0.1
    assert len(seen) >= 2


# Copy-paste and erasing


@pytest.mark.parametrize("form", ["polygons", "rle", "bitmaps"])
def test_pasted_objects_cover_those_below(form):
    size = (64, 64)
    bitmap = np.zeros((1, *size), bool)
    bitmap[0, 10:30, 10:40] = True
    made = {
        "polygons": Masks.from_polygons([[[10, 10, 40, 10, 40, 30, 10, 30]]], size),
        "bitmaps": Masks.from_bitmaps(bitmap),
        "rle": Masks.from_rle(Masks.from_bitmaps(bitmap).rle(), size),
    }[form]
    donor = Instances(size, Boxes([[10, 10, 40, 30]]), [1], masks=made)
    # Half of the first is covered, nine tenths and more of the second, nothing of the third.
    rings = [[20, 10, 60, 10, 60, 30, 20, 30], [11, 11, 38, 11, 38, 29, 11, 29],
             [0, 40, 9, 40, 9, 60, 0, 60]]  # fmt: skip
    below = Instances(
        size,
        Boxes([[20, 10, 60, 30], [11, 11, 38, 29], [0, 40, 9, 60]]),
        [2, 3, 4],
        masks=Masks.from_polygons([[ring] for ring in rings], size),
        keypoints=Keypoints([[[25, 20, 2], [50, 20, 2]], [[20, 20, 2]] * 2, [[5, 50, 2]] * 2],
                            pairs=()),
    )  # fmt: skip
    samples = [gray(0, instances=below), gray(255, instances=donor, number=1)]
    found = run([CopyPaste(share=1, flip=0)], samples)
    np.testing.assert_array_equal(found.image[..., 0] == 255, bitmap[0])
    objects = found.instances
    assert objects.classes.tolist() == [2, 4, 1]
    np.testing.assert_array_equal(
        np.asarray(objects.boxes), [[40, 10, 60, 30], [0, 40, 9, 60], [10, 10, 40, 30]]
    )
    bitmaps = objects.masks.bitmaps()
    assert not (bitmaps[0] & bitmaps[2]).any()
    assert bitmaps.sum(axis=(1, 2)).tolist() == [400, 180, 600]
    # The covered point is labeled but hidden.
    assert objects.keypoints.values[0, :, 2].tolist() == [1, 2]
    assert len(run([CopyPaste(share=1)], samples, capacity=3).instances) == 3
    mirrored = run([CopyPaste(share=1, flip=1)], samples)
    np.testing.assert_array_equal(mirrored.image[..., 0] == 255, bitmap[0][:, ::-1])


def test_objects_without_a_mask_and_crowds_are_not_pasted():
    size = (64, 64)
    masks = Masks.from_polygons([None, [[10, 10, 40, 10, 40, 30]]], size)
    boxes = Boxes([[10, 10, 40, 30]] * 2)
    donor = Instances(size, boxes, [0, 1], masks=masks, crowd=[False, True])
    found = run([CopyPaste(share=1)], [gray(0), gray(255, instances=donor)])
    assert (found.image == 0).all()
    assert len(found.instances) == 0


def test_erasing_removes_objects_of_which_too_little_is_left():
    size = (64, 64)
    objects = Instances(
        size, Boxes([[x, y, x + 8, y + 8] for x in range(0, 64, 8) for y in range(0, 64, 8)]),
        np.arange(64),
    )  # fmt: skip
    removed = 0
    for seed in range(20):
        found = run([RandomErasing(max_side=0.6)], [gray(0, instances=objects)], seed=seed)
        hidden = found.image[..., 0] == 114
        assert (hidden | (found.image[..., 0] == 0)).all()
        left = 1 - hidden.reshape(8, 8, 8, 8).mean(axis=(1, 3)).T.ravel()
        expected = np.flatnonzero(left >= 0.1)
        np.testing.assert_array_equal(found.instances.classes, expected)
        np.testing.assert_array_equal(
            np.asarray(found.instances.boxes), np.asarray(objects.boxes)[expected]
        )
        removed += 64 - len(expected)
    assert removed > 50


def test_a_rotated_box_is_hidden_by_its_own_area():
    boxes = RotatedBoxes([[32, 32, 60, 6, 45]])
    image = gray(0, instances=Instances((64, 64), boxes, [0]))
    kept = 0
    for seed in range(20):
        found = run([RandomErasing(max_side=1, min_visibility=0.9)], [image], seed=seed)
        hidden = found.image[..., 0] == 114
        rows, columns = np.indices((64, 64)) + 0.5
        along, across = (columns + rows - 64) / 2**0.5, (rows - columns) / 2**0.5
        inside = (np.abs(along) < 30) & (np.abs(across) < 3)
        share = hidden[inside].mean()
        if abs(share - 0.1) > 0.02:
            assert len(found.instances) == (share < 0.1)
        kept += len(found.instances)
    assert 0 < kept < 20


# Errors


def labeled(**fields):
    return gray(0, **fields), gray(1, number=1)


@pytest.mark.parametrize(
    ("transform", "fields", "message"),
    [
        (MixUp(), {"semantic": np.zeros((64, 64), np.uint8)}, r"(?s)semantic masks.*CutMix"),
        (MixUp(), {"labels": np.ones(2, np.float32)}, r"(?s)with and without labels.*nan"),
        (Mosaic(), {"labels": np.ones(2, np.float32)}, r"(?s)labels of the whole.*MixUp or CutMix"),
        (Mosaic(), {"extra": {"depth": np.ones((64, 64))}}, r"(?s)different annotations.*extra"),
        (CutMix(), {"extra": {"depth": np.ones((64, 64))}}, r"(?s)CutMix cannot.*depth.*remove"),
    ],
)
def test_annotations_that_cannot_be_combined(transform, fields, message):
    with pytest.raises(vg.UserError, match=message):
        run([transform], labeled(**fields))


def test_images_of_other_types_cannot_be_combined():
    one = gray(0)
    for other in (
        dataclasses.replace(one, image=np.zeros((64, 64, 4), np.uint8)),
        dataclasses.replace(one, image=np.zeros((64, 64, 3), np.uint16)),
    ):
        for transform in (Mosaic(), MixUp(), CutMix(), CopyPaste()):
            with pytest.raises(vg.UserError, match="different types"):
                run([transform], [one, other])


def test_extra_arrays_and_semantic_masks_follow_a_mosaic():
    samples = []
    for i in range(4):
        ids = np.full((64, 64), i + 1, np.int64)
        samples.append(gray(i + 1, semantic=ids.astype(np.uint8), extra={"ids": ids}, number=i))
    found = run([Mosaic(), Affine(degrees=20), HorizontalFlip()], samples, fill=(0,))
    inside = found.image[..., 0] > 0
    assert 0.2 < inside.mean() <= 1
    clean = inside & (found.semantic != 255) & (found.extra["ids"] > 0)
    assert clean.sum() > 0.97 * inside.sum()
    # The images adjoin along two lines, where linear and nearest interpolation differ.
    assert (found.semantic[clean] == found.image[..., 0][clean]).mean() > 0.97
    np.testing.assert_array_equal(found.semantic[clean], found.extra["ids"][clean])
    assert set(np.unique(found.semantic)) <= {1, 2, 3, 4, 255}


@pytest.mark.parametrize("grid", [2, 3])
def test_boxes_of_all_tiles_are_cut_as_those_of_each(grid):
    random = np.random.default_rng(grid)
    plain, tracked = [], []
    for index in range(12):
        height, width = random.integers(30, 90, 2).tolist()
        corners = np.sort(random.uniform(0, 1, (index % 4, 2, 2)), axis=1).reshape(-1, 4)
        boxes = Boxes(corners * (width, height, width, height))
        objects = Instances(
            (height, width), boxes, np.arange(len(boxes)), area=random.uniform(1, 9, len(boxes))
        )
        info = ImageInfo(index, None, (height, width))
        image = np.full((height, width, 1), index, np.uint8)
        plain.append(Sample(info, image, objects))
        # With a further column, the objects of each image are cut and moved alone.
        data = {"track": np.arange(len(boxes))}
        tracked.append(Sample(info, image, objects.replace(data=data)))
    results = [
        Pipeline([Mosaic(grid=grid)], samples, size=(64, 80), capacity=30, epochs=1, seed=0)
        for samples in (plain, tracked)
    ]
    for place in range(12):
        one, other = (pipeline(place, epoch=0).instances for pipeline in results)
        np.testing.assert_array_equal(np.asarray(one.boxes), np.asarray(other.boxes))
        np.testing.assert_array_equal(one.classes, other.classes)
        assert (one.area is None) == (other.area is None)
        if one.area is not None:
            np.testing.assert_allclose(one.area, other.area, rtol=1e-12)
