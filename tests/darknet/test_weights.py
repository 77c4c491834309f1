"""Weights files: versions of the header, exact lengths, and hostile files."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.shared import shared

import visiongarden as vg
from visiongarden.darknet import parse_cfg
from visiongarden.darknet.geometry import geometry, values_of
from visiongarden.darknet.weights import Header, read_header, read_weights
from visiongarden.errors import ModelFileError, UserError

CFG = """\
[net]
width=4
height=4
[convolutional]
batch_normalize=1
filters=2
size=3
pad=1
activation=linear
[connected]
output=3
activation=linear
"""
STEPS = geometry(parse_cfg(CFG))
CONV, DENSE = 4 * 2 + 2 * 3 * 9, 3 + 3 * 32
COUNT = CONV + DENSE


def written(tmp_path, count=COUNT, header=None, extra=b""):
    header = struct.pack("<3iq", 0, 2, 5, 64) if header is None else header
    path = tmp_path / "a.weights"
    path.write_bytes(header + np.arange(count, dtype="<f4").tobytes() + extra)
    return path


@pytest.mark.parametrize(
    ("header", "version", "seen"),
    [
        (struct.pack("<3iq", 0, 2, 5, 2**40), (0, 2, 5), 2**40),
        (struct.pack("<3iq", 1, 0, 0, 7), (1, 0, 0), 7),
        (struct.pack("<3ii", 0, 1, 0, 9), (0, 1, 0), 9),
    ],
)
def test_headers(tmp_path, header, version, seen):
    found, values = read_weights(written(tmp_path, header=header), STEPS)
    assert (found.version, found.seen, found.size) == (version, seen, len(header))
    assert found.to_bytes() == header
    np.testing.assert_array_equal(values, np.arange(COUNT))


def test_values_reach_their_places(tmp_path):
    model = vg.import_darknet(CFG, written(tmp_path))
    conv, norm, dense = (
        model.get_layer(n) for n in ("layer000_conv", "layer000_norm", "layer001_dense")
    )
    flat = np.arange(COUNT)
    for variable, start in zip(
        (norm.beta, norm.gamma, norm.moving_mean, norm.moving_variance), (0, 2, 4, 6), strict=True
    ):
        np.testing.assert_array_equal(variable, [start, start + 1])
    kernel = flat[8:CONV].reshape(2, 3, 3, 3)  # filter, channel, row, column
    np.testing.assert_array_equal(conv.kernel, kernel.transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(dense.bias, flat[CONV : CONV + 3])
    np.testing.assert_array_equal(dense.kernel, flat[CONV + 3 :].reshape(3, 32).T)


def test_transposed_matrices(tmp_path):
    path = written(tmp_path, header=struct.pack("<3iq", 0, 1001, 0, 0))
    model = vg.import_darknet(CFG, path)
    dense = model.get_layer("layer001_dense")
    np.testing.assert_array_equal(dense.kernel, np.arange(CONV + 3, COUNT).reshape(32, 3))
    vg.export_darknet(model, tmp_path / "b.cfg", tmp_path / "b.weights")
    assert (tmp_path / "b.weights").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("count", "extra", "words"),
    [
        (
            COUNT - 1,
            b"",
            ["layer 1 [connected], weights", f"byte {20 + 4 * COUNT - 4}", "4 are miss"],
        ),
        (COUNT, b"\0" * 3, [f"from byte {20 + 4 * COUNT}", "3 too many"]),
        (COUNT + 1, b"", ["continues after the last layer", "4 too many"]),
        (3, b"", ["layer 0 [convolutional], scales", "bytes 28 to 36", "cutoff=0"]),
        (CONV, b"", ["layer 1 [connected], biases", "cutoff=1"]),
        (CONV - 1, b"\0", ["layer 0 [convolutional], weights"]),
    ],
)
def test_a_wrong_length_is_reported_to_the_byte(tmp_path, count, extra, words):
    path = written(tmp_path, count, extra=extra)
    with pytest.raises(ModelFileError) as caught:
        vg.import_darknet(CFG, path)
    assert all(word in str(caught.value) for word in ["a.weights", *words])


def test_the_first_layers_only(tmp_path):
    path = written(tmp_path, CONV)
    model = vg.import_darknet(CFG, path, cutoff=1)
    np.testing.assert_array_equal(model.get_layer("layer000_norm").beta, [0, 1])
    assert np.std(model.get_layer("layer001_dense").kernel) > 0
    with pytest.raises(ModelFileError, match="inside layer 1"):
        vg.import_darknet(CFG, path, cutoff=2)


def test_a_large_cfg_takes_no_memory(tmp_path):
    text = CFG.replace("filters=2", "filters=100000").replace("output=3", "output=1000")
    with pytest.raises(ModelFileError, match="inside layer 0"):
        vg.import_darknet(text, written(tmp_path))
    with pytest.raises(ModelFileError, match="too many weights"):
        vg.import_darknet(text.replace("output=1000", "output=100000"))


@pytest.mark.parametrize(
    "name",
    [
        "yolo-fastest-1.1_coco/yolo-fastest-1.1",
        "yolo-fastest-1.0_coco/yolo-fastest-xl",
        "yolo-fastest-1.1_body/yolo-fastest-1.1_body",
    ],
)
def test_real_files_have_the_length_of_their_cfg(name):
    folder = shared("reference", "yolo_fastest", "ModelZoo")
    steps = geometry(parse_cfg(folder / f"{name}.cfg"))
    header, values = read_weights(folder / f"{name}.weights", steps)
    assert header.size == 20
    assert len(values) == values_of(steps)


@given(st.binary(max_size=64))
def test_any_header_is_read_or_rejected(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.weights"
    path.write_bytes(data)
    try:
        header = read_header(path)
    except UserError:
        return
    assert isinstance(header, Header)
    assert header.to_bytes() == data[: header.size]
