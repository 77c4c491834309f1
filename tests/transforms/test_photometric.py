"""Transforms of pixel values equal computations in NumPy, SciPy's definitions and Pillow."""

import colorsys
import io
import math

import numpy as np
import pytest
from PIL import Image

from visiongarden.config import Typed
from visiongarden.errors import ConfigError, UserError
from visiongarden.samples import Boxes, ImageInfo, Instances, Sample
from visiongarden.transforms import (
    HSV,
    ColorJitter,
    GaussianBlur,
    GaussianNoise,
    Grayscale,
    JPEGCompression,
    MotionBlur,
    Transform,
    color_jitter,
    motion_blur,
)

DTYPES = (np.uint8, np.uint16, np.float32)
ANY = (ColorJitter(saturation=0, hue=0), GaussianBlur(), MotionBlur(), GaussianNoise())
RGB = (HSV(), ColorJitter(), Grayscale(), JPEGCompression())


def rng(seed=0):
    return np.random.default_rng(seed)


def picture(dtype=np.uint8, channels=3, size=(20, 30), seed=1):
    values = rng(seed).random((*size, channels))
    top = {"uint8": 255, "uint16": 65535, "float32": 1}[np.dtype(dtype).name]
    return (values * top).astype(dtype)


def rounded(values, dtype):
    """Return exact values as an image of the dtype."""
    if np.dtype(dtype).kind == "f":
        return values
    return np.clip(np.rint(values), 0, np.iinfo(dtype).max)


def tolerance(dtype):
    """One level for a value that is rounded from the other side of a half; floats: 1e-5."""
    return 1e-5 if np.dtype(dtype).kind == "f" else 1


@pytest.mark.parametrize("transform", ANY, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3, 4, 7, 16])
def test_shape_and_dtype_stay_and_the_input_too(transform, dtype, channels):
    image = picture(dtype, channels)
    before = image.copy()
    image.flags.writeable = False
    changed = transform.change(image, rng())
    assert changed.shape == image.shape
    assert changed.dtype == dtype
    assert (image == before).all()
    assert (transform.change(image, rng()) == changed).all()


@pytest.mark.parametrize("transform", RGB, ids=lambda t: type(t).__name__)
def test_rgb_keeps_shape_and_annotations(transform):
    image = picture()
    objects = Instances((20, 30), Boxes([[1, 2, 3, 4]]), [1])
    labels = np.ones(2, np.float32)
    sample = Sample(ImageInfo(0, None, (20, 30)), image, objects, labels=labels)
    changed = transform.apply(sample, None, rng())
    assert changed.image.shape == image.shape
    assert changed.image.dtype == np.uint8
    assert changed.image.flags.c_contiguous
    assert changed.instances is objects
    assert changed.labels is labels
    assert sample.image is image
    assert (image == picture()).all()
    assert (changed.image == transform.apply(sample, None, rng()).image).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
def test_brightness_and_contrast(dtype, channels, factor):
    image = picture(dtype, channels)
    exact = image.astype(np.float64)
    weights = (0.299, 0.587, 0.114) if channels == 3 else np.full(channels, 1 / channels)
    mean = (exact @ weights).mean()
    brighter = color_jitter.brightness(image, factor)
    assert brighter.dtype == dtype
    np.testing.assert_allclose(
        brighter.astype(float), rounded(exact * factor, dtype), atol=tolerance(dtype)
    )
    expected = rounded(exact * factor + mean * (1 - factor), dtype)
    stronger = color_jitter.contrast(image, factor).astype(float)
    np.testing.assert_allclose(stronger, expected, atol=tolerance(dtype))
    if dtype == np.uint8:
        assert (stronger == expected).mean() > 0.99  # others: exact halves


