"""Images of any number of channels: TIFF, NumPy, 16 bits, one file per channel."""

import io
import pickle
import random
import struct
import warnings
import zipfile
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from tests.fuzz.mutate import any_bytes
from tests.shared import shared

from visiongarden.data import (
    Channels,
    Layout,
    channels_of,
    check_channels,
    decode,
    decode_stored,
    read,
    to_pixels,
)
from visiongarden.data.depth import depth_of
from visiongarden.data.layout import layout_of
from visiongarden.errors import ConfigError, DataError, UserError
from visiongarden.storage.header import image_size
from visiongarden.storage.place import place

tifffile = pytest.importorskip("tifffile")

RANDOM = np.random.default_rng(0)
GRAY = RANDOM.integers(0, 256, (20, 30)).astype(np.uint8)
RGB = RANDOM.integers(0, 256, (20, 30, 3)).astype(np.uint8)
RGBA = np.dstack([RGB, GRAY])
FIVE = RANDOM.integers(0, 65536, (37, 53, 5)).astype(np.uint16)
FLOATS = RANDOM.normal(size=(37, 53, 6)).astype(np.float32)


def tiff(array, planar="contig", **options):
    stream = io.BytesIO()
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if planar == "separate":
        array = np.moveaxis(array, -1, 0)
    if array.ndim == 3:
        options = {"photometric": "minisblack", "planarconfig": planar} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tifffile.imwrite(stream, array, **options)
    return stream.getvalue()


def pillow(array, name, mode=None, **options):
    stream = io.BytesIO()
    image = Image.fromarray(array) if mode is None else Image.fromarray(array).convert(mode)
    image.save(stream, name, **options)
    return stream.getvalue()


def written(folder, raw, name="a.tif"):
    path = folder / name
    path.write_bytes(raw)
    return path


def png16(array):
    return cv2.imencode(".png", array[..., ::-1] if array.ndim == 3 else array)[1].tobytes()


# ---- files of other projects


@pytest.mark.parametrize("year", range(1985, 2021, 5))
def test_landsat_is_read_as_tifffile_reads_it(year):
    path = shared("data", "landsat4", f"{year}.tif")
    image = Channels().decode(path)
    np.testing.assert_array_equal(image, tifffile.imread(path))
    assert image.shape == (377, 697, 4)
    assert image_size(path) == (377, 697)
    assert Channels().layout(path) == Layout(4, "uint8")
    with pytest.raises(DataError, match="4 channels of uint8, which RGB cannot represent"):
        decode(path)


def test_tiles_are_those_inflated_by_hand():
    path = shared("data", "landsat4", "2010.tif")
    np.testing.assert_array_equal(decode_stored(path), by_hand(path.read_bytes()))


