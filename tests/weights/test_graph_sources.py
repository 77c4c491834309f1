"""ONNX files, whose weights are found by name or by their place, and `.npz` archives."""

from __future__ import annotations

import io
import zipfile

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.errors import ModelFileError, UserError
from visiongarden.weights import transfer
from visiongarden.weights.sources import open_source

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")


class File:
    """An ONNX file written node by node, with numbers as names."""

    def __init__(self, constants=False, seed=0):
        self.rng, self.constants = np.random.default_rng(seed), constants
        self.nodes, self.initializers, self.count = [], [], 0

    def weight(self, *shape):
        self.count += 1
        array = self.rng.uniform(0.5, 1.5, shape).astype(np.float32)
        tensor = onnx.numpy_helper.from_array(array, str(self.count))
        if self.constants:
            self.nodes.append(onnx.helper.make_node("Constant", [], [tensor.name], value=tensor))
        else:
            self.initializers.append(tensor)
        return tensor.name

    def node(self, kind, *inputs, **attributes):
        self.count += 1
        self.nodes.append(onnx.helper.make_node(kind, inputs, [str(self.count)], **attributes))
        return str(self.count)

    def conv(self, x, filters, taken, kernel=3, stride=1, bias=True, act=True, groups=1):
        inputs = [x, self.weight(filters, taken // groups, kernel, kernel)]
        inputs += [self.weight(filters)] if bias else []
        attributes = {"pads": [kernel // 2] * 4, "strides": [stride] * 2, "group": groups}
        y = self.node("Conv", *inputs, **attributes)
        if not bias:
            y = self.node("BatchNormalization", y, *(self.weight(filters) for _ in range(4)))
        return self.node("Relu", y) if act else y

    def save(self, path, outputs, size=16):
        values = onnx.helper.make_tensor_value_info
        graph = onnx.helper.make_graph(
            self.nodes,
            "net",
            [values("x", 1, [1, 3, size, size])],
            [values(name, 1, None) for name in outputs],
            self.initializers,
        )
        opset = [onnx.helper.make_opsetid("", 13)]
        onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)
        return path


@vg.register(package="test_graph_sources")
class Split(vg.layers.Composite):
    """Two branches of one shape on one map; units follow the second one alone."""

    def __init__(self, filters, activation="relu", **kwargs):
        super().__init__(**kwargs)
        act = {"activation": activation, "epsilon": 1e-3}
        self.around = vg.layers.ConvNormAct(filters, 1, **act)
        self.into = vg.layers.ConvNormAct(filters, 1, **act)
        self.unit = vg.layers.ConvNormAct(filters, 3, **act)
        self.concat = keras.layers.Concatenate()
        self.out = vg.layers.ConvNormAct(2 * filters, 1, **act)

    def call(self, x):
        return self.out(self.concat([self.unit(self.into(x)), self.around(x)]))


def target():
    x = inputs = keras.Input((16, 16, 3))
    x = vg.layers.ConvNormAct(6, 3, 2, activation="relu", name="stem")(x)
    x = Split(4, name="split")(x)
    x = vg.layers.DepthwiseNormAct(3, activation="relu", name="depth")(x)
    left = keras.layers.Conv2D(2, 1, name="left")(keras.layers.Conv2D(5, 1, name="before")(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, [left, keras.layers.Dense(3, name="dense")(x)])


def written(path, constants=False, bias=True, gemm=True):
    file = File(constants)
    x = file.conv("x", 6, 3, stride=2, bias=bias)
    around = file.conv(x, 4, 6, 1, bias=bias)
    y = file.conv(file.conv(x, 4, 6, 1, bias=bias), 4, 4, bias=bias)
    x = file.conv(file.node("Concat", y, around, axis=1), 8, 8, 1, bias=bias)
    x = file.conv(x, 8, 8, groups=8, bias=bias)
    left = file.conv(file.conv(x, 5, 8, 1, act=False), 2, 5, 1, act=False)
    mean = file.node("Flatten", file.node("GlobalAveragePool", x))
    if gemm:
        dense = file.node("Gemm", mean, file.weight(3, 8), file.weight(3), transB=1)
    else:
        dense = file.node("Add", file.node("MatMul", mean, file.weight(8, 3)), file.weight(3))
    return file.save(path, [left, dense])


@pytest.mark.parametrize(
    ("constants", "bias", "gemm"),
    [(False, True, True), (True, False, True), (True, True, False)],
)
def test_weights_are_found_by_their_place(tmp_path, constants, bias, gemm):
    path = written(tmp_path / "m.onnx", constants, bias, gemm)
    model = target()
    report = transfer(path, model, min_coverage=1.0)
    assert report.only_in_source == report.differs == ()
    x = np.random.default_rng(1).random((1, 16, 16, 3), dtype=np.float32)
    expected = runtime.InferenceSession(path).run(None, {"x": x.transpose(0, 3, 1, 2).copy()})
    left, dense = (keras.ops.convert_to_numpy(each) for each in model(x, training=False))
    np.testing.assert_allclose(left, expected[0].transpose(0, 2, 3, 1), rtol=1e-4)
    np.testing.assert_allclose(dense, expected[1], rtol=1e-4)


def test_two_equal_places_are_named(tmp_path):
    """Two convolutions of one shape between the same layers, which a sum does not distinguish."""
    file = File()
    x = file.conv("x", 6, 3)
    y = file.node("Add", file.conv(x, 6, 6), file.conv(x, 6, 6))
    path = file.save(tmp_path / "m.onnx", [file.conv(y, 2, 6, act=False)])
    x = inputs = keras.Input((16, 16, 3))
    x = vg.layers.ConvNormAct(6, 3, activation="relu", name="stem")(x)
    sides = [vg.layers.ConvNormAct(6, 3, activation="relu", name=n)(x) for n in ("one", "two")]
    x = keras.layers.Conv2D(2, 3, padding="same", name="out")(vg.layers.Sum()(sides))
    model = keras.Model(inputs, x)
    before = [w.copy() for w in model.get_weights()]
    with pytest.raises(UserError, match="cannot be distinguished: 5, 9"):
        transfer(path, model)
    assert all(map(np.array_equal, before, model.get_weights()))


def test_names_come_before_places(tmp_path):
    tensors = {"fc.weight": np.ones((2, 4), np.float32), "fc.bias": np.zeros(2, np.float32)}
    values = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Gemm", ["x", *tensors], ["y"], transB=1)],
        "net",
        [values("x", 1, [1, 4])],
        [values("y", 1, [1, 2])],
        [onnx.numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    onnx.save(onnx.helper.make_model(graph), tmp_path / "m.onnx")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2, name="fc")(inputs))
    report = transfer(tmp_path / "m.onnx", model, min_coverage=1.0)
    assert [moved.source for moved in report.copied] == ["fc.weight", "fc.bias"]
    np.testing.assert_array_equal(model.get_weights()[0], np.ones((4, 2)))


def _external(path):
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, size_threshold=0)


def _short(path):
    model = onnx.load(path)
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]
    onnx.save(model, path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_external, "in another file"),
        (_short, "is incomplete"),
        (lambda path: path.write_bytes(path.read_bytes()[:-50]), "not a valid ONNX file"),
        (lambda path: path.write_bytes(b""), "no nodes"),
    ],
)
def test_invalid_onnx_files(tmp_path, change, message):
    path = written(tmp_path / "m.onnx")
    change(path)
    model = target()
    before = [w.copy() for w in model.get_weights()]
    with pytest.raises(ModelFileError, match=message):
        transfer(path, model)
    assert all(map(np.array_equal, before, model.get_weights()))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
    kernel = np.asfortranarray(np.arange(8.0).reshape(4, 2))
    save(tmp_path / "m.npz", **{"fc/kernel": kernel, "fc.bias": np.float32([1, 2])})
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2, name="fc")(inputs))
    report = transfer(tmp_path / "m.npz", model, min_coverage=1.0)
    assert [moved.conversion for moved in report.copied] == ["float64 → float32", ""]
    np.testing.assert_array_equal(model.get_weights()[0], kernel)


class Malicious:
    def __reduce__(self):
        return print, ("code of the file was run",)


def _objects(path):
    np.savez(path, **{"fc.bias": np.array([Malicious()], object)})


def _bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("fc.bias.npy", bytes(200 * 2**20))


def _claims(path):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fc.bias.npy", stream.getvalue())


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (_objects, "is not an array of numbers"),
        (_bomb, "too large when unpacked"),
        (_claims, "not a complete .npz"),
        (lambda path: path.write_bytes(b"PK"), "not a complete .npz"),
    ],
)
def test_invalid_npz_files(tmp_path, capsys, write, message):
    write(tmp_path / "m.npz")
    with pytest.raises(UserError, match=message), open_source(tmp_path / "m.npz"):
        pass
    assert capsys.readouterr().out == ""
