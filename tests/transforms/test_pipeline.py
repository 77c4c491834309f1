"""The pipeline: order, random numbers, one resampling, visibility, capacity and errors."""

import dataclasses
import logging
import pickle

import cv2
import numpy as np
import pytest

import visiongarden as vg
from visiongarden import transforms
from visiongarden.errors import ConfigError
from visiongarden.samples import (
    Boxes,
    ImageInfo,
    Instances,
    Keypoints,
    Masks,
    RotatedBoxes,
    Sample,
    resizing,
)
from visiongarden.transforms import Pipeline, Transform, Warp
from visiongarden.transforms.transform import size_of


def sample_of(seed=0, height=40, width=50, channels=3, dtype=np.uint8, **fields):
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, channels))
    fields.setdefault("instances", Instances((height, width), Boxes([[10, 10, 30, 25]]), [seed]))
    return Sample(ImageInfo(seed, None, (height, width)), pixels.astype(dtype), **fields)


def run(chosen, samples, size=(64, 64), place=0, epoch=0, **options):
    options = {"capacity": 20, "epochs": 10, "seed": 3} | options
    return Pipeline(chosen, samples, size=size, **options)(place, epoch)


class Fixed(Warp):
    rows: tuple[tuple[float, ...], ...]
    size: tuple[int, int]

    def matrix(self, sample, context, rng):
        return np.array(self.rows, float), self.size