def by_hand(raw):
    """Inflate the tiles of a TIFF of deflated 8-bit tiles, without predictor."""
    order = {b"II": "<", b"MM": ">"}[raw[:2]]
    (at,) = struct.unpack_from(f"{order}I", raw, 4)
    tags = {}
    for entry in range(at + 2, at + 2 + 12 * struct.unpack_from(f"{order}H", raw, at)[0], 12):
        tag, kind, count, value = struct.unpack_from(f"{order}HHII", raw, entry)
        form = {3: "H", 4: "I"}.get(kind)
        if form:
            start = entry + 8 if count * struct.calcsize(form) <= 4 else value
            tags[tag] = struct.unpack_from(f"{order}{count}{form}", raw, start)
    (width,), (height,), (channels,) = tags[256], tags[257], tags[277]
    (columns,), (rows,) = tags[322], tags[323]
    across, down = -(-width // columns), -(-height // rows)
    whole = np.zeros((down * rows, across * columns, channels), np.uint8)
    for i, (start, length) in enumerate(zip(tags[324], tags[325], strict=True)):
        tile = np.frombuffer(zlib.decompress(raw[start : start + length]), np.uint8)
        top, left = i // across * rows, i % across * columns
        whole[top : top + rows, left : left + columns] = tile.reshape(rows, columns, channels)
    return whole[:height, :width]


def test_a_tiled_file_equals_its_tiles_inflated_by_hand(tmp_path):
    image = RANDOM.integers(0, 256, (45, 70, 7)).astype(np.uint8)
    raw = tiff(image, tile=(32, 16), compression="zlib", predictor=False)
    np.testing.assert_array_equal(by_hand(raw), image)
    np.testing.assert_array_equal(decode_stored(written(tmp_path, raw)), image)


def test_worms_keep_12_bits_and_their_channels_are_stacked():
    folder = shared("data", "worms16", "ExampleStraightenWorms", "images")
    channels = Channels(["_w1_", "_w2_", "_w3_"])
    (image,) = channels.images(sorted(folder.iterdir()))
    assert "_w1_[" in image.name
    expected = [tifffile.imread(next(folder.glob(f"*_w{i}_*"))) for i in (1, 2, 3)]
    np.testing.assert_array_equal(channels.decode(image), np.stack(expected, -1))
    assert channels.layout(image) == Layout(3, "uint16")
    assert channels_of([image], channels) == Layout(3, "uint16")
    single = Channels("gray").decode(image)
    assert (single.shape, single.dtype) == ((520, 696, 1), np.uint16)
    np.testing.assert_array_equal(single[..., 0], expected[0])


def test_two_fields_of_view_are_two_images():
    folder = shared("data", "worms16", "ExampleUntangleWorms", "images")
    channels = Channels(("_w1", "_w2"))
    found = channels.images(sorted(folder.iterdir()))
    assert [name.name.split("_")[6] for name in found] == ["C01", "C20"]
    for image in found:
        assert channels.decode(image).shape == (520, 696, 2)


# ---- as stored


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("tile", [None, (32, 16)])
@pytest.mark.parametrize("image", [FIVE, FLOATS, FIVE.astype(np.uint8)], ids=lambda a: str(a.dtype))
def test_tiff_of_many_channels(tmp_path, image, tile, order, planar, compression):
    raw = tiff(image, planar, tile=tile, byteorder=order, compression=compression, rowsperstrip=8)
    path = written(tmp_path, raw)
    found = Channels("auto").decode(path)
    np.testing.assert_array_equal(found, image)
    assert found.dtype == image.dtype
    assert found.dtype.isnative
    assert found.flags.writeable
    assert channels_of([path]) == Layout(image.shape[2], str(image.dtype))
    assert image_size(path) == image.shape[:2]


@pytest.mark.parametrize("channels", range(1, 17))
def test_every_number_of_channels(tmp_path, channels):
    image = RANDOM.integers(0, 65536, (12, 15, channels)).astype(np.uint16)
    path = written(tmp_path, tiff(image))
    np.testing.assert_array_equal(decode_stored(path), image)
    np.save(tmp_path / "a.npy", image)
    np.testing.assert_array_equal(decode_stored(tmp_path / "a.npy"), image)
    assert layout_of(tmp_path / "a.npy") == layout_of(path) == Layout(channels, "uint16")


def test_old_codes_big_tiff_predictors_and_sparse_tiles(tmp_path):
    image = np.arange(40 * 50 * 5, dtype=np.uint16).reshape(40, 50, 5)
    for options in (
        {"bigtiff": True, "compression": "zlib"},
        {"compression": "zlib", "predictor": 2},
        {"compression": "zlib", "predictor": 2, "byteorder": ">", "tile": (16, 16)},
    ):
        path = written(tmp_path, tiff(image, **options))
        np.testing.assert_array_equal(decode_stored(path), image)
    old = changed(tiff(image, compression="zlib"), 259, 32946)  # deflate before its own code
    np.testing.assert_array_equal(decode_stored(written(tmp_path, old)), image)
    raw = bytearray(tiff(image.astype(np.uint8), tile=(16, 16), compression="zlib"))
    with tifffile.TiffFile(io.BytesIO(raw)) as file:
        tags = file.pages[0].tags
        for tag in (324, 325):  # a sparse file has no bytes for a tile of zeros
            size = 4 if tags[tag].dtype == 4 else 2
            raw[tags[tag].valueoffset : tags[tag].valueoffset + size] = bytes(size)
    expected = image.astype(np.uint8)
    expected[:16, :16] = 0
    np.testing.assert_array_equal(decode_stored(written(tmp_path, raw)), expected)


@pytest.mark.parametrize("order", ["<", ">"])
def test_floating_point_predictor(tmp_path, order):
    """TIFF Technical Note 3, encoded here byte by byte."""
    image = FLOATS[:8, :9, :3]
    rows = []
    for row in image:
        planes = np.frombuffer(row.astype(">f4").tobytes(), np.uint8).reshape(-1, 4).T
        flat = planes.reshape(-1).astype(int)
        coded = [int(v) - (int(flat[i - 3]) if i >= 3 else 0) for i, v in enumerate(flat)]
        rows.append(np.array(coded, int).astype(np.uint8).tobytes())
    raw = bytearray(tiff(np.zeros_like(image), byteorder=order, rowsperstrip=8))
    body = zlib.compress(b"".join(rows))
    with tifffile.TiffFile(io.BytesIO(raw)) as file:
        tags = file.pages[0].tags
        # The unused tag Software becomes Predictor.
        places = {code: (tags[code].offset, tags[code].valueoffset) for code in (259, 273, 279)}
        software = tags[305].offset
    for code, value in ((259, 8), (279, len(body)), (273, len(raw))):
        struct.pack_into(f"{order}HHI", raw, places[code][0], code, 4, 1)
        struct.pack_into(f"{order}I", raw, places[code][0] + 8, value)
    struct.pack_into(f"{order}HHIHH", raw, software, 317, 3, 1, 3, 0)
    found = decode_stored(written(tmp_path, bytes(raw) + body))
    np.testing.assert_array_equal(found, image)


def repacked(raw, compression, encode):
    """Compress the strips or tiles of an uncompressed TIFF file, and append them to it."""
    raw = bytearray(changed(raw, 259, compression))
    with tifffile.TiffFile(io.BytesIO(raw)) as file:
        page, order = file.pages[0], file.byteorder
        codes = (324, 325) if page.is_tiled else (273, 279)
        tags = [page.tags[code] for code in codes]
        segments = [
            bytes(raw[start : start + length])
            for start, length in zip(page.dataoffsets, page.databytecounts, strict=True)
        ]
    for i, segment in enumerate(segments):
        packed = encode(segment)
        for tag, value in zip(tags, (len(raw), len(packed)), strict=True):
            form = {3: "H", 4: "I"}[tag.dtype]
            at = tag.valueoffset + i * struct.calcsize(form)
            struct.pack_into(f"{order}{form}", raw, at, value)
        raw += packed
    return bytes(raw)


def by_pillow(data, compression):
    """Return bytes as libtiff compresses them, as one strip."""
    raw = pillow(np.frombuffer(data, np.uint8)[None], "TIFF", compression=compression)
    with tifffile.TiffFile(io.BytesIO(raw)) as file:
        (start,), (length,) = file.pages[0].dataoffsets, file.pages[0].databytecounts
    return raw[start : start + length]


@pytest.mark.parametrize(("code", "name"), [(5, "tiff_lzw"), (32773, "packbits")])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("options", [{"tile": (32, 16)}, {"rowsperstrip": 5}], ids=str)
@pytest.mark.parametrize("order", ["<", ">"])
def test_compressions_of_many_channels(tmp_path, order, options, planar, code, name):
    raw = tiff(FIVE, planar, byteorder=order, **options)
    path = written(tmp_path, repacked(raw, code, lambda data: by_pillow(data, name)))
    np.testing.assert_array_equal(decode_stored(path), FIVE)


def test_a_compression_that_is_not_supported(tmp_path):
    path = written(tmp_path, changed(tiff(FIVE), 259, 50000))  # Zstandard
    with pytest.raises(DataError, match="compression 50000") as error:
        decode_stored(path)
    assert "planarconfig='contig'" in error.value.fix


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate"])
@pytest.mark.parametrize("image", [GRAY, FIVE[..., 0], RGB], ids=lambda a: f"{a.dtype}{a.ndim}")
def test_compressions_of_pillow(tmp_path, image, compression):
    path = written(tmp_path, pillow(image, "TIFF", compression=compression))
    np.testing.assert_array_equal(decode_stored(path), np.atleast_3d(image))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("int8", "float32"), ("int16", "float32"), ("int32", "float32"), ("uint32", "float32"),
     ("float16", "float32"), ("float64", "float32"), ("float32", "float32"), ("uint16", "uint16")],
)  # fmt: skip
@pytest.mark.parametrize("name", ["a.tif", "a.npy"])
def test_other_types_keep_their_values(tmp_path, name, dtype, expected):
    image = RANDOM.integers(0, 100, (9, 8, 3)).astype(dtype)
    image[0, 0, 0] = 0 if dtype.startswith("u") else -7
    path = tmp_path / name
    np.save(path, image) if name == "a.npy" else written(tmp_path, tiff(image))
    found = decode_stored(path)
    assert (str(found.dtype), layout_of(path).dtype) == (expected, expected)
    np.testing.assert_array_equal(found, image.astype(np.float64))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((9, 8, 3), np.int64), "values of int64"),
        (np.zeros((9, 8, 3), bool), "values of bool"),
        (np.zeros((9, 8, 3), complex), "c16"),
        (np.full((9, 8, 1), 2**24 + 1, np.int32), "not exact in float32"),
        (np.full((9, 8, 1), np.nan, np.float32), "72 values are not finite"),
        (np.full((9, 8, 1), 1e300), "outside the range of float32"),
        (np.zeros((5, 40, 50), np.uint16), "np.moveaxis(image, 0, -1)"),
        (np.zeros((40, 50, 17), np.uint16), "up to 16 channels"),
        (np.zeros((100, 4), np.float32), "shape (100, 4)"),
        (np.zeros((2, 8, 8, 3), np.uint8), "images[0]"),
        (np.zeros(8, np.uint8), "shape (8,)"),
        (np.zeros((0, 8, 3), np.uint8), "shape (0, 8, 3)"),
        (np.array([{}]), "does not contain an array of numbers|values of O|not an image"),
        (np.zeros(8, [("a", "f4")]), "does not contain an array of numbers"),
    ],
    ids=lambda value: None if isinstance(value, str) else f"{value.dtype}{value.shape}",
)
def test_arrays_that_are_refused(tmp_path, array, words):
    path = tmp_path / "a.npy"
    np.save(path, array, allow_pickle=True)
    with pytest.raises(DataError) as error:
        decode_stored(path)
    assert any(word in str(error.value) for word in words.split("|")), error.value
    assert "a.npy" in str(error.value)


