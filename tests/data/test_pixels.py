"""Arrays and Pillow images are converted to the pixels of image files, or refused."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from visiongarden.data import decode, to_pixels
from visiongarden.errors import DataError, UserError

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
GRAY = np.random.default_rng(1).integers(0, 256, (20, 30)).astype(np.uint8)
ALPHA = np.dstack([RGB, np.random.default_rng(2).integers(0, 256, (20, 30)).astype(np.uint8)])
WIDE = np.random.default_rng(3).integers(0, 65536, (20, 30, 3)).astype(np.uint16)
WIDE_GRAY = WIDE[..., 0]


class Tensor:
    """What tensors of the backends have in common."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


def kind(value):
    """The type of an image as the name of a test: its text would differ between processes."""
    return None if isinstance(value, (str, tuple, list)) else type(value).__name__


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        (RGB, RGB),
        (Tensor(RGB), RGB),
        (GRAY, np.dstack([GRAY] * 3)),
        (GRAY[..., None], np.dstack([GRAY] * 3)),
        (ALPHA, RGB),
        (RGB.astype(np.float32), RGB),
        (RGB.astype(np.float64) + 0.4, np.rint(RGB + 0.4).clip(0, 255)),
        (GRAY.astype(np.float16), np.dstack([GRAY] * 3)),
        (Image.fromarray(RGB), RGB),
        (Image.fromarray(ALPHA), RGB),
        (Image.fromarray(GRAY), np.dstack([GRAY] * 3)),
        (Image.fromarray(GRAY > 99), np.dstack([255 * (GRAY > 99)] * 3)),
    ],
    ids=kind,
)
def test_what_is_taken(image, wanted):
    if isinstance(image, np.ndarray) and image.max() > 255:
        image = image.clip(0, 255)
    found = to_pixels(image)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("pixels", [RGB, GRAY, ALPHA, WIDE, WIDE_GRAY], ids=lambda a: str(a.shape))
def test_an_array_equals_its_file(tmp_path, pixels):
    file = tmp_path / "a.png"
    order = [2, 1, 0, 3][: pixels.shape[-1]] if pixels.ndim == 3 else slice(None)
    cv2.imwrite(str(file), pixels[..., order])
    np.testing.assert_array_equal(to_pixels(pixels), decode(file))
    np.testing.assert_array_equal(to_pixels(str(file)), decode(file))


@pytest.mark.parametrize("pixels", [RGB, GRAY, WIDE_GRAY], ids=lambda a: str(a.dtype))
def test_a_pillow_image_equals_its_file(tmp_path, pixels):
    file = tmp_path / "a.png"
    cv2.imwrite(str(file), pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    with Image.open(file) as image:
        np.testing.assert_array_equal(to_pixels(image), decode(file))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pillow_image_is_rotated_like_its_file(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / "a.png"
    Image.fromarray(RGB).save(file, exif=exif)
    with Image.open(file) as image:
        np.testing.assert_array_equal(to_pixels(image), decode(file))


@pytest.mark.parametrize(
    ("image", "value_range"),
    [
        (RGB / 255, (0, 1)),
        ((RGB / 255).astype(np.float32), (0.0, 1.0)),
        (RGB / 127.5 - 1, [-1, 1]),
        (RGB.astype(np.float32), (0, 255)),
        (RGB.astype(np.uint16) * 257, (0, 65535)),
        (RGB.astype(np.int64), (0, 255)),
    ],
    ids=kind,
)
def test_a_value_range_is_scaled(image, value_range):
    np.testing.assert_array_equal(to_pixels(image, value_range), RGB)


def test_a_value_range_reaches_black_and_white():
    black = np.zeros((8, 8, 3), np.float32)
    assert to_pixels(black, (0, 255)).max() == 0
    assert to_pixels(black + 4095, (0, 4095)).min() == 255


@pytest.mark.parametrize(
    ("image", "value_range", "words"),
    [
        (RGB / 255, None, "value_range=(0, 1)"),
        (np.zeros((8, 8, 3)), None, "value_range=(0, 1)"),
        (np.ones((8, 8, 3), np.float32), None, "value_range=(0, 1)"),
        (RGB - 100.0, None, "0 to 255"),
        (RGB * 2.0 + 9, None, "0 to 255"),
        (np.full((8, 8, 3), np.nan), None, "nan"),
        (np.full((8, 8, 3), np.inf), None, "inf"),
        (RGB.astype(np.float32), (0, 1), "values from 0 to 1"),
        (RGB, (0, 1), "values from 0 to 1"),
        (RGB, (1, 0), "value_range is (1, 0)"),
        (RGB, 1, "value_range is 1"),
        (RGB, (0, np.nan), "value_range"),
        (RGB.astype(np.int64), None, "int64"),
        (RGB > 9, None, "bool"),
        (RGB.astype(complex), (0, 255), "complex128"),
        (np.zeros((3, 20, 30), np.uint8), None, "np.moveaxis"),
        (np.zeros((2, 20, 30, 3), np.uint8), None, "one image at a time"),
        (np.zeros((20, 30, 5), np.uint8), None, "shape (20, 30, 5)"),
        (np.zeros((20, 30, 5), np.uint8), None, "image[..., [2, 1, 0]]"),
        (np.zeros((20, 30, 2), np.uint16), None, "image[..., 0]"),
        (np.zeros((0, 30, 3), np.uint8), None, "shape (0, 30, 3)"),
        (np.zeros((4, 3), np.uint8), None, "shape (4, 3)"),
        (np.zeros(9, np.uint8), None, "shape (9,)"),
        ([[1, 2], [3, 4]], None, "type list"),
        (None, None, "type NoneType"),
        (b"abc", None, "type bytes"),
        (7, None, "type int"),
        (Image.fromarray(GRAY.astype(np.float32) / 255), None, "value_range=(0, 1)"),
        (Image.fromarray(GRAY.astype(np.int32) - 70_000), None, "16 bits"),
    ],
    ids=kind,
)
def test_what_is_refused(image, value_range, words):
    with pytest.raises(UserError) as error:
        to_pixels(image, value_range, "image 3")
    assert words in str(error.value)
    assert str(error.value).startswith(("image 3", "value_range"))


def test_a_pillow_image_of_a_truncated_file():
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, "PNG")
    image = Image.open(io.BytesIO(stream.getvalue()[:-200]))
    with image, pytest.raises(DataError, match="cannot be decoded"):
        to_pixels(image)


def test_a_tensor_that_cannot_leave_its_device():
    class Elsewhere:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("on the GPU")

    with pytest.raises(UserError, match="on the GPU"):
        to_pixels(Elsewhere())
