"""Base classes of transforms: custom classes, and warps on their own."""

import dataclasses
import doctest
import importlib
import inspect
import pkgutil
import tempfile

import numpy as np
import pytest

import visiongarden as vg
from visiongarden import registry, transforms
from visiongarden.samples import Boxes, ImageInfo, Instances, Keypoints, Masks, Sample
from visiongarden.transforms import Warp
from visiongarden.transforms.transform import size_of

DTYPES = (np.uint8, np.uint16, np.float32)


class Context:
    size, epoch, epochs, capacity, fill = (64, 64), 0, 1, 10, (114,)

    def others(self, count, rng):
        raise NotImplementedError


class Turn(Warp):
    """A rotation by 20 degrees, or with perspective."""

    random = False
    depth: float = 0.0

    def matrix(self, sample, context, rng):
        c, s = np.cos(np.radians(20)), np.sin(np.radians(20))
        return np.array([[c, -s, 12], [s, c, 3], [self.depth, 0, 1]]), (60, 70)


class Mirror(Warp):
    random = False

    def matrix(self, sample, context, rng):
        height, width = size_of(sample)
        return np.array([[-1, 0, width], [0, 1, 0], [0, 0, 1]]), (height, width)


def modules():
    names = [m.name for m in pkgutil.iter_modules(transforms.__path__)]
    return [importlib.import_module(f"visiongarden.transforms.{name}") for name in names]


EXAMPLES = [
    pytest.param(module, value, id=name)
    for module in modules()
    for name, value in vars(module).items()
    if (inspect.isclass(value) or inspect.isfunction(value))
    and value.__module__ == module.__name__
    and ">>>" in (value.__doc__ or "")
]


@pytest.mark.parametrize(("module", "value"), EXAMPLES)
def test_the_example_runs(module, value, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(registry, "_known", dict(registry._known))
    names = {**vars(module), "np": np, "vg": vg, "dataclasses": dataclasses, "__name__": "__main__"}
    text = inspect.cleandoc(value.__doc__)
    example = doctest.DocTestParser().get_doctest(text, names, value.__name__, None, None)
    found: list[str] = []
    doctest.DocTestRunner(verbose=False).run(example, out=found.append)
    assert not found, "".join(found)


def test_every_transform_has_an_example():
    ours = [each for each in vg.transforms.Transform.kinds().values()
            if each.__module__.startswith("visiongarden.")]  # fmt: skip
    assert len(ours) >= 15
    assert [each for each in ours if ">>>" not in (each.__doc__ or "")] == []


def sample_of(channels, dtype, height=40, width=50, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, channels))
    return Sample(
        ImageInfo(1, None, (height, width)),
        pixels.astype(dtype),
        Instances((height, width), Boxes([[1, 2, 11, 20]]), [0]),
        semantic=pixels[..., 0].astype(np.int64) % 5,
    )


def plane(x, y, channel):
    return 2 * x + 2 * y + 3 * channel + 10


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 16])
def test_each_channel_is_resampled_at_pixel_centers(channels, dtype):
    """Linear interpolation of a plane is exact."""
    sample = sample_of(channels, dtype)
    y, x, c = np.indices(sample.image.shape)
    sample.image = plane(x + 0.5, y + 0.5, c).astype(dtype)
    for warp in (Turn(), Turn(depth=0.002)):
        found = warp.apply(sample, Context(), None)
        matrix, size = warp.matrix(sample, Context(), None)
        assert found.image.dtype == dtype
        assert found.image.shape == (*size, channels)
        np.testing.assert_allclose(found.info.placement, matrix)
        rows, columns, c = np.indices(found.image.shape)
        points = np.stack([columns + 0.5, rows + 0.5, np.ones_like(rows)], axis=-1)
        x, y, w = np.moveaxis(points @ np.linalg.inv(matrix).T, -1, 0)
        x, y = x / w, y / w
        inside = (x > 1.1) & (x < 48.9) & (y > 1.1) & (y < 38.9)
        # OpenCV extends the image by half a pixel.
        outside = (x < -0.6) | (x > 50.6) | (y < -0.6) | (y > 40.6)
        assert inside.sum() > 1000 * channels
        difference = found.image[inside] - plane(x, y, c)[inside]
        # Integers are rounded, and the coordinates of OpenCV too, to 1/32 pixel.
        assert np.abs(difference).max() < 0.75
        assert (found.image[outside] == 114).all()
        assert (found.semantic[outside[..., 0]] == 255).all()
        assert (found.semantic[inside[..., 0]] < 5).all()


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_a_mirror_moves_pixels_without_interpolation(channels):
    sample = sample_of(channels, np.uint8)
    found = Mirror().apply(sample, Context(), None)
    np.testing.assert_array_equal(found.image, sample.image[:, ::-1])
    np.testing.assert_array_equal(found.semantic, sample.semantic[:, ::-1])
    np.testing.assert_array_equal(np.asarray(found.instances.boxes), [[39, 2, 49, 20]])


def test_what_belongs_to_the_pixels_follows():
    sample = sample_of(1, np.uint8)
    depth = np.random.default_rng(1).random((40, 50, 2, 2)).astype(np.float32)
    flags = np.random.default_rng(1).random((40, 50)) > 0.5
    sample.extra = {"depth": depth, "flags": flags, "embedding": np.arange(7)}
    found = Mirror().apply(sample, Context(), None)
    np.testing.assert_array_equal(found.extra["depth"], depth[:, ::-1])
    np.testing.assert_array_equal(found.extra["flags"], flags[:, ::-1])
    assert found.extra["flags"].dtype == bool
    np.testing.assert_array_equal(found.extra["embedding"], np.arange(7))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": None}, "not decoded"),
        ({"image": np.zeros((40, 50), np.uint8)}, r"image\[..., None\]"),
        ({"image": np.zeros((40, 50, 3), np.int64)}, "uint8, uint16, float32"),
        ({"image": np.zeros((41, 50, 3), np.uint8)}, "size of the image"),
        ({"semantic": np.zeros((40, 51), np.uint8)}, "size of the image"),
    ],
)
def test_invalid_samples(change, message):
    sample = dataclasses.replace(sample_of(3, np.uint8), **change)
    with pytest.raises(vg.UserError, match=message):
        Mirror().apply(sample, Context(), None)


def test_moved_instances_are_neither_clipped_nor_removed():
    objects = Instances(
        (10, 10),
        Boxes([[1, 1, 5, 5], [4, 4, 8, 9]]),
        [0, 1],
        masks=Masks.from_polygons([[[1, 1, 5, 1, 5, 5]], None], (10, 10)),
        keypoints=Keypoints([[[2, 3, 2]], [[5, 5, 1]]], pairs=()),
    )
    far = np.array([[1, 0, 100], [0, 1, 0], [0, 0, 1]])
    there = objects.move(far, (10, 10))
    assert len(there) == 2
    back = there.move(np.linalg.inv(far), (10, 10))
    np.testing.assert_array_equal(np.asarray(back.boxes), np.asarray(objects.boxes))
    np.testing.assert_array_equal(back.masks.polygons()[0][0], [[1, 1], [5, 1], [5, 5]])
    np.testing.assert_array_equal(back.keypoints.values, objects.keypoints.values)
    np.testing.assert_array_equal(objects.masks.present(), [True, False])
