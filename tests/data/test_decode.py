"""Decoding: truncated, rotated or too large images; the letterbox."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from visiongarden.data import decode, read
from visiongarden.doctor.checking import check
from visiongarden.errors import DataError
from visiongarden.samples.resizing import resize
from visiongarden.storage.header import image_size
from visiongarden.transforms import Letterbox

from .test_read import voc


def noise(size):
    return np.random.default_rng(0).integers(0, 255, (*size, 3)).astype(np.uint8)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".bmp", ".webp"])
def test_formats(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    image = np.full((20, 30, 3), (200, 100, 50), np.uint8)
    Image.fromarray(image).save(path, **({"quality": 95} if ending != ".bmp" else {}))
    assert image_size(path) == (20, 30)
    assert np.abs(decode(path).astype(int) - image).max() < 12


@pytest.mark.parametrize("ending", [".png", ".jpg"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_truncated_images(tmp_path, ending, share):
    path = tmp_path / f"a{ending}"
    Image.fromarray(noise((64, 64))).save(path)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(DataError, match="truncated"):
        decode(path)


def test_a_jpeg_followed_by_other_bytes_is_complete(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(noise((16, 16))).save(path)
    path.write_bytes(path.read_bytes() + b"\0" * 100)
    assert decode(path).shape == (16, 16, 3)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize(("orientation", "size"), [(1, (20, 30)), (3, (20, 30)), (6, (30, 20))])
def test_rotation_is_applied(tmp_path, ending, orientation, size):
    path = tmp_path / f"a{ending}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = {"tiffinfo": {0x0112: orientation}} if ending == ".tif" else {"exif": exif}
    Image.fromarray(noise((20, 30))).save(path, **turned)
    assert image_size(path) == size
    assert decode(path).shape == (*size, 3)


def test_an_image_that_changed_after_reading(tmp_path):
    voc(tmp_path)
    dataset = read(tmp_path)
    Image.fromarray(noise((8, 9))).save(dataset.image_path(0))
    with pytest.raises(DataError, match="9 × 8 pixels"):
        dataset.load(0)


def test_a_small_file_that_claims_a_huge_image(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(noise((4, 4))).save(path)
    raw = bytearray(path.read_bytes())
    raw[16:24] = (60_000).to_bytes(4, "big") * 2
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"a\.png"):
        image_size(path)


@settings(max_examples=60)
@given(
    st.binary(max_size=300), st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b""])
)
def test_any_bytes(tmp_path_factory, raw, start):
    path = tmp_path_factory.mktemp("fuzz") / "a.png"
    path.write_bytes(start + raw)
    with pytest.raises(DataError):
        decode(path)


def test_check_names_every_broken_image(tmp_path):
    voc(tmp_path)
    dataset = read(tmp_path)
    check(dataset)
    for name in "ab":
        path = tmp_path / "JPEGImages" / f"{name}.png"
        path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError) as error:
        check(dataset)
    assert "a.png" in str(error.value)
    assert "b.png" in str(error.value)


@settings(max_examples=60)
@given(*[st.integers(1, 300)] * 2, *[st.integers(1, 9).map(lambda n: 32 * n)] * 2, st.data())
def test_letterbox_is_undone(height, width, rows, columns, data):
    image, placement = Letterbox().place(np.zeros((height, width, 3), np.uint8), (rows, columns))
    assert image.shape == (rows, columns, 3)
    x = sorted(data.draw(st.floats(0, width)) for _ in range(2))
    y = sorted(data.draw(st.floats(0, height)) for _ in range(2))
    boxes = np.array([[x[0], y[0], x[1], y[1]]], np.float32)
    placed = placement.apply(boxes)
    assert (placed >= -0.01).all()
    assert (placed <= np.array([columns, rows, columns, rows]) + 0.01).all()
    np.testing.assert_allclose(placement.undo(placed), boxes, atol=0.02)


def test_letterbox_shows_the_image_in_the_middle():
    image, placement = Letterbox().place(np.full((10, 20, 3), 255, np.uint8), (40, 40))
    assert placement.scale == (2, 2)
    assert placement.offset == (0, 10)
    assert (image[10:30] == 255).all()
    assert (image[:10] == 114).all()
    assert cv2.countNonZero((image[30:, :, 0] != 114).astype(np.uint8)) == 0


@pytest.mark.parametrize("size", [(40, 10), (10, 40)])
def test_an_image_that_shrinks_on_one_side_alone_is_averaged(size):
    image = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    expected = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(resize(image, size), expected)