class Noise(Transform):
    def apply(self, sample, context, rng):
        noise = rng.integers(0, 2, sample.image.shape)
        return dataclasses.replace(sample, image=(sample.image // 2 + noise).astype(np.uint8))


class Others(Transform):
    """Show which samples the context returns."""

    count: int = 2

    def apply(self, sample, context, rng):
        found = context.others(self.count, rng)
        placements = np.array([each.info.placement for each in found])
        ids = np.array([each.info.id for each in found])
        return dataclasses.replace(sample, extra={"others": placements, "ids": ids})


# Pixels


@pytest.mark.parametrize("shape", [(40, 50), (130, 90), (64, 64), (33, 200)])
@pytest.mark.parametrize(
    ("chosen", "reference"),
    [
        ([], lambda image, size: transforms.Letterbox().place(image, size)[0]),
        (
            [transforms.Letterbox()],
            lambda image, size: transforms.Letterbox().place(image, size)[0],
        ),
        (
            [transforms.CenterCrop()],
            lambda image, size: transforms.CenterCrop().place(image, size)[0],
        ),
        ([transforms.Resize()], resizing.resize),
    ],
)
def test_images_without_augmentation_are_those_of_evaluation(shape, chosen, reference):
    sample = sample_of(height=shape[0], width=shape[1])
    found = run(chosen, [sample])
    np.testing.assert_array_equal(found.image, reference(sample.image, (64, 64)))
    assert found.image.dtype == np.uint8


def test_a_flip_before_or_after_letterboxing_moves_the_same_pixels():
    sample = sample_of(height=41, width=90)
    flip = transforms.HorizontalFlip(probability=1)
    expected = transforms.Letterbox().place(sample.image, (64, 65))[0]
    after = run([transforms.Letterbox(), flip], [sample], (64, 65))
    np.testing.assert_array_equal(after.image, expected[:, ::-1])
    turned = run([transforms.Letterbox(), transforms.Rotate90(turns=(1,))], [sample])
    np.testing.assert_array_equal(
        turned.image, np.rot90(transforms.Letterbox().place(sample.image, (64, 64))[0], -1)
    )


def test_a_random_crop_is_resized_from_whole_pixels():
    sample = sample_of(height=120, width=150)
    found = run([transforms.RandomResizedCrop(area=(0.2, 0.9))], [sample])
    # The part of the image, from the corners of the canvas.
    corners = np.linalg.inv(found.info.placement) @ np.array([[0, 0, 1], [64, 64, 1]]).T
    (x1, x2), (y1, y2), _ = np.round(corners).astype(int)
    np.testing.assert_allclose(corners[:2], [[x1, x2], [y1, y2]], atol=1e-6)
    part = sample.image[y1:y2, x1:x2]
    assert 0.19 < part.shape[0] * part.shape[1] / (120 * 150) < 0.91
    smaller = part.shape[0] > 64 or part.shape[1] > 64
    expected = cv2.resize(
        part, (64, 64), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    )
    np.testing.assert_array_equal(found.image, expected)


def test_warps_are_resampled_once():
    board = (np.indices((60, 60)).sum(axis=0) % 2 * 255).astype(np.uint8)
    sample = dataclasses.replace(
        sample_of(height=60, width=60), image=board[..., None].repeat(3, axis=2)
    )
    turn = np.array([[0.9, -0.4, 10], [0.4, 0.9, -5], [0, 0, 1]])
    back = np.linalg.inv(turn)
    twice = run([fixed(turn), fixed(back)], [sample], (60, 60))
    np.testing.assert_allclose(twice.info.placement, np.eye(3), atol=1e-9)
    # Resampled twice, the checkerboard would be gray.
    assert np.abs(twice.image.astype(int) - sample.image).max() <= 8
    shear = np.array([[1.1, 0.2, 0], [0, 0.8, 3], [0.001, 0, 1]])
    several = run([fixed(turn), fixed(shear)], [sample], (60, 60))
    single = run([fixed(shear @ turn)], [sample], (60, 60))
    assert np.abs(several.image.astype(int) - single.image).max() <= 8  # rounded coordinates


def fixed(matrix, size=(60, 60)):
    return Fixed(rows=tuple(tuple(map(float, row)) for row in matrix), size=size)


def test_a_canvas_of_another_size_shows_nothing_from_outside():
    sample = sample_of(height=60, width=60)
    sample.image = np.full((60, 60, 3), 200, np.uint8)
    left = fixed([[1, 0, 0], [0, 1, 0], [0, 0, 1]], (60, 20))
    for chosen in ([left], [left, transforms.Affine(scale=0, translate=0, degrees=0)]):
        found = run(chosen, [sample], (60, 60))
        assert (found.image[:, 20:40] == 200).all()
        assert (found.image[:, :20] == 114).all()
        assert (found.image[:, 40:] == 114).all()


# Order and random numbers


FULL = [
    transforms.Mosaic(skip_last_epochs=2),
    transforms.Affine(degrees=10),
    transforms.HorizontalFlip(),
    Noise(),
    transforms.MixUp(probability=0.5),
]


def same(a, b):
    assert type(a) is type(b)
    np.testing.assert_array_equal(a.image, b.image)
    np.testing.assert_array_equal(np.asarray(a.instances.boxes), np.asarray(b.instances.boxes))
    np.testing.assert_array_equal(a.info.placement, b.info.placement)


def test_a_sample_depends_on_seed_epoch_and_place_only():
    samples = [sample_of(i) for i in range(7)]
    pipeline = Pipeline(FULL, samples, size=(64, 64), capacity=20, epochs=9, seed=5)
    found = {(p, e): pipeline(p, e) for e in (0, 1, 8) for p in range(7)}
    other = pickle.loads(pickle.dumps(pipeline))  # noqa: S301
    for key in reversed(found):
        same(other(*key), found[key])
    assert not np.array_equal(found[0, 0].image, found[0, 1].image)
    seeded = Pipeline(FULL, samples, size=(64, 64), capacity=20, epochs=9, seed=6)
    assert not np.array_equal(seeded(0, 0).image, found[0, 0].image)
    # The size may change between batches.
    assert pipeline(0, 0, (32, 48)).image.shape == (32, 48, 3)
    same(pipeline(0, 0), found[0, 0])


def test_one_more_transform_leaves_the_numbers_of_the_others():
    samples = [sample_of(i) for i in range(7)]
    alone = run([transforms.Affine(degrees=30)], samples)
    more = run([transforms.Affine(degrees=30), Noise(), transforms.Affine(scale=0)], samples)
    ratio = more.info.placement @ np.linalg.inv(alone.info.placement)
    np.testing.assert_allclose(ratio[:2, :2], np.eye(2), atol=1e-9)


def test_probability_and_the_last_epochs():
    samples = [sample_of(i) for i in range(400)]
    flip = transforms.HorizontalFlip(probability=0.25, skip_last_epochs=1)
    pipeline = Pipeline([flip], samples, size=(40, 50), capacity=5, epochs=2, seed=0)
    flipped = sum(pipeline(p, 0).info.placement[0, 0] < 0 for p in range(400))
    assert 70 < flipped < 130  # 100 ± 3.5 standard deviations
    assert not any(pipeline(p, 1).info.placement[0, 0] < 0 for p in range(50))
    always = Pipeline(
        [transforms.HorizontalFlip(probability=1)], samples, size=(40, 50), capacity=5, epochs=2,
        seed=0,
    )  # fmt: skip
    # Also if the run goes on for longer than planned.
    assert all(always(0, epoch).info.placement[0, 0] < 0 for epoch in (0, 1, 2, 9))


def test_other_samples_are_at_the_same_stage():
    samples = [sample_of(i) for i in range(6)]
    chosen = [transforms.Affine(degrees=20), transforms.HorizontalFlip(), Others(count=3), Others()]
    found = run(chosen[:3], samples, (40, 50))
    assert len(set(found.extra["ids"])) == 3
    assert 0 not in found.extra["ids"]
    placements = found.extra["others"]
    assert np.unique(placements.round(6), axis=0).shape[0] == 3
    assert all(abs(matrix[0, 1]) > 1e-4 for matrix in placements)  # rotated
    raw = run([Others(count=3)], samples, (40, 50))
    np.testing.assert_array_equal(raw.extra["others"], np.eye(3)[None].repeat(3, axis=0))


def test_a_sample_that_mixes_with_itself_has_other_numbers():
    for place, samples in ((0, [sample_of(0)]), (1, [sample_of(0), sample_of(1)])):
        found = run([transforms.Affine(degrees=20), Others(count=4)], samples, (40, 50), place)
        matrices = [found.info.placement, *found.extra["others"]]
        assert np.unique(np.round(matrices, 6), axis=0).shape[0] == 5


def test_other_images_are_near_in_the_order_of_the_epoch():
    samples = [sample_of(i) for i in range(400)]
    for place in (0, 200, 399):
        ids = run([Others(count=8)], samples, (40, 50), place).extra["ids"]
        away = (place - ids) % 400
        assert len(set(away)) == 8
        assert set(away) <= {8 * i for i in range(1, 17)}


# Objects


def test_visibility_is_decided_at_the_end():
    sample = sample_of()
    out, back = [[1, 0, 45], [0, 1, 0], [0, 0, 1]], [[1, 0, -45], [0, 1, 0], [0, 0, 1]]
    objects = run([fixed(out, (40, 50)), fixed(back, (40, 50))], [sample], (40, 50)).instances
    np.testing.assert_array_equal(np.asarray(objects.boxes), [[10, 10, 30, 25]])


@pytest.mark.parametrize(("shift", "kept"), [(37, True), (39, False)])
@pytest.mark.parametrize("between", [False, True])
def test_fractions_are_relative_to_the_whole_object(shift, kept, between):
    """3 or 1 of 20 columns are visible, also if the object is cut in two steps."""
    moves = [shift - 10, 10] if between else [shift]
    chosen = []
    for move in moves:
        chosen += [fixed([[1, 0, move], [0, 1, 0], [0, 0, 1]], (40, 50)), Noise()]
    found = run(chosen, [sample_of()], (40, 50)).instances
    assert len(found) == kept
    if kept:
        np.testing.assert_array_equal(np.asarray(found.boxes), [[10 + shift, 10, 50, 25]])


def test_small_objects_are_removed_by_random_warps_only():
    tiny = Instances((40, 50), Boxes([[10, 10, 11, 30], [10, 10, 30, 30]]), [0, 1])
    sample = sample_of(instances=tiny)
    assert len(run([], [sample], (40, 50)).instances) == 2
    assert len(run([Noise()], [sample]).instances) == 2
    assert len(run([fixed(np.eye(3), (40, 50))], [sample], (40, 50)).instances) == 1


def test_a_rotated_box_that_is_cut_keeps_its_angle():
    boxes = RotatedBoxes([[25, 20, 40, 8, 30]])
    sample = sample_of(instances=Instances((40, 50), boxes, [0]))
    found = run([fixed([[1, 0, 20], [0, 1, 0], [0, 0, 1]], (40, 50))], [sample], (40, 50))
    assert float(np.asarray(found.instances.boxes)[0, 4]) == pytest.approx(30)
    assert float(np.asarray(found.instances.boxes)[0, 2]) < 40


def test_masks_decide_and_boxes_are_refitted():
    """The right part of the mask is outside; the box becomes the one around the left part."""
    mask = [[[10, 10, 14, 10, 14, 14, 10, 14], [40, 20, 44, 20, 44, 24, 40, 24]]]
    objects = Instances((40, 50), Boxes([[10, 10, 44, 24]]), [0],
                        masks=Masks.from_polygons(mask, (40, 50)), area=[32.0])  # fmt: skip
    found = run(
        [fixed([[1, 0, 15], [0, 1, 0], [0, 0, 1]], (40, 50))],
        [sample_of(instances=objects)],
        (40, 50),
    ).instances
    np.testing.assert_array_equal(np.asarray(found.boxes), [[25, 10, 29, 14]])
    assert found.masks.area().tolist() == [16]
    assert found.area is None  # of the visible part it is not known
    gone = run(
        [fixed([[1, 0, 15], [0, 1, 0], [0, 0, 1]], (40, 50))],
        [sample_of(instances=objects)],
        (40, 50),
        min_visibility=0.6,
    )
    assert len(gone.instances) == 0


@pytest.mark.parametrize(("shift", "kept"), [(5, 2), (25, 2), (37, 1), (45, 1), (49, 0)])
def test_masks_or_keypoints_decide_where_there_are_no_boxes(shift, kept):
    """With a shift of 37, 3 of 20 columns of the first mask are visible."""
    move = [fixed([[1, 0, shift], [0, 1, 0], [0, 0, 1]], (40, 50))]
    ring = [10, 10, 30, 10, 30, 30, 10, 30]
    far = [2, 10, 6, 10, 6, 30, 2, 30]
    masks = Masks.from_polygons([[ring], [far]], (40, 50))
    of_masks = Instances((40, 50), classes=[0, 1], masks=masks)
    found = run(move, [sample_of(instances=of_masks)], (40, 50), min_visibility=0.2).instances
    assert len(found) == kept
    points = [[[10, 10, 2], [30, 30, 1]], [[2, 10, 2], [6, 30, 2]]]
    of_points = Instances((40, 50), classes=[0, 1], keypoints=Keypoints(points, pairs=()))
    found = run(move, [sample_of(instances=of_points)], (40, 50), min_visibility=0.2).instances
    # A point is kept where it is inside: x + shift <= 50.
    inside = [sum(x + shift <= 50 for x, _, _ in each) for each in points]
    assert found.classes.tolist() == [i for i, count in enumerate(inside) if count]
    assert (found.keypoints.values[..., 2] > 0).sum() == sum(inside)


class Centers:
    """A custom field: one point per object."""

    def __init__(self, points):
        self.points = np.asarray(points, float).reshape(-1, 2)

    def __len__(self):
        return len(self.points)

    def __getitem__(self, index):
        return Centers(self.points[index])

    @classmethod
    def concatenate(cls, parts):
        return cls(np.concatenate([part.points for part in parts]))

    def warp(self, matrix, size):
        moved = np.c_[self.points, np.ones(len(self))] @ matrix.T
        return Centers(moved[:, :2] / moved[:, 2:])

    def visible_fraction(self, size):
        return np.ones(len(self))

    def to_targets(self, capacity, size):
        return {"centers": self.points}


def test_a_custom_field_follows_everything():
    samples = []
    for i in range(8):
        box = np.array([[10 + i, 8, 30, 25], [2, 3, 9, 30 + i]], np.float32)
        data = {"centers": Centers((box[:, :2] + box[:, 2:]) / 2), "name": np.array(["a", "b"])}
        samples.append(sample_of(i, instances=Instances((40, 50), Boxes(box), [0, 1], data=data)))
    chosen = [transforms.Mosaic(grid=3), transforms.Affine(scale=(0.5, 0.6), translate=0),
              transforms.VerticalFlip(), transforms.Letterbox(), Noise()]  # fmt: skip
    seen = 0
    for place in range(8):
        found = run(chosen, samples, (160, 200), place, min_visibility=1).instances
        boxes, centers = np.asarray(found.boxes), found.data["centers"].points
        np.testing.assert_allclose((boxes[:, :2] + boxes[:, 2:]) / 2, centers, atol=1e-3)
        assert (found.data["name"] == np.array(["a", "b"])[found.classes]).all()
        seen += len(found)
    assert seen > 60


# Keypoints


@pytest.mark.parametrize("flip", [transforms.HorizontalFlip, transforms.VerticalFlip])
def test_flips_are_off_where_pairs_are_unknown(flip, caplog):
    points = Keypoints([[[12, 12, 2], [28, 20, 2]]])
    objects = Instances((40, 50), Boxes([[10, 10, 30, 25]]), [0], keypoints=points)
    samples = [sample_of(i, instances=objects) for i in range(3)]
    pipeline = Pipeline([flip(probability=1)], samples, size=(40, 50), capacity=5, epochs=1, seed=0)
    with caplog.at_level(logging.WARNING):
        for place in range(3):
            found = pipeline(place, 0)
            np.testing.assert_array_equal(found.image, samples[place].image)
            np.testing.assert_array_equal(found.instances.keypoints.values, points.values)
    assert len(caplog.records) == 1
    assert "left and right" in caplog.text


def test_no_mirror_of_unknown_pairs_in_other_warps():
    """The remaining matrix has a positive determinant, and moves points and pixels alike."""
    points = Keypoints([[[12, 12, 2]]])
    objects = Instances((40, 50), Boxes([[11, 11, 13, 13]]), [0], keypoints=points)
    sample = sample_of(instances=objects)
    for warp in (fixed([[-1.2, 0.3, 50], [0.1, 0.9, 1], [0, 0, 1]], (40, 50)),):
        for found in (run([warp], [sample], (40, 50)),):
            assert np.linalg.det(found.info.placement) > 0
            expected = found.info.placement @ [12, 12, 1]
            np.testing.assert_allclose(
                found.instances.keypoints.values[0, 0, :2], expected[:2], atol=1e-4
            )


# Errors


class InPlace(Transform):
    def apply(self, sample, context, rng):
        sample.image[:] = 0
        return sample


class OnlyMatrix(Warp):
    def matrix(self, sample, context, rng):
        return np.eye(3)


class Draws(Warp):
    random = False

    def matrix(self, sample, context, rng):
        return np.diag([rng.uniform(1, 2), 1, 1]), size_of(sample)


class Needy(Transform):
    rgb_only = True

    def apply(self, sample, context, rng):
        return sample


class Doubles(Transform):
    def apply(self, sample, context, rng):
        objects = sample.instances
        return dataclasses.replace(sample, instances=Instances.concatenate([objects] * 20))


class Image(Transform):
    def apply(self, sample, context, rng):
        return sample.image


@pytest.mark.parametrize(
    ("chosen", "sample", "message"),
    [
        ([InPlace()], sample_of(), r"InPlace changes an array.*\n.*\n.*copy\(\)"),
        ([Draws()], sample_of(), r"(?s)Draws uses random numbers.*random = True"),
        ([Needy()], sample_of(channels=4), r"(?s)Needy cannot.*3 channels.*4 channels.*remove"),
        ([Needy()], sample_of(dtype=np.uint16), r"(?s)Needy cannot.*uint16"),
        ([Doubles()], sample_of(), r"(?s)Doubles has more objects.*capacity=20"),
        ([Image()], sample_of(), r"(?s)Image.apply does not return a sample.*replace"),
        ([fixed(np.zeros((3, 3)))], sample_of(), "(?s)Fixed cannot be applied.*be inverted"),
        ([fixed(np.eye(2))], sample_of(), "(?s)Fixed cannot be applied.*invalid shape"),
        ([fixed(np.eye(3), (-1, 5))], sample_of(), "(?s)Fixed cannot.*size of the canvas"),
        ([OnlyMatrix()], sample_of(), r"(?s)OnlyMatrix.matrix does not.*size_of\(sample\)"),
        ([transforms.Mosaic], sample_of(), r"(?s)not a transform.*Mosaic\(\)"),
        ([], dataclasses.replace(sample_of(), image=None), "not decoded"),
    ],
)
def test_errors_name_the_transform_and_a_fix(chosen, sample, message):
    with pytest.raises(vg.UserError, match=message):
        run(chosen, [sample], capacity=10)


class Fails(Transform):
    def apply(self, sample, context, rng):
        return sample.instances.boxes.corners


class FailsToWarp(Warp):
    def matrix(self, sample, rng):
        return np.eye(3), (9, 9)


class Changes(Transform):
    dtype: str = "uint8"
    channels: int = 3

    def apply(self, sample, context, rng):
        image = sample.image[..., : self.channels].astype(self.dtype)
        return dataclasses.replace(sample, image=image)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (Fails(), r"(?s)Fails.apply failed on image 7.*AttributeError.*\(test_pipeline.py:\d+\)"),
        (FailsToWarp(), r"(?s)FailsToWarp.matrix failed on image 7.*takes 3 positional arguments"),
        (Changes(channels=1), r"(?s)Changes.apply changes.*uint8 with 3.*\(40, 50, 1\)"),
        (Changes(dtype="float32"), r"(?s)Changes.apply changes.*float32.*astype"),
    ],
)
def test_what_fails_in_a_custom_transform_is_named(chosen, message):
    with pytest.raises(vg.UserError, match=message) as caught:
        run([chosen], [sample_of(7)])
    assert caught.value.fix