def test_arrays_by_columns_of_other_byte_orders_and_versions(tmp_path):
    path = tmp_path / "a.npy"
    for image in (np.asfortranarray(FIVE), FIVE.astype(">u2"), FIVE[..., 0], FIVE[..., :1]):
        np.save(path, image)
        found = decode_stored(path)
        np.testing.assert_array_equal(found, np.atleast_3d(image))
        assert found.flags.c_contiguous
        assert found.flags.writeable
        assert image_size(path) == (37, 53)
    for version in ((1, 0), (2, 0), (3, 0)):
        with path.open("wb") as stream:
            np.lib.format.write_array(stream, FIVE, version=version)
        np.testing.assert_array_equal(decode_stored(path), FIVE)


@pytest.mark.parametrize(
    ("raw", "channels", "dtype"),
    [
        (pillow(GRAY, "PNG"), 1, "uint8"),
        (pillow(np.dstack([GRAY, RGB[..., 0]]), "PNG"), 2, "uint8"),
        (pillow(RGB, "PNG"), 3, "uint8"),
        (pillow(RGBA, "PNG"), 4, "uint8"),
        (pillow(GRAY, "PNG", transparency=5), 1, "uint8"),
        (pillow(RGB, "PNG", transparency=(1, 2, 3)), 4, "uint8"),
        (pillow(RGB, "PNG", "P"), 3, "uint8"),
        (pillow(RGB, "PNG", "P", transparency=3), 4, "uint8"),
        (pillow(GRAY > 99, "PNG"), 1, "uint8"),
        (png16(FIVE[..., 0]), 1, "uint16"),
        (png16(FIVE[..., :3]), 3, "uint16"),
        (png16(FIVE[..., [3, 0, 1, 2]]), 4, "uint16"),
        (pillow(RGB, "JPEG", "L"), 1, "uint8"),
        (pillow(RGB, "JPEG"), 3, "uint8"),
        (pillow(RGB, "JPEG", "CMYK"), 3, "uint8"),
        (pillow(GRAY, "BMP"), 1, "uint8"),
        (pillow(RGB, "BMP", "P"), 3, "uint8"),
        (pillow(RGB, "BMP"), 3, "uint8"),
        (pillow(RGBA, "BMP"), 3, "uint8"),
        (pillow(RGB, "WEBP", lossless=True), 3, "uint8"),
        (pillow(RGBA, "WEBP", lossless=True), 4, "uint8"),
        (pillow(RGBA, "WEBP"), 4, "uint8"),
        (pillow(RGB, "WEBP"), 3, "uint8"),
        (pillow(RGB, "TIFF", "P"), 3, "uint8"),
        (pillow(GRAY > 99, "TIFF"), 1, "uint8"),
        (pillow(RGB, "TIFF", compression="jpeg"), 3, "uint8"),
        (tiff(RGB, photometric="rgb"), 3, "uint8"),
        (tiff(RGBA, photometric="rgb", extrasamples=["unassalpha"]), 4, "uint8"),
        (tiff(FIVE[..., :4], photometric="rgb", extrasamples=["unassalpha"]), 4, "uint16"),
    ],
)
def test_layouts_in_headers_are_those_of_decoded_images(tmp_path, raw, channels, dtype):
    path = written(tmp_path, raw)
    image = decode_stored(path)
    assert layout_of(path) == layout_of(path, raw) == Layout(channels, dtype)
    assert (image.shape[2], str(image.dtype)) == (channels, dtype)
    # RGB can represent all of them, so that nothing changes by default.
    np.testing.assert_array_equal(Channels().decode(path), decode(path))
    assert Channels().layout(path) == Layout(3, "uint8")
    for mode, wanted in (("gray", 1), ("rgba", 4)):
        found = Channels(mode).decode(path)
        assert (found.shape[2], str(found.dtype)) == (wanted, dtype)
        assert Channels(mode).layout(path) == Layout(wanted, dtype)


