"""Files whose content does not match their name are refused with an error."""

import io
import os
import struct
import zipfile

import cv2
import h5py
import numpy as np
import pytest
from PIL import Image

from visiongarden.config import load_yaml
from visiongarden.data import read
from visiongarden.data.decoding import decode
from visiongarden.data.semantic_samples import read_pixels
from visiongarden.errors import ConfigError, DataError, UserError
from visiongarden.recipes.git import repository_state
from visiongarden.storage.header import FORMATS, format_of, image_size
from visiongarden.weights.sources import open_source

IMAGE = np.random.default_rng(0).integers(0, 255, (40, 48, 3)).astype(np.uint8)


def _encoded(format):
    stream = io.BytesIO()
    Image.fromarray(IMAGE).save(stream, format=format)
    return stream.getvalue()


@pytest.mark.parametrize("format", FORMATS)
def test_the_five_formats_are_recognized_by_their_first_bytes(tmp_path, format):
    raw = _encoded(format)
    assert format_of(raw) == format
    (tmp_path / "x.png").write_bytes(raw)  # whatever the extension
    assert decode(tmp_path / "x.png").shape == IMAGE.shape


@pytest.mark.parametrize("format", ["EPS", "GIF", "PPM", "TGA", "ICO", "PCX", "JPEG2000", "PDF"])
@pytest.mark.parametrize("load", [decode, read_pixels, image_size])
def test_other_formats_are_refused_before_a_library_sees_them(tmp_path, format, load, monkeypatch):
    try:
        raw = _encoded(format)
    except (OSError, KeyError):
        pytest.skip(f"this Pillow does not write {format}")
    monkeypatch.setattr(Image, "open", None)
    monkeypatch.setattr(cv2, "imdecode", None)
    (tmp_path / "x.png").write_bytes(raw)
    with pytest.raises(DataError, match="not an image of a supported format"):
        load(tmp_path / "x.png")


@pytest.mark.parametrize("load", [decode, read_pixels])
def test_a_png_chunk_that_claims_four_gigabytes_is_refused(tmp_path, load):
    raw = bytearray(cv2.imencode(".png", IMAGE)[1].tobytes())
    at = raw.index(b"IDAT") - 4
    raw[at : at + 4] = struct.pack(">I", 2**32 - 2**16)
    (tmp_path / "x.png").write_bytes(raw)
    with pytest.raises(DataError, match=r"x\.png: the image is damaged at byte 33"):
        load(tmp_path / "x.png")


def test_sizes_of_header_and_pixels_agree(tmp_path):
    raw = bytearray(_encoded("BMP"))
    raw[22:26] = struct.pack("<i", -40)  # top-down: the same image to OpenCV and Pillow
    (tmp_path / "x.bmp").write_bytes(raw)
    assert decode(tmp_path / "x.bmp").shape == IMAGE.shape


@pytest.mark.parametrize("name", ["", "../x", "/x", "a/../../x", "\\x"])
def test_entries_without_a_name_or_outside_are_left_out(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"x")
        archive.writestr("train.json", b"[")
    with pytest.raises(DataError, match="line 1, column 2: invalid JSON"):
        read(tmp_path / "d.zip", reader="COCO")


def test_opening_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "data.yaml")
    with pytest.raises(ConfigError, match="it is a pipe"):
        load_yaml(tmp_path / "data.yaml")
    with pytest.raises(DataError):
        read(tmp_path, reader="YOLO")
    (tmp_path / ".git").mkdir()
    os.mkfifo(tmp_path / ".git" / "HEAD")
    assert repository_state(tmp_path) is None


def test_hdf5_filters_that_are_plugins_are_refused(tmp_path):
    path = tmp_path / "x.weights.h5"
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple((16,))
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((16,))
        # Optional, so that a file can be made without the plugin.
        plan.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
        group = file.create_group("layers/dense/vars")
        h5py.h5d.create(group.id, b"0", h5py.h5t.NATIVE_FLOAT, space, plan)
    with (
        pytest.raises(UserError, match=r"unsupported storage format|is not a complete"),
        open_source(path),
    ):
        pass