def test_more_objects_than_the_capacity():
    objects = Instances((40, 50), Boxes([[0, 0, 9, 9]] * 11), np.zeros(11, int))
    with pytest.raises(vg.UserError, match=r"(?s)image 0 has more objects.*capacity=11"):
        run([], [sample_of(instances=objects)], capacity=10)


@pytest.mark.parametrize(
    "options", [{"min_visibility": 1.5}, {"seed": -1}, {"fill": ()}], ids=lambda o: next(iter(o))
)
def test_invalid_arguments(options):
    with pytest.raises(vg.UserError, match="fix:"):
        run([], [sample_of()], **options)


@pytest.mark.parametrize(
    ("fill", "message"), [((1, 2), "one value per channel"), ((300,), "0 to 255"), ((-1,), "0 to")]
)
def test_invalid_fill_values(fill, message):
    for chosen in ([], [transforms.RandomErasing()], [transforms.Mosaic()]):
        with pytest.raises(vg.UserError, match=message):
            run(chosen, [sample_of()], fill=fill)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("Affine", {"scale": 1.0}),
        ("Affine", {"scale": [1.2, 0.8]}),
        ("Affine", {"degrees": 200}),
        ("Affine", {"translate": -0.1}),
        ("Affine", {"shear": 60}),
        ("Perspective", {"distortion": 0.5}),
        ("RandomCrop", {"min_side": 0}),
        ("RandomResizedCrop", {"area": [0.9, 0.1]}),
        ("RandomResizedCrop", {"ratio": [0, 1]}),
        ("Rotate90", {"turns": []}),
        ("Rotate90", {"turns": [4]}),
        ("HorizontalFlip", {"probability": 2}),
        ("Mosaic", {"grid": 4}),
        ("Mosaic", {"skip_last_epochs": -1}),
        ("MixUp", {"alpha": 0}),
        ("MixUp", {"alpha": float("inf")}),
        ("RandomResizedCrop", {"ratio": [1, float("inf")]}),
        ("Affine", {"scale": float("nan")}),
        ("CutMix", {"alpha": 0}),
        ("CopyPaste", {"share": 2}),
        ("RandomErasing", {"max_side": 0}),
        ("Letterbox", {"fill": -3}),
        ("Letterbox", {"align": "left"}),
        ("CenterCrop", {"fraction": 0}),
    ],
)
def test_invalid_fields(name, fields):
    with pytest.raises(ConfigError, match=next(iter(fields))):
        Transform.from_dict({"type": name} | fields)