def test_values_as_stored(tmp_path):
    for array in (GRAY, RGB, RGBA, np.dstack([GRAY, RGB[..., 0]])):
        path = written(tmp_path, pillow(array, "PNG"), "a.png")
        np.testing.assert_array_equal(decode_stored(path), np.atleast_3d(array))
    for array in (FIVE[..., 0], FIVE[..., :3]):
        path = written(tmp_path, png16(array), "a.png")
        np.testing.assert_array_equal(decode_stored(path), np.atleast_3d(array))


def test_gray_and_rgba(tmp_path):
    path = written(tmp_path, pillow(RGB, "PNG"), "a.png")
    luma = np.asarray(Image.fromarray(RGB).convert("L"), int)
    assert np.abs(Channels("gray").decode(path)[..., 0] - luma).max() <= 1
    rgba = Channels("rgba").decode(path)
    np.testing.assert_array_equal(rgba[..., :3], RGB)
    assert (rgba[..., 3] == 255).all()
    path = written(tmp_path, png16(FIVE[..., 0]), "a.png")
    assert (Channels("rgba").decode(path)[..., 3] == 65535).all()
    path = written(tmp_path, tiff(FIVE[..., 0], photometric="miniswhite"))
    np.testing.assert_array_equal(decode_stored(path)[..., 0], FIVE[..., 0])
    np.testing.assert_array_equal(Channels("gray").decode(path)[..., 0], 65535 - FIVE[..., 0])
    path = written(tmp_path, tiff(FIVE))
    with pytest.raises(DataError, match="5 channels of uint16 cannot be converted to gray"):
        Channels("gray").decode(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied(tmp_path, orientation):
    path = written(
        tmp_path, tiff(RGB, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    )
    expected = decode(path)
    np.testing.assert_array_equal(decode_stored(path), expected)
    many = np.dstack([RGB, RGB])
    path = written(tmp_path, tiff(many, extratags=[(274, 3, 1, orientation, True)]))
    np.testing.assert_array_equal(decode_stored(path), np.dstack([expected, expected]))
    assert image_size(path) == expected.shape[:2]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = written(tmp_path, pillow(RGBA, "PNG", exif=exif), "a.png")
    np.testing.assert_array_equal(decode_stored(path)[..., :3], expected)


# ---- what RGB cannot represent


@pytest.mark.parametrize(
    ("raw", "layout"),
    [
        (tiff(RGBA), Layout(4, "uint8")),  # no alpha tag
        (tiff(RGB), Layout(3, "uint8")),  # three channels that are not red, green and blue
        (tiff(RGBA[..., :2]), Layout(2, "uint8")),
        (tiff(FLOATS[..., 0]), Layout(1, "float32")),
        (tiff(GRAY.astype(np.int16)), Layout(1, "float32")),
        (tiff(FIVE), Layout(5, "uint16")),
    ],
)
def test_tiff_that_rgb_cannot_represent(tmp_path, raw, layout):
    path = written(tmp_path, raw)
    assert Channels("auto").layout(path) == layout
    layout.check(Channels("auto").decode(path), path)
    for function in (decode, Channels("rgb").decode):
        with pytest.raises(DataError, match="RGB cannot represent"):
            function(path)


def test_a_fourth_channel_that_is_not_alpha_is_kept_unless_rgb_is_chosen(tmp_path):
    raw = tiff(RGBA, photometric="rgb", extrasamples=["unspecified"])
    path = written(tmp_path, raw)
    np.testing.assert_array_equal(Channels("auto").decode(path), RGBA)
    assert channels_of([path]) == Layout(4, "uint8")
    np.testing.assert_array_equal(Channels("rgb").decode(path), RGB)


@pytest.mark.parametrize("image", [GRAY, FIVE[..., 0], np.dstack([GRAY, GRAY])])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_gray_tiles_are_right_up_to_the_last_column(tmp_path, image, compression):
    image = np.tile(image, (2, 3, *[1] * (image.ndim - 2)))[:31, :77]
    options = {"extrasamples": ["unassalpha"]} if image.ndim == 3 else {}
    raw = tiff(image, tile=(32, 32), compression=compression, **options)
    gray = np.atleast_3d(image)[..., 0]
    gray = gray >> 8 if gray.dtype == np.uint16 else gray
    np.testing.assert_array_equal(decode(written(tmp_path, raw)), np.dstack([gray] * 3))


def test_pages(tmp_path):
    stack = np.stack([FIVE[..., i] for i in range(3)])
    path = written(tmp_path, tiff(stack, planarconfig=None))
    with pytest.raises(DataError, match="3 pages of one size") as error:
        Channels().decode(path)
    with pytest.raises(DataError, match="3 pages"):
        channels_of([path])
    assert Channels("rgb").decode(path).shape == (37, 53, 3)
    condition, _, fix = error.value.fix.partition(": ")
    assert condition == "if they are channels"
    exec(fix, {"np": np, "tifffile": tifffile})  # noqa: S102  text of this repository
    np.testing.assert_array_equal(Channels().decode(path), FIVE[..., :3])
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:  # an overview and a mask are no pages of a stack
        writer.write(FIVE, photometric="minisblack", planarconfig="contig")
        writer.write(FIVE, photometric="minisblack", planarconfig="contig", subfiletype=1)
        writer.write(FIVE[..., 0] > 9, photometric="minisblack", subfiletype=4)
    np.testing.assert_array_equal(decode_stored(written(tmp_path, stream.getvalue())), FIVE)


def test_the_value_range_of_16_bits_is_that_of_images_shown_at_8_bits(tmp_path):
    raw = tiff(FIVE[..., 0] >> 4, tile=(32, 32))
    depth = depth_of(raw, "a.tif")
    assert (depth.low, depth.high) == ((FIVE[..., 0] >> 4).min(), (FIVE[..., 0] >> 4).max())
    assert depth_of(tiff(FIVE), "a.tif") is None


def test_paths_of_other_channels_are_no_pixels(tmp_path):
    np.save(tmp_path / "a.npy", FIVE)
    for path in (tmp_path / "a.npy", written(tmp_path, tiff(FIVE))):
        with pytest.raises(DataError, match=r"Channels\('stored'\)\.decode\(path\)"):
            to_pixels(path)


def test_a_numpy_file_has_no_rgb(tmp_path):
    np.save(tmp_path / "a.npy", RGB)
    np.testing.assert_array_equal(Channels().decode(tmp_path / "a.npy"), RGB)
    with pytest.raises(DataError, match="has no RGB"):
        decode(tmp_path / "a.npy")


# ---- one file per channel


def channel_files(folder, names, image=FIVE):
    for name in names:
        written(folder, tiff(image[..., 0]), name)
    return [folder / name for name in names]


def test_channels_in_files(tmp_path):
    channels = Channels(["_w1", "_w10"])
    for i, name in enumerate(["x_w1.tif", "x_w10.tif"]):
        written(tmp_path, tiff(FIVE[..., i]), name)
    written(tmp_path, b"", "readme.txt")
    assert channels.images(sorted(tmp_path.iterdir())) == [tmp_path / "x_w1.tif"]
    for name in ("x_w1.tif", "x_w10.tif"):
        np.testing.assert_array_equal(channels.decode(tmp_path / name), FIVE[..., :2])


def test_channels_in_an_archive(tmp_path):
    uuid = "9aa4d9ea-18e4-4354-8c7d-0202029a804"
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i in range(4):
            name = f"images/{'xy'[i // 2]}_w{i % 2 + 1}_{uuid}{i}.tif"
            archive.writestr(name, tiff(FIVE[..., i]))
    channels = Channels(["_w1_", "_w2_"])
    first, second = channels.images((place(tmp_path / "a.zip")).iterdir())
    np.testing.assert_array_equal(channels.decode(first), FIVE[..., :2])
    np.testing.assert_array_equal(channels.decode(second), FIVE[..., 2:4])
    assert channels_of([first, second], channels) == Layout(2, "uint16")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["x_w1_.tif"], ["x_w1_.tif", "'_w2_'"]),
        (["x_w2_.tif"], ["x_w2_.tif", "'_w1_'"]),
        (["x_w1_.tif", "y_w2_.tif"], ["x_w1_.tif"]),
        (["x_w1_a.tif", "x_w2_b.tif"], ["x_w1_a.tif"]),
        (["x_w3_.tif"], ["'_w1_', '_w2_'"]),
        (["x_w1__w2_.tif"], ["'_w1_', '_w2_'"]),
        (
            [
                "x_w1_9AA4D9EA-18E4-4354-8C7D-0202029A8048.tif",
                "x_w1_9AA4D9EA-18E4-4354-8C7D-0202029A8049.tif",
                "x_w2_9AA4D9EA-18E4-4354-8C7D-0202029A8048.tif",
            ],
            ["8048.tif", "8049.tif", "same channel"],
        ),
    ],
)
def test_channels_that_are_missing_or_duplicate(tmp_path, names, words):
    paths = channel_files(tmp_path, names)
    channels = Channels(["_w1_", "_w2_"])
    with pytest.raises(DataError) as error:
        channels.images(paths)
    assert all(word in str(error.value) for word in words), error.value
    with pytest.raises(DataError) as error:
        channels.decode(paths[-1])
    assert "_w" in str(error.value)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (tiff(FIVE[:9, :, 0]), "53 × 9 uint16"),
        (tiff(FIVE[..., 0].astype(np.uint8)), "53 × 37 uint8"),
        (tiff(FIVE[..., :2]), "uint16"),
    ],
)
def test_channels_that_do_not_fit(tmp_path, other, words):
    written(tmp_path, tiff(FIVE[..., 0]), "x_w1_.tif")
    written(tmp_path, other, "x_w2_.tif")
    with pytest.raises(DataError, match=words) as error:
        Channels(["_w1_", "_w2_"]).decode(tmp_path / "x_w1_.tif")
    assert "x_w2_.tif" in str(error.value)
    assert "x_w1_.tif" in str(error.value)