@pytest.mark.parametrize("dtype", DTYPES)
def test_saturation(dtype):
    image = picture(dtype)
    exact = image.astype(np.float64)
    gray = rounded(exact @ (0.299, 0.587, 0.114), dtype)[..., None]
    for factor in (0, 0.5, 1, 1.4):
        expected = rounded(exact * factor + gray * (1 - factor), dtype)
        found = color_jitter.saturation(image, factor).astype(float)
        np.testing.assert_allclose(found, expected, atol=tolerance(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_hue_equals_colorsys(dtype):
    image = picture(dtype, size=(6, 8))
    top = {"uint8": 255, "uint16": 65535, "float32": 1}[np.dtype(dtype).name]
    for shift in (-0.5, -0.1, 0, 0.25):
        expected = np.empty(image.shape)
        for place in np.ndindex(image.shape[:2]):
            h, s, v = colorsys.rgb_to_hsv(*(image[place].astype(float) / top))
            expected[place] = np.array(colorsys.hsv_to_rgb((h + shift) % 1, s, v)) * top
        found = color_jitter.hue(image, shift).astype(float)
        limit = 1e-5 * top if np.dtype(dtype).kind == "f" else max(1, 1e-5 * top)
        np.testing.assert_allclose(found, rounded(expected, dtype), atol=limit)


def test_color_jitter_composes_its_operations_in_random_order():
    image = picture()
    jitter = ColorJitter(brightness=0.3, contrast=0.2, saturation=0.6, hue=0.2)
    orders = set()
    for seed in range(20):
        drawn = rng(seed)
        factors = [drawn.uniform(1 - b, 1 + b) for b in (0.3, 0.2, 0.6)]
        shift, expected = drawn.uniform(-0.2, 0.2), image
        order = drawn.permutation(4).tolist()
        for number in order:
            operation = ("brightness", "contrast", "saturation", "hue")[number]
            amount = [*factors, shift][number]
            expected = getattr(color_jitter, operation)(expected, amount)
        assert (jitter.change(image, rng(seed)) == expected).all()
        orders.add(tuple(order))
    assert len(orders) > 5


def test_a_factor_is_never_negative():
    image = picture()
    jitter = ColorJitter(brightness=3, contrast=0, saturation=0, hue=0)
    assert min(jitter.change(image, rng(seed)).mean() for seed in range(40)) < 60
    assert (color_jitter.brightness(image, 4) >= image).all()


def test_hsv_equals_the_published_computation():
    """Hue, saturation and value of OpenCV's 8-bit HSV are changed by tables."""
    cv2 = pytest.importorskip("cv2")
    image = picture()
    factors = rng(3).uniform(-1, 1, 3) * (0.015, 0.7, 0.4)
    colors = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.float32)
    changed = np.stack(
        [
            (colors[..., 0] + factors[0] * 180) % 180,
            np.clip(colors[..., 1] * (1 + factors[1]), 0, 255),
            np.clip(colors[..., 2] * (1 + factors[2]), 0, 255),
        ],
        axis=-1,
    ).astype(np.uint8)
    expected = cv2.cvtColor(changed, cv2.COLOR_HSV2RGB)
    assert (HSV().change(image, rng(3)) == expected).all()
    assert HSV(hue=0, saturation=0, value=0).change(image, rng()) is image


@pytest.mark.parametrize("dtype", DTYPES)
def test_grayscale_is_the_luma_in_all_channels(dtype):
    image = picture(dtype)
    gray = Grayscale().change(image, rng())
    assert gray.dtype == dtype
    expected = rounded(image.astype(np.float64) @ (0.299, 0.587, 0.114), dtype)
    np.testing.assert_allclose(gray.astype(float), expected[..., None].repeat(3, -1),
                               atol=tolerance(dtype))  # fmt: skip
    one = picture(dtype, 1)
    assert Grayscale().change(one, rng()) is one


def correlated(image, kernel):
    """Correlate each channel with a kernel; the image is continued by its mirror image."""
    rows, columns = (side // 2 for side in kernel.shape)
    wide = np.pad(image.astype(np.float64), ((rows, rows), (columns, columns), (0, 0)), "reflect")
    result = np.zeros(image.shape)
    for y, x in np.ndindex(kernel.shape):
        result += kernel[y, x] * wide[y : y + image.shape[0], x : x + image.shape[1]]
    return result


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("sigma", [0.3, 1.7])
def test_gaussian_blur_equals_a_convolution(dtype, channels, sigma):
    image = picture(dtype, channels)
    x = np.arange(-math.ceil(3 * sigma), math.ceil(3 * sigma) + 1)
    line = np.exp(-(x**2) / (2 * sigma**2))
    kernel = np.outer(line, line) / line.sum() ** 2
    found = GaussianBlur(sigma=(sigma, sigma)).change(image, rng())
    # OpenCV rounds the weights of integers to multiples of 1/256 and 1/65536.
    limit = {np.uint8: 1.5, np.uint16: 3}.get(dtype, 1e-5)
    np.testing.assert_allclose(found.astype(float), correlated(image, kernel), atol=limit)


def test_motion_blur_along_the_axes_is_a_mean():
    horizontal = motion_blur.line_kernel(3, 0)
    np.testing.assert_allclose(horizontal, [[0] * 3, [1 / 3] * 3, [0] * 3], atol=1e-7)
    vertical = motion_blur.line_kernel(5, math.pi / 2)
    np.testing.assert_allclose(vertical[:, 2], [0.2] * 5, atol=1e-7)
    assert vertical[:, [0, 1, 3, 4]].max() < 1e-7
    assert (motion_blur.line_kernel(1, 0.7) == [[1]]).all()


@pytest.mark.parametrize("length", [1.0, 2.0, 3.4, 8.0, 9.0])
def test_motion_blur_keeps_the_brightness_and_the_place(length):
    for angle in np.linspace(0, math.pi, 9):
        kernel = motion_blur.line_kernel(length, angle)
        reach = kernel.shape[0] // 2
        assert kernel.sum() == pytest.approx(1)
        np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-6)
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        spread = (kernel * (x * math.cos(angle) + y * math.sin(angle)) ** 2).sum()
        across = (kernel * (x * math.sin(angle) - y * math.cos(angle)) ** 2).sum()
        assert across < 0.3
        assert spread >= (length**2 - 1) / 12 - 0.6


@pytest.mark.parametrize("dtype", DTYPES)
def test_motion_blur_equals_a_convolution(dtype):
    image = picture(dtype, 5)
    drawn = rng(4)
    kernel = motion_blur.line_kernel(drawn.uniform(3, 9), drawn.uniform(0, math.pi))
    found = MotionBlur().change(image, rng(4))
    np.testing.assert_allclose(
        found.astype(float), correlated(image, kernel.astype(float)), atol=tolerance(dtype)
    )


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint8, 255), (np.uint16, 65535)])
def test_noise_is_a_fraction_of_the_range_of_the_dtype(dtype, scale):
    image = np.full((200, 200, 2), scale // 2, dtype)
    changed = GaussianNoise(std=(0.02, 0.02)).change(image, rng())
    assert changed.std() == pytest.approx(0.02 * scale, rel=0.02)
    assert changed.mean() == pytest.approx(scale // 2, rel=0.002)
    assert abs(np.corrcoef(changed[..., 0].ravel(), changed[..., 1].ravel())[0, 1]) < 0.02
    dark = GaussianNoise(std=(0.02, 0.02)).change(np.zeros_like(image), rng())
    assert dark.min() == 0  # clipped, and not wrapped around
    assert dark.mean() < 0.02 * scale


def test_noise_of_floats_is_a_fraction_of_their_range_and_not_clipped():
    image = picture(np.float32, 1, (200, 200)) * 8 - 4
    changed = GaussianNoise(std=(0.05, 0.05)).change(image, rng())
    assert (changed - image).std() == pytest.approx(0.05 * np.ptp(image), rel=0.02)
    assert changed.min() < -4
    flat = np.full((200, 200, 1), 3, np.float32)
    assert (GaussianNoise(std=(0.05, 0.05)).change(flat, rng()) == flat).all()
    stated = GaussianNoise(std=(0.05, 0.05), value_range=(0, 10)).change(flat, rng())
    assert stated.std() == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [5, 60, 95])
def test_jpeg_equals_pillow(channels, quality):
    """Equal to the last bit: the same library, with colors at half the resolution."""
    y, x = np.mgrid[:32, :48]
    planes = [x * 5, y * 7, 255 - x * 2 - y * 3][:channels]
    image = np.stack(planes, -1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    expected = np.asarray(Image.open(file)).reshape(image.shape).astype(int)
    found = JPEGCompression(quality=(quality, quality)).change(image, rng()).astype(int)
    assert (found == expected).all()
    assert found.shape == image.shape


def test_the_quality_of_jpeg_includes_both_limits():
    image = picture()
    changed = {JPEGCompression(quality=(20, 21)).change(image, rng(s)).tobytes() for s in range(20)}
    exact = {JPEGCompression(quality=(q, q)).change(image, rng()).tobytes() for q in (20, 21)}
    assert changed == exact


@pytest.mark.parametrize(
    ("transform", "image", "fix"),
    [
        (HSV(), picture(np.uint8, 1), "remove HSV from the transforms"),
        (HSV(), picture(np.uint16, 3), "remove HSV from the transforms"),
        (ColorJitter(), picture(np.uint8, 4), "ColorJitter(saturation=0, hue=0)"),
        (ColorJitter(saturation=0), picture(np.uint8, 1), "ColorJitter(saturation=0, hue=0)"),
        (Grayscale(), picture(np.uint8, 4), "remove Grayscale from the transforms"),
        (JPEGCompression(), picture(np.uint16, 3), "remove JPEGCompression from the transforms"),
        (JPEGCompression(), picture(np.uint8, 2), "remove JPEGCompression from the transforms"),
    ],
)
def test_other_images_are_refused(transform, image, fix):
    with pytest.raises(UserError, match=type(transform).__name__) as caught:
        transform.change(image, rng())
    assert caught.value.fix == fix
    assert str(image.shape[2]) in caught.value.received


def test_a_sample_without_pixels_is_refused():
    with pytest.raises(UserError, match="not decoded"):
        GaussianBlur().apply(Sample(ImageInfo(0, None, (2, 2))), None, rng())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": "HSV", "hue": 0.6}, "hue: must be less than or equal|hue: must be at most 0.5"),
        ({"type": "HSV", "gain": 0.6}, "unknown field 'gain'"),
        ({"type": "ColorJitter", "brightness": -1}, "brightness: must be at least 0"),
        ({"type": "ColorJitter", "hue": 1}, "hue: must be at most 0.5"),
        ({"type": "GaussianBlur", "sigma": [2, 1]}, "wrong order"),
        ({"type": "GaussianBlur", "sigma": [0, 1]}, "must be greater than 0"),
        ({"type": "GaussianBlur", "sigma": 1}, "must be a list"),
        ({"type": "MotionBlur", "length": [0, 3]}, "must be at least 1"),
        ({"type": "MotionBlur", "length": [9, 3]}, "wrong order"),
        ({"type": "GaussianNoise", "std": [0, 2]}, "must be at most 1"),
        ({"type": "GaussianNoise", "value_range": [5, 5]}, "value_range is empty"),
        ({"type": "JPEGCompression", "quality": [0, 50]}, "must be at least 1"),
        ({"type": "JPEGCompression", "quality": [90, 50]}, "wrong order"),
        ({"type": "JPEGCompression", "quality": [1, 200]}, "must be at most 100"),
        ({"type": "Grayscale", "probability": 2}, "must be at most 1"),
    ],
)
def test_invalid_fields(fields, message):
    with pytest.raises(ConfigError, match=message):
        Transform.from_dict(fields)


@pytest.mark.parametrize("transform", [*ANY, *RGB], ids=lambda t: type(t).__name__)
def test_transforms_are_values(transform):
    assert Typed.from_dict(transform.to_dict()) == transform
    assert Transform.from_dict({"type": type(transform).__name__}) == type(transform)()
