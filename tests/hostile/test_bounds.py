"""Small files that would take much memory or time are refused first."""

import json
import struct
import threading
import time
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import h5py
import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden import ClassMap, repetition
from visiongarden.data import in_flight, read
from visiongarden.data.decoding import decode
from visiongarden.data.readers.xml_tree import parse_xml
from visiongarden.data.semantic_samples import read_pixels
from visiongarden.errors import DataError, ModelFileError, UserError
from visiongarden.storage import parse_json
from visiongarden.weights.sources import open_source

MB = 2**20
PNG = cv2.imencode(".png", np.zeros((40, 48, 3), np.uint8))[1].tobytes()


def zipped(path, files, how=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, raw in files.items():
            archive.writestr(name, raw)
    return path


def plain_png(width, height, bits=1):
    row = b"\0" + bytes((width * bits + 7) // 8)
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()

    def chunk(kind, data):
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", body), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("text", ["[" + "{}," * 10**6 + "{}]", "[" + "[]," * 10**6 + "[]]"])
def test_json_of_empty_containers_is_refused(text):
    with pytest.raises(DataError, match="too many values for its length"):
        parse_json(text.encode(), "x.json")


def test_json_of_annotations_is_read():
    row = {"id": 1, "image_id": 1, "bbox": [1.5, 2.5, 3.5, 4.5], "segmentation": [[1.5] * 12]}
    rows = [row] * 100_000
    assert parse_json(json.dumps(rows).encode(), "x.json") == rows


def test_json_errors_name_the_place():
    with pytest.raises(DataError, match=r"^x\.json: line 2, column 3: invalid JSON"):
        parse_json(b"[1,\n2 3]", "x.json")
    with pytest.raises(DataError, match=r"^x\.json:2: not UTF-8"):
        parse_json(b"[1,\n\xff]", "x.json")
    with pytest.raises(DataError, match="the JSON cannot be parsed"):
        parse_json(b"[" * 100_000, "x.json")
    with pytest.raises(DataError, match="the JSON cannot be parsed"):
        parse_json(b"9" * 10_000, "x.json")


@pytest.mark.parametrize(
    ("reader", "files"),
    [
        ("COCO", {"train.json": b"[" + b"{}," * MB + b"{}]"}),
        (
            "YOLO",
            {"data.yaml": b"train: images\nval: images\nnames: [a]\n", "images/a.png": PNG}
            | {"labels/a.txt": b"\n" * 8 * MB},
        ),
        ("VOC", {"Annotations/a.xml": b"<a>" + b"<b/>" * MB + b"</a>", "JPEGImages/a.png": PNG}),
        ("CSV", {"train.csv": b"a.png,1,1,9,9,a\n" * MB, "a.png": PNG}),
    ],
)
def test_text_that_unpacks_to_a_thousand_times_its_length_is_refused(tmp_path, reader, files):
    path = zipped(tmp_path / "set.zip", files)
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match="unpack to"):
        read(path, reader=reader)


def test_deep_names_in_archives_are_refused(tmp_path):
    path = zipped(tmp_path / "set.zip", {"a/" * 30_000 + "x": b""})
    with pytest.raises(DataError, match="name in the archive is too long"):
        read(path, reader="COCO")


def test_xml_takes_time_and_memory_by_its_length(tmp_path):
    path = tmp_path / "a.xml"
    path.write_bytes(b"<a>" + b"\n" * MB + b"</a>")
    begun = time.process_time()
    assert parse_xml(path).text == "\n" * MB
    assert time.process_time() - begun < 5  # it was 30 s
    path.write_bytes(b"<a>" + b"<b/>" * 10_000 + b"</a>")
    with pytest.raises(DataError, match="too many elements"):
        parse_xml(path)
    path.write_bytes(b"<a>" + b"<xmin>1</xmin>" * 10_000 + b"</a>")
    assert len(parse_xml(path).children) == 10_000


def test_a_class_map_takes_time_by_its_length():
    begun = time.process_time()
    names = ClassMap(tuple(f"n{i}" for i in range(21_841)))
    assert [names.index_of_name(f"n{i}") for i in range(0, 21_841, 7)] == list(range(0, 21_841, 7))
    assert time.process_time() - begun < 2  # it was 18 s
    with pytest.raises(UserError, match="duplicate class name in the class map: n5"):
        ClassMap((*names.names, "n5"))


@pytest.mark.parametrize("ids", [("x", 1), (1e300, 1), (None, 1), (True, 2), (1.5, 2)])
def test_class_ids_are_integers(ids):
    with pytest.raises(UserError, match="class ids are not integers"):
        ClassMap(("a", "b"), ids)


@pytest.mark.parametrize("load", [decode, read_pixels])
def test_a_small_png_that_claims_a_huge_image_is_refused(tmp_path, load):
    path = tmp_path / "x.png"
    path.write_bytes(plain_png(14_100, 14_100))
    assert path.stat().st_size < 30_000
    with pytest.raises(DataError, match="14100 × 14100 pixels is too large for"):
        load(path)


def test_large_plain_images_are_read(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(plain_png(4000, 3000))
    assert read_pixels(path).shape == (3000, 4000)


def test_threads_decode_no_more_than_the_largest_image_together():
    running, peak, lock = 0, 0, threading.Lock()

    def one(pixels):
        nonlocal running, peak
        with in_flight.decoding(pixels):
            with lock:
                running += pixels
                peak = max(peak, running)
            time.sleep(0.005)
            with lock:
                running -= pixels

    sizes = [30_000_000, 50_000_000, 20_000_000, 10_000_000, 64_000_000] * 3
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, sizes))
    assert 50_000_000 <= peak <= in_flight.MAX_PIXELS
    with in_flight.decoding(10**9):  # larger than allowed together: alone
        pass