# ---- values, datasets, models


@pytest.mark.parametrize(
    "value", ["rbg", "", "_w1_", [], ["_w1_"], ["a", "a"], ["a", ""], ["a/b", "c"], ["a", 1],
              [str(i) for i in range(17)], 3, None, {"a": 1}],
)  # fmt: skip
def test_invalid_channels(value):
    with pytest.raises(ConfigError, match="channels"):
        Channels(value)


def test_channels_are_values():
    for value in ("auto", "stored", ["_w1_", "_w2_"]):
        channels = Channels.of(value)
        assert pickle.loads(pickle.dumps(channels)) == channels  # noqa: S301
        assert Channels.of(channels) is channels
        assert channels.to_config() == value
        assert hash(channels) == hash(Channels(value))


def test_datasets_of_one_layout(tmp_path):
    five = written(tmp_path, tiff(FIVE), "five.tif")
    np.save(tmp_path / "eight.npy", FIVE.astype(np.uint8))
    rgb = written(tmp_path, pillow(RGB, "PNG"), "rgb.png")
    gray = written(tmp_path, pillow(GRAY, "PNG"), "gray.png")
    assert channels_of([rgb, gray]) == Layout(3, "uint8")
    assert channels_of([five, five]) == Layout(5, "uint16")
    for paths, mode in (
        ([five, tmp_path / "eight.npy"], "auto"),
        ([rgb, five], "auto"),
        ([rgb, gray], "stored"),
    ):
        with pytest.raises(DataError) as error:
            channels_of(paths, mode)
        text = str(error.value)
        assert all(str(path) in text for path in paths)
        assert text.count("channel") >= 2
        assert error.value.fix
    with pytest.raises(DataError, match="no images"):
        channels_of([])
    with pytest.raises(DataError, match=r"five\.tif: the image has 5 channels of uint16"):
        Layout(3, "uint8").check(FIVE, five)


