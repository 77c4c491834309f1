"""Images of any type and number of channels are shown as 8-bit RGB."""

import numpy as np
import pytest
from tests.shared import shared

from visiongarden import ClassMap
from visiongarden.data import Channels
from visiongarden.data.image_of import ImageOf
from visiongarden.drawing import draw, grid, to_display
from visiongarden.drawing.annotations import draw_classes, draw_mask
from visiongarden.errors import UserError
from visiongarden.types import Ranking

RAMP = np.linspace(0, 4095, 60 * 50).reshape(60, 50).astype(np.uint16)


def test_rgb_is_shown_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (9, 8, 3)).astype(np.uint8)
    assert to_display(image) is image
    gray = image[..., :1]
    np.testing.assert_array_equal(to_display(gray), np.dstack([gray] * 3))
    np.testing.assert_array_equal(to_display(gray[..., 0]), np.dstack([gray] * 3))


def test_12_bits_are_visible_and_never_wrapped():
    shown = to_display(RAMP)[..., 0].astype(int)
    assert (np.diff(shown.ravel()) >= 0).all()
    assert (shown.min(), shown.max()) == (0, 255)
    low, high = np.percentile(RAMP, (0.5, 99.5))
    expected = np.clip((RAMP - low) / (high - low), 0, 1) * 255
    assert np.abs(shown - expected).max() <= 0.51
    shown = to_display(RAMP, value_range=(0, 4095))[..., 0]
    np.testing.assert_array_equal(shown, np.rint(RAMP / 4095 * 255))
    # Values beyond the range are white and black.
    assert to_display(RAMP + 60_000, value_range=(0, 4095)).min() == 255
    assert to_display(RAMP.astype(int) - 60_000, value_range=(0, 4095)).max() == 0


def test_bands_by_index_and_by_name():
    image = np.random.default_rng(0).integers(0, 256, (9, 8, 4)).astype(np.uint8)
    names = ("swir", "nir", "red", "green")
    for bands in ((1, 2, 3), ("nir", "red", "green"), [1, "red", np.int64(3)]):
        np.testing.assert_array_equal(to_display(image, bands, names=names), image[..., 1:])
    for bands in (1, "nir", [1]):
        found = to_display(image, bands, names=names)
        np.testing.assert_array_equal(found, np.repeat(image[..., 1:2], 3, 2))
    np.testing.assert_array_equal(to_display(image), image[..., :3])
    # Magenta and green, as microscopes show two channels.
    np.testing.assert_array_equal(to_display(image[..., :2]), image[..., [0, 1, 0]])


@pytest.mark.parametrize(
    ("band", "expected"),
    [
        (np.zeros((9, 8)), 0),
        (np.full((9, 8), 7, np.uint16), 0),
        (np.full((9, 8), np.nan), 0),
        (np.full((9, 8), -np.inf), 0),
        (np.full((9, 8), np.inf), 255),
        (np.ones((9, 8), bool), 255),
    ],
    ids=lambda value: None if isinstance(value, int) else f"{value.dtype}{value.flat[0]}",
)
def test_constant_images(band, expected):
    assert (to_display(band) == expected).all()


def test_a_few_bright_pixels_are_visible_and_nan_is_black():
    image = np.zeros((100, 100), np.float32)
    image[5, 5], image[6, 6] = 9, np.nan
    shown = to_display(image)[..., 0]
    assert (shown[5, 5], shown[6, 6], shown[0, 0]) == (255, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"bands": (0, 1)}, "bands is (0, 1)"),
        ({"bands": (0, 1, 4)}, "no band 4"),
        ({"bands": -1}, "no band -1"),
        ({"bands": (True, 1, 2)}, "no band True"),
        ({"bands": "rde", "names": ("red", "nir")}, "did you mean red"),
        ({"bands": "red"}, "no band 'red'"),
        ({"value_range": (1, 1)}, "value_range is (1, 1)"),
        ({"value_range": (0, np.nan)}, "value_range"),
        ({"value_range": 255}, "value_range is 255"),
    ],
)
def test_invalid_arguments(arguments, words):
    with pytest.raises(UserError) as error:
        to_display(np.zeros((9, 8, 4), np.uint16), **arguments)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "image",
    [np.zeros(9), np.zeros((0, 8)), np.zeros((2, 9, 8, 3)), np.zeros((9, 8), complex),
     np.array([["a"]])],
    ids=lambda image: f"{image.dtype}{image.shape}",
)  # fmt: skip
def test_what_is_no_image(image):
    with pytest.raises(UserError, match="the image is an array of"):
        to_display(image)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_labels_are_drawn_on_any_image(tmp_path, channels, dtype):
    image = np.zeros((60, 50, channels), dtype)
    image[:] = RAMP[..., None] / 17
    copy, names = image.copy(), ClassMap(("a", "b"))
    scores = np.array([0.9, 0.1], np.float32)
    found = Ranking(classes=np.array([1, 0], np.int32), scores=scores, class_map=names)
    np.save(tmp_path / "a.npy", image)
    pictures = [
        draw(image, found),
        draw_classes(image, np.array([0.5, 0.5]), names),
        draw_mask(image, np.eye(60, 50, dtype=np.uint8), names),
        ImageOf.given(tmp_path / "a.npy", image).picture(found),
        ImageOf.given(image, image).picture(found),
    ]
    for picture in pictures:
        assert (picture.shape, picture.dtype) == ((60, 50, 3), np.uint8)
    np.testing.assert_array_equal(pictures[0], pictures[3])
    np.testing.assert_array_equal(image, copy)
    assert grid([image, image], columns=2, side=40).shape == (40, 80, 3)


def test_pictures_of_satellites_and_microscopes():
    pytest.importorskip("tifffile")
    image = Channels().decode(shared("data", "landsat4", "2010.tif"))
    shown = to_display(image, bands=(1, 2, 3))  # near infrared, red, green
    np.testing.assert_array_equal(shown, image[..., 1:])
    folder = shared("data", "worms16", "ExampleStraightenWorms", "images")
    worms = Channels(["_w1_", "_w2_", "_w3_"]).decode(next(folder.glob("*_w1_*")))
    shown = to_display(worms)
    assert shown.std(axis=(0, 1)).min() > 20
    # Brighter pixels are never darker, as they are after a cast to 8 bits.
    for band in range(3):
        order = np.argsort(worms[..., band].ravel(), kind="stable")
        assert (np.diff(shown[..., band].ravel()[order].astype(int)) >= 0).all()