def test_weights_in_chunks_are_bounded_by_the_file(tmp_path):
    path = tmp_path / "bomb.weights.h5"
    with h5py.File(path, "w") as file:
        ballast = file.create_group("layers/ballast/vars")
        ballast.create_dataset("0", data=np.zeros(2**20, "f4"))
        for i in range(40):
            group = file.create_group(f"layers/l{i}/vars")
            group.create_dataset("0", shape=(2**20,), dtype="f4", chunks=(2**18,), fillvalue=0)
    with (
        pytest.raises(UserError, match="a chunked array is too large for the file"),
        open_source(path),
    ):
        pass


def test_compressed_weights_are_read(tmp_path):
    path, values = tmp_path / "x.weights.h5", np.random.default_rng(0).normal(size=2**16)
    with h5py.File(path, "w") as file:
        group = file.create_group("layers/dense/vars")
        group.create_dataset("0", data=values, compression="gzip")
    with open_source(path) as source:
        assert np.array_equal(source.weights[0].read(), values)


@pytest.mark.parametrize("how", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_the_config_of_a_model_file_is_bounded(tmp_path, how):
    bomb = b"[" + b"{}," * 2**20 + b"{}]"
    files = {"config.json": bomb, "visiongarden.json": bomb, "model.weights.h5": b""}
    path = zipped(tmp_path / "m.keras", files, how)
    with pytest.raises(ModelFileError, match=r"too large|too many values"):
        vg.load(path)
    with pytest.raises(UserError), open_source(path):
        pass


def test_groups_nested_without_end_are_refused(tmp_path):
    path = tmp_path / "deep.weights.h5"
    with h5py.File(path, "w") as file:
        group = file
        for _ in range(1000):
            group = group.create_group("a")
    with pytest.raises(UserError), open_source(path):
        pass


def test_repeated_calls_of_inner_models_terminate(tmp_path):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(4)(inputs))
    for level in range(15):
        inputs = keras.Input((4,))
        model = keras.Model(inputs, model(model(inputs)), name=f"level{level}")
        if level == 2:
            model.save(tmp_path / "small.keras")
    model.save(tmp_path / "bomb.keras")
    with pytest.raises(ModelFileError, match="too many operations"):
        repetition.repeats(tmp_path / "bomb.keras")
    repetition.repeats(tmp_path / "small.keras")


@pytest.mark.parametrize("size", [float("inf"), 2**20, "640", True, 0, -1, 1.5])
def test_image_sizes_of_models_are_bounded(size):
    with pytest.raises(UserError, match="image_size is not valid"):
        vg.Detector(
            backbone=vg.backbones.CSPDarknet(width=0.125), decoder=vg.decoders.FPN(),
            head=vg.heads.AnchorFree(num_classes=2), image_size=(size, 64),
        )  # fmt: skip