@pytest.mark.parametrize(
    ("model", "data", "fix"),
    [(3, 4, "[0, 1, 2]"), (3, 1, "channels='rgb'"), (5, 3, "5"), (4, 13, "[0, 1, 2, 3]")],
)
def test_a_count_that_the_model_does_not_take(model, data, fix):
    check_channels(model, model)
    with pytest.raises(UserError, match=f"have {data} channels?, and the model takes {model}") as e:
        check_channels(model, data)
    assert fix in str(e.value) or str(data) in str(e.value.fix)


# ---- readers


def yolo(folder, images):
    for part in ("images", "labels"):
        (folder / part / "train").mkdir(parents=True)
    text = "path: .\ntrain: images/train\nval: images/train\nnames: [a]\n"
    (folder / "data.yaml").write_text(text)
    for name, image in images.items():
        path = folder / "images" / "train" / name
        np.save(path, image) if path.suffix == ".npy" else Image.fromarray(image).save(path)
        (folder / "labels" / "train" / f"{path.stem}.txt").write_text("0 0.5 0.5 0.5 0.5\n")


def test_datasets_of_arrays(tmp_path):
    yolo(tmp_path, {"a.npy": FIVE, "b.npy": FIVE})
    dataset = read(tmp_path)
    paths = [dataset.image_path(i) for i in range(len(dataset))]
    assert [path.name for path in paths] == ["a.npy", "b.npy"]
    assert dataset[0].size == (37, 53)
    assert channels_of(paths) == Layout(5, "uint16")


