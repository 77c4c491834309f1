"""Exported splits of channels need fewer transpositions and return the same values."""

import numpy as np
import pytest

from visiongarden.exporters.splits import split_channels_first

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
LAST, FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def model_of(nodes, outputs):
    """Nodes (kind, inputs, outputs, attributes) of a graph of one map x, (1, 6, 4, 5)."""
    helper = onnx.helper
    shape = [None] * 4
    graph = helper.make_graph(
        [helper.make_node(kind, given, found, **more) for kind, given, found, more in nodes],
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 6, 4, 5])],
        [helper.make_tensor_value_info(o, onnx.TensorProto.FLOAT, shape) for o in outputs],
        [helper.make_tensor("sizes", onnx.TensorProto.INT64, [2], [2, 4])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.checker.check_model(made)
    return made


def run(model):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": np.arange(120, dtype=np.float32).reshape(1, 6, 4, 5)})


def transposed(axis=-1, back=FIRST, last=LAST):
    """A split between transpositions, the second half used twice."""
    return [
        ("Transpose", ["x"], ["t"], {"perm": last}),
        ("Split", ["t", "sizes"], ["a", "b"], {"axis": axis}),
        ("Transpose", ["a"], ["ta"], {"perm": FIRST}),
        ("Transpose", ["b"], ["tb"], {"perm": back}),
        ("Transpose", ["b"], ["tc"], {"perm": FIRST}),
        ("Sigmoid", ["tb"], ["s"], {}),
        ("Concat", ["ta", "tc"], ["u"], {"axis": 1}),
    ]


@pytest.mark.parametrize("axis", [-1, 3])
def test_transpositions_are_removed(axis):
    model = model_of(transposed(axis), ["s", "u"])
    wanted = run(model)
    assert split_channels_first(model.graph) == 1
    onnx.checker.check_model(model, full_check=True)
    assert [n.op_type for n in model.graph.node] == ["Split", "Sigmoid", "Concat"]
    for found, right in zip(run(model), wanted, strict=True):
        np.testing.assert_array_equal(found, right)


OTHERS = {
    "an output is used as it is": [*transposed(), ("Abs", ["a"], ["w"], {})],
    "another axis": transposed(axis=2),
    "another transposition after": transposed(back=[0, 1, 3, 2]),
    "another transposition before": transposed(last=[0, 1, 3, 2]),
    "no transposition before": [("Abs", ["x"], ["t"], {}), *transposed()[1:]],
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_splits_are_kept(name):
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(kind, *io, **more) for kind, *io, more in OTHERS[name]], "g", [], []
    )
    before = graph.SerializeToString()
    assert split_channels_first(graph) == 0
    assert graph.SerializeToString() == before


@pytest.mark.parametrize("output", ["a", "b", "ta", "tc"])
def test_a_graph_s_outputs_keep_their_layout(output):
    model = model_of(transposed(), ["s", "u", output])
    wanted = run(model)
    assert split_channels_first(model.graph) == 0
    for found, right in zip(run(model), wanted, strict=True):
        np.testing.assert_array_equal(found, right)


def test_a_transposed_map_used_elsewhere_is_kept():
    model = model_of([*transposed(), ("Abs", ["t"], ["w"], {})], ["s", "u", "w"])
    wanted = run(model)
    assert split_channels_first(model.graph) == 1
    for found, right in zip(run(model), wanted, strict=True):
        np.testing.assert_array_equal(found, right)