def test_an_unknown_transform_lists_the_nearest_names():
    with pytest.raises(ConfigError, match="Mosaic"):
        Transform.from_dict({"type": "Mosiac"})


@pytest.mark.parametrize(
    "name",
    ["Affine", "CenterCrop", "CopyPaste", "CutMix", "HorizontalFlip", "Letterbox", "MixUp",
     "Mosaic", "Perspective", "RandomCrop", "RandomErasing", "RandomResizedCrop", "Resize",
     "Rotate90", "VerticalFlip"],
)  # fmt: skip
@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (5, np.uint16), (16, np.float32)])
def test_any_number_of_channels(name, channels, dtype):
    """Each channel of the result is that of a list of images with this channel alone."""
    samples = [sample_of(i, 90, 70, channels, dtype) for i in range(5)]
    value = Transform.from_dict({"type": name, "probability": 1})
    assert Transform.from_dict(value.to_dict()) == value
    fill = tuple(range(channels))
    found = run([value, transforms.Affine(degrees=5)], samples, fill=fill)
    assert found.image.shape == (64, 64, channels)
    assert found.image.dtype == dtype
    for channel in {0, channels - 1}:
        single = [
            dataclasses.replace(s, image=s.image[..., channel : channel + 1].copy())
            for s in samples
        ]
        alone = run([value, transforms.Affine(degrees=5)], single, fill=(channel,))
        # OpenCV's kernels for one and for four channels round differently, so that they also
        # differ in a few pixels at the border of the image.
        difference = np.abs(found.image[..., channel].astype(float) - alone.image[..., 0])
        assert (difference > 9).mean() < 0.005
        assert np.median(difference) < 1
        np.testing.assert_array_equal(
            np.asarray(found.instances.boxes), np.asarray(alone.instances.boxes)
        )