def test_arrays_beside_images_are_not_images(tmp_path):
    """Other tools write decoded images, masks and features as NumPy files beside the images."""
    yolo(tmp_path / "boxes", {"a.png": RGB, "a.npy": RGB, "features.npy": FLOATS[0]})
    (tmp_path / "boxes" / "labels" / "train" / "features.txt").unlink()
    assert [example.path.name for example in read(tmp_path / "boxes")] == ["a.png"]
    for name in ("x", "y"):
        folder = tmp_path / "classes" / "train" / name
        folder.mkdir(parents=True)
        Image.fromarray(RGB).save(folder / "a.png")
    np.save(tmp_path / "classes" / "train" / "features.npy", FLOATS[0])
    assert len(read(tmp_path / "classes")) == 2
    np.save(folder / "a.npy", RGB)
    with pytest.raises(DataError, match="a NumPy file is one only in a folder without other"):
        read(tmp_path / "classes")


def test_masks_are_not_arrays(tmp_path):
    for part in ("images", "masks"):
        (tmp_path / part / "train").mkdir(parents=True)
    (tmp_path / "classes.yaml").write_text("classes: [a, b]\n")
    np.save(tmp_path / "images" / "train" / "a.npy", FIVE)
    np.save(tmp_path / "masks" / "train" / "a.npy", FIVE[..., 0])
    with pytest.raises(DataError, match=r"the mask .*a\.png does not exist"):
        read(tmp_path)
    Image.fromarray(np.zeros((37, 53), np.uint8)).save(tmp_path / "masks" / "train" / "a.png")
    (image,) = read(tmp_path).images
    assert Channels().decode(image).shape == (37, 53, 5)


