"""RandAugment and AutoAugment: their operations, and boxes, masks and keypoints that follow."""

from collections import Counter

import cv2
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from visiongarden.errors import ConfigError, UserError
from visiongarden.samples import Boxes, ImageInfo, Instances, Keypoints, Masks, Sample
from visiongarden.transforms import AutoAugment, Pipeline, RandAugment, Transform
from visiongarden.transforms.fixed_cutout import FixedCutout
from visiongarden.transforms.fixed_warp import FixedWarp
from visiongarden.transforms.image_operations import OPERATIONS, ImageOperation
from visiongarden.transforms.randaugment import NAMES, operation

SIZE = (60, 80)


class Context:
    size, epoch, epochs, capacity, fill = SIZE, 0, 1, 10, (114,)

    def others(self, count, rng):
        raise NotImplementedError


def rng(seed=0):
    return np.random.default_rng(seed)


def picture(seed=0):
    return rng(seed).integers(20, 230, (*SIZE, 3)).astype(np.uint8)


def sample(image=None):
    ring = [[20, 15, 50, 15, 50, 40, 20, 40]]
    return Sample(
        ImageInfo(0, None, SIZE),
        picture() if image is None else image,
        Instances(
            SIZE,
            Boxes([[20, 15, 50, 40]]),
            [2],
            masks=Masks.from_polygons([ring], SIZE),
            keypoints=Keypoints([[[20, 15, 2], [50, 40, 2]]], pairs=()),
        ),
    )


def enhanced(kind, strength):
    return lambda image: np.asarray(kind(Image.fromarray(image)).enhance(1 + 0.9 * strength))


def operated(function, *arguments):
    return lambda image: np.asarray(function(Image.fromarray(image), *arguments))


@pytest.mark.parametrize(
    ("name", "strength", "expected", "limit"),
    [
        ("identity", 1, lambda image: image, 0),
        ("auto_contrast", 1, operated(ImageOps.autocontrast), 1),
        ("solarize", 0.5, operated(ImageOps.solarize, 128), 0),
        ("posterize", 1, operated(ImageOps.posterize, 4), 0),
        ("posterize", -0.5, operated(ImageOps.posterize, 6), 0),
        ("brightness", 0.5, enhanced(ImageEnhance.Brightness, 0.5), 1),
        ("brightness", -1, enhanced(ImageEnhance.Brightness, -1), 1),
        ("contrast", 0.7, enhanced(ImageEnhance.Contrast, 0.7), 1),
        ("color", -0.6, enhanced(ImageEnhance.Color, -0.6), 1),
        ("color", 0.2, enhanced(ImageEnhance.Color, 0.2), 1),
    ],
)
def test_operations_equal_pillow(name, strength, expected, limit):
    image = picture()
    before = image.copy()
    found = ImageOperation(name=name, strength=strength, policy="P").change(image, None)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected(image)).max() <= limit
    assert (image == before).all()


def test_equalize_spreads_the_ranks_of_each_channel():
    """s = 255 (cdf - cdf_min) / (n - cdf_min), Gonzalez and Woods, section 3.3."""
    image = picture()
    found = OPERATIONS["equalize"](image, 0)
    for channel in range(3):
        values = image[..., channel]
        counts = np.array([(values <= v).sum() for v in range(256)])
        first = counts[counts > 0][0]
        table = np.rint((counts - first) / (values.size - first) * 255)
        assert np.abs(found[..., channel] - table[values]).max() <= 1


@pytest.mark.parametrize("strength", [-1, 0.4])
def test_sharpness_equals_pillow_inside(strength):
    image = picture()
    found = OPERATIONS["sharpness"](image, strength).astype(int)
    expected = enhanced(ImageEnhance.Sharpness, strength)(image)
    assert np.abs(found - expected)[1:-1, 1:-1].max() <= 2  # Pillow leaves the border as it is


def test_rand_augment_chooses_each_of_fourteen_operations_equally():
    assert len(NAMES) == 14
    policy, drawn = RandAugment(operations=2, magnitude=5), rng()
    chosen = Counter(one for _ in range(7000) for one in map(repr, policy.choose(drawn)))
    kinds = Counter()
    for name in NAMES:
        sides = {repr(operation(name, s)) for s in (-0.5, 0.5)}
        kinds[name] = sum(chosen[side] for side in sides)
        for side in sides:
            assert chosen[side] == pytest.approx(kinds[name] / len(sides), rel=0.15)
    assert sum(kinds.values()) == 14000
    assert all(count == pytest.approx(1000, rel=0.1) for count in kinds.values())


def test_the_ranges_of_geometric_operations():
    assert operation("rotate", 1).degrees == 30
    assert operation("shear_x", -1).shear_x == pytest.approx(-0.3)
    assert operation("shear_y", 0.5).shear_y == pytest.approx(0.15)
    assert operation("translate_x", 1).translate_x == pytest.approx(0.45)
    assert operation("translate_y", -1).translate_y == pytest.approx(-0.45)


