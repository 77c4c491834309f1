"""Orientations on which OpenCV and the header disagree, and 16-bit images."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from tests.data.test_yolo import make

from visiongarden.data import decode
from visiongarden.data.depth import depth_in
from visiongarden.data.readers import read
from visiongarden.doctor import diagnose
from visiongarden.errors import DataError
from visiongarden.storage.header import image_size

PIXELS = np.random.default_rng(0).integers(0, 255, (30, 40, 3)).astype(np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_pixels_are_rotated_as_by_pillow(tmp_path, orientation, ending):
    path, tags = tmp_path / f"a.{ending}", Image.Exif()
    tags[0x0112] = orientation
    Image.fromarray(PIXELS).save(path, exif=tags, quality=95)
    found = decode(path).astype(int)
    with Image.open(path) as image:
        ground_truth = np.asarray(ImageOps.exif_transpose(image).convert("RGB"), int)
    assert found.shape == ground_truth.shape == (*image_size(path), 3)
    assert np.abs(found - ground_truth).max() <= (3 if ending == "jpg" else 0)


def exif(order, kind, count, value):
    sign = "<" if order == b"II" else ">"
    head = b"Exif\0\0" + order + struct.pack(f"{sign}HI", 42, 8) + struct.pack(f"{sign}H", 1)
    entry = struct.pack(f"{sign}HHI", 0x112, kind, count)
    number = struct.pack(f"{sign}I", value) if kind == 4 else struct.pack(f"{sign}HH", value, 0)
    return head + entry + number + bytes(4)


ODD = {
    "LONG": [exif(b"MM", 4, 1, 3)],
    "LONG, little-endian": [exif(b"II", 4, 1, 6)],
    "BYTE": [exif(b"II", 1, 1, 6)],
    "count 0": [exif(b"II", 3, 0, 6)],
    "two segments": [exif(b"II", 3, 1, 1), exif(b"II", 3, 1, 6)],
}


@pytest.mark.parametrize("case", ODD)
def test_unusual_orientations_turn_boxes_and_pixels_alike(tmp_path, case):
    raw = cv2.imencode(".jpg", PIXELS)[1].tobytes()
    parts = [b"\xff\xe1" + struct.pack(">H", len(d) + 2) + d for d in ODD[case]]
    path = tmp_path / "a.jpg"
    path.write_bytes(raw[:2] + b"".join(parts) + raw[2:])
    assert image_size(path) == decode(path).shape[:2]
    # A reduced image is turned in the same way.
    assert decode(path, (15, 15)).shape[:2] == tuple(-(-s // 2) for s in image_size(path))


def deep(root, values, ending=".png"):
    make(root)
    for file in root.rglob("*.png"):
        stored = values.astype(np.uint16)
        file.unlink()
        cv2.imwrite(str(file.with_suffix(ending)), stored)
    return root


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_twelve_bits_in_sixteen_are_reported(tmp_path, ending):
    # 40 values, 1152 to 2361: divided by 256 they are 4 to 9.
    row = 1152 + 31 * np.arange(40)
    deep(tmp_path, np.tile(row, (30, 1)), ending)
    found = [f for f in diagnose(tmp_path).findings if f.kind == "depth"]
    assert [f.level for f in found] == ["warning", "warning"]
    assert "2 images: 16-bit values 1152 to 2361" in found[0].what
    assert "6 of 40 gray levels remain" in found[0].what
    assert depth_in(read(tmp_path)).is_dark


def test_the_full_range_is_a_note_and_eight_bits_are_not_reported(tmp_path):
    deep(tmp_path / "deep", np.tile(np.linspace(0, 65535, 40), (30, 1)))
    found = [f for f in diagnose(tmp_path / "deep").findings if f.kind == "depth"]
    assert [f.level for f in found] == ["note", "note"]
    assert "values 0 to 65535" in found[0].what
    make(tmp_path / "plain")
    assert depth_in(read(tmp_path / "plain")) is None
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "TIFF")
    (tmp_path / "plain" / "images" / "train" / "train0.png").write_bytes(buffer.getvalue())
    assert depth_in(read(tmp_path / "plain")) is None


def test_a_report_with_unlabeled_images_in_one_split_has_a_page(tmp_path):
    from visiongarden.doctor import check_dataset

    make(tmp_path / "set")
    (tmp_path / "set" / "labels" / "val" / "val0.txt").unlink()
    page = tmp_path / "page.html"
    check_dataset(tmp_path / "set", output=page)
    assert "without a label file" in page.read_text()


def jpeg(pixels, *flags):
    return cv2.imencode(".jpg", pixels, list(flags))[1].tobytes()


def test_a_jpeg_whose_second_half_is_zeros(tmp_path):
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    whole = jpeg(noise)
    half = len(whole) // 2
    path = tmp_path / "a.jpg"
    path.write_bytes(whole[:half] + bytes(len(whole) - half - 2) + b"\xff\xd9")
    with pytest.raises(DataError, match="truncated"):
        decode(path)


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize(
    "flags",
    [(), (cv2.IMWRITE_JPEG_OPTIMIZE, 1), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)],
    ids=["plain", "optimized", "progressive"],
)
def test_plain_surfaces_are_not_reported_as_truncated(tmp_path, value, flags):
    path = tmp_path / "a.jpg"
    pixels = np.full((900, 1200, 3), value, np.uint8)
    pixels[:8, :8] = np.random.default_rng(2).integers(0, 255, (8, 8, 3))
    path.write_bytes(jpeg(pixels, *flags))
    assert decode(path).shape == (900, 1200, 3)


def photograph(height=120, width=160):
    noise = np.random.default_rng(3).integers(0, 255, (height, width, 3)).astype(np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
@pytest.mark.parametrize("flags", [(), (cv2.IMWRITE_JPEG_RST_INTERVAL, 5)], ids=["plain", "marks"])
def test_a_jpeg_with_an_end_marker_after_its_first_part(tmp_path, share, flags):
    whole = jpeg(photograph(), *flags)
    path = tmp_path / "a.jpg"
    path.write_bytes(whole)
    assert decode(path).shape == (120, 160, 3)
    assert decode(path, (15, 20)).shape == (15, 20, 3)
    path.write_bytes(whole[: int(len(whole) * share)] + b"\xff\xd9")
    for min_size in (None, (15, 20)):
        with pytest.raises(DataError, match="truncated"):
            decode(path, min_size)


def test_a_progressive_jpeg_without_its_last_scans(tmp_path):
    whole = jpeg(photograph(), cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    scans = [i for i in range(len(whole)) if whole.startswith(b"\xff\xda", i)]
    path = tmp_path / "a.jpg"
    for end in scans[1:]:
        path.write_bytes(whole[:end] + b"\xff\xd9")
        with pytest.raises(DataError, match="truncated"):
            decode(path)
    path.write_bytes(whole)
    assert decode(path).shape == (120, 160, 3)


def test_a_gray_corner_is_no_missing_end(tmp_path):
    pixels = photograph()
    pixels[60:] = 128
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(pixels))
    assert (decode(path)[-1, -8:] == 128).all()


def test_fill_bytes_before_markers_are_skipped(tmp_path):
    pixels, path = photograph(), tmp_path / "a.jpg"
    whole = jpeg(pixels, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    path.write_bytes(whole)
    expected = decode(path)
    for marker in (b"\xff\xc2", b"\xff\xc4", b"\xff\xda"):
        whole = whole.replace(marker, b"\xff" + marker)
    path.write_bytes(whole)
    np.testing.assert_array_equal(decode(path), expected)


@pytest.mark.parametrize("segment", [b"\xff\xc4\xff\xff", b"\xff\xda\x00\x02", b"\xff\xc4\x00\x00"])
def test_segments_that_leave_the_file_are_rejected(tmp_path, segment):
    path = tmp_path / "a.jpg"
    head = jpeg(photograph(), cv2.IMWRITE_JPEG_PROGRESSIVE, 1).split(b"\xff\xc4")[0]
    for start in (b"\xff\xd8", head):
        path.write_bytes(start + segment + bytes(100) + b"\xff\xd9")
        with pytest.raises(DataError):
            decode(path)