# ---- damaged files


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95, 0.999])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}], ids=str)
def test_truncated_files(tmp_path, options, share):
    raw = tiff(FIVE, **options)
    path = written(tmp_path, raw[: int(len(raw) * share)])
    with pytest.raises(DataError, match=r"a\.tif"):
        decode_stored(path)
    np.save(tmp_path / "a.npy", FIVE)
    raw = (tmp_path / "a.npy").read_bytes()
    path = written(tmp_path, raw[: int(len(raw) * share)], "a.npy")
    with pytest.raises(DataError, match=r"a\.npy"):
        decode_stored(path)


def npy(text, size=b""):
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text.encode() + size


@pytest.mark.parametrize(
    "raw",
    [
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (30000, 30000, 16), }"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 9, 1), }"),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (9, 9), }", b"cos\nsystem\n"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-9, 9, 3), }", bytes(972)),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9 9, 3), }", bytes(972)),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 5000 + ", 9), }"),
        npy("__import__('os').system('true')"),
        npy("(" * 5000),
        b"\x93NUMPY\x09\0" + bytes(99),
        b"\x93NUMPY\x02\0" + b"\xff" * 4 + bytes(99),
        b"\x93NUMPY",
    ],
)
def test_hostile_arrays(tmp_path, raw):
    path = written(tmp_path, raw, "a.npy")
    for function in (decode_stored, Channels().decode, Channels("gray").decode):
        with pytest.raises(DataError, match=r"a\.npy"):
            function(path)


def changed(raw, tag, value):
    """Return a TIFF file with one tag changed to one LONG."""
    raw = bytearray(raw)
    with tifffile.TiffFile(io.BytesIO(raw)) as file:
        at, order = file.pages[0].tags[tag].offset, file.byteorder
    struct.pack_into(f"{order}HII", raw, at + 2, 4, 1, value)
    return bytes(raw)


@pytest.mark.parametrize(
    ("tag", "value"),
    [(256, 20_000), (257, 20_000), (256, 2**31), (277, 16), (277, 60_000), (322, 2**20),
     (323, 2**24), (257, 0), (258, 12)],
)  # fmt: skip
def test_tags_that_claim_another_size(tmp_path, tag, value):
    path = written(tmp_path, changed(tiff(FIVE, tile=(32, 32), compression="zlib"), tag, value))
    with pytest.raises(DataError, match=r"a\.tif"):
        decode_stored(path)


def test_a_tile_that_unpacks_to_more_than_its_size(tmp_path):
    """64 MB of zeros are deflated to 64 KB; only the bytes of the tile are unpacked."""
    raw = tiff(np.zeros((32, 32, 5), np.uint8), tile=(32, 32), compression="zlib")
    bomb = zlib.compress(bytes(2**26), 9)
    path = written(tmp_path, changed(changed(raw, 324, len(raw)), 325, len(bomb)) + bomb)
    import tracemalloc

    decode_stored(path)
    tracemalloc.start()
    assert decode_stored(path).max() == 0
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4 * 2**20


@pytest.mark.parametrize("name", ["strips.tif", "tiles.tif", "lzw.tif", "a.npy"])
def test_any_change_of_a_file_is_read_or_refused(tmp_path, name):
    np.save(tmp_path / "a.npy", FIVE)
    raw = {
        "strips.tif": tiff(FIVE, rowsperstrip=8, predictor=2, compression="zlib"),
        "tiles.tif": tiff(FLOATS, "separate", tile=(32, 32), compression="zlib", bigtiff=True),
        "lzw.tif": pillow(FIVE[..., 0], "TIFF", compression="tiff_lzw"),
        "a.npy": (tmp_path / "a.npy").read_bytes(),
    }[name]
    numbers, read = random.Random(0), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of damage as well
        for _ in range(100):
            path = written(tmp_path, any_bytes(raw, numbers), name)
            try:
                image = Channels("auto").decode(path)
                Channels("auto").layout(path).check(image, path)
                assert image.shape[:2] == image_size(path)
                read += 1
            except DataError:
                pass
    assert 0 < read < 100