@pytest.mark.parametrize(
    ("warp", "matrix"),
    [
        (FixedWarp(degrees=30), np.vstack([cv2.getRotationMatrix2D((40, 30), -30, 1), [0, 0, 1]])),
        (FixedWarp(shear_x=0.2), np.array([[1, 0.2, -0.2 * 30], [0, 1, 0], [0, 0, 1]])),
        (FixedWarp(shear_y=-0.1), np.array([[1, 0, 0], [-0.1, 1, 0.1 * 40], [0, 0, 1]])),
        (FixedWarp(translate_x=0.25), np.array([[1, 0, 20], [0, 1, 0], [0, 0, 1]])),
        (FixedWarp(translate_y=-0.1), np.array([[1, 0, 0], [0, 1, -6], [0, 0, 1]])),
    ],
)
def test_objects_follow_a_geometric_operation(warp, matrix):
    found, size = warp.matrix(sample(), Context(), None)
    assert size == SIZE
    np.testing.assert_allclose(found, matrix, atol=1e-9)
    moved = warp.apply(sample(), Context(), None).instances
    corners = np.array([[20, 15], [50, 15], [50, 40], [20, 40]], float)
    corners = corners @ matrix[:2, :2].T + matrix[:2, 2]
    box = [*corners.min(axis=0), *corners.max(axis=0)]
    np.testing.assert_allclose(np.asarray(moved.boxes)[0], box, atol=1e-4)
    np.testing.assert_allclose(moved.masks.polygons()[0][0], corners, atol=1e-4)
    np.testing.assert_allclose(moved.keypoints.values[0, :, :2], corners[[0, 2]], atol=1e-4)


def test_auto_augment_is_the_published_policy():
    drawn, counts = rng(), Counter()
    for _ in range(4000):
        chosen = AutoAugment().choose(drawn)
        counts[tuple((type(each).__name__, each.probability) for each in chosen)] += 1
    assert set(counts) == {
        (("FixedWarp", 0.6), ("ImageOperation", 0.8)),
        (("FixedCutout", 0.8),),
        (),
        (("FixedWarp", 1.0),),
        (("FixedWarp", 0.6), ("ImageOperation", 1.0)),
    }
    assert all(count == pytest.approx(800, rel=0.1) for count in counts.values())
    warps = {
        each for s in range(200) for each in AutoAugment().choose(rng(s)) if "Warp" in repr(each)
    }
    fields = [(w.degrees, w.shear_x, w.shear_y, w.translate_x, w.translate_y) for w in warps]
    expected = [(0, 0, 0, 100 / 640, 0), (0, 0, 0.06, 0, 0), (30, 0, 0, 0, 0)]
    both = sorted(tuple(sign * value for value in one) for one in expected for sign in (1, -1))
    np.testing.assert_allclose(sorted(fields), both)


def test_the_square_of_auto_augment_is_hidden():
    image = np.full((480, 640, 3), 50, np.uint8)
    whole = Sample(ImageInfo(0, None, (480, 640)), image)
    sides = set()
    for seed in range(12):
        changed = FixedCutout(side=0.25).apply(whole, Context(), rng(seed)).image
        hidden = (changed == 114).all(axis=2)
        rows, columns = np.flatnonzero(hidden.any(axis=1)), np.flatnonzero(hidden.any(axis=0))
        assert hidden.sum() == len(rows) * len(columns)
        assert (changed[~hidden] == 50).all()
        sides |= {len(rows), len(columns)}
    assert max(sides) == 160
    assert min(sides) < 160  # cut at the border
    assert (image == 50).all()


@pytest.mark.parametrize("policy", [RandAugment(), AutoAugment()])
def test_other_images_are_refused(policy):
    gray = Sample(ImageInfo(0, None, SIZE), picture()[..., :1])
    for seed in range(5):
        with pytest.raises(UserError, match=type(policy).__name__):
            policy.apply(gray, Context(), rng(seed))


@pytest.mark.parametrize("policy", [RandAugment(operations=9), AutoAugment()])
def test_a_pipeline_names_the_policy(policy):
    gray = Sample(ImageInfo(0, None, SIZE), picture()[..., :1])
    pipeline = Pipeline([policy], [gray], size=SIZE, capacity=9, epochs=9, seed=0)
    with pytest.raises(UserError, match=f"{type(policy).__name__} cannot be applied") as caught:
        [pipeline(0, epoch) for epoch in range(9)]
    assert caught.value.fix == f"remove {type(policy).__name__} from the transforms"


@pytest.mark.parametrize("policy", [RandAugment(operations=3), AutoAugment()])
def test_policies_are_values_and_reproducible(policy):
    assert Transform.from_dict(policy.to_dict()) == policy
    one, other = (policy.apply(sample(), Context(), rng(7)) for _ in range(2))
    assert (one.image == other.image).all()
    assert one.image.shape == (*SIZE, 3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"operations": 0}, "operations: must be at least 1"),
        ({"operations": 11}, "must be at most 10"),
        ({"operations": 1.5}, "must be a whole number"),
        ({"magnitude": 11}, "magnitude: must be at most 10"),
        ({"magnitude": -1}, "must be at least 0"),
        ({"magnitud": 1}, "magnitude"),
    ],
)
def test_invalid_fields(fields, message):
    with pytest.raises(ConfigError, match=message):
        RandAugment(**fields)
