"""TensorFlow operations without an ONNX counterpart, and alternatives to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from visiongarden.errors import UserError

_FOURIER = (
    "a Fourier transform as keras.ops.matmul with constant cosine and sine matrices, or computed "
    "before the model"
)
_LINEAR_ALGEBRA = "computed before or after the model"
_RANDOM = "no random numbers in inference: `if training:` around them"
_ARGMAX = "keras.ops.top_k(x, 1)[1] for argmax(x), keras.ops.top_k(-x, 1)[1] for argmin(x)"
_RESIZE = "interpolation='bilinear' or 'nearest' with antialias=False"

ALTERNATIVES: dict[str, str] = {
    **dict.fromkeys(
        (
            *("FFT", "FFT2D", "FFT3D", "FFTND", "IFFT", "IFFT2D", "IFFT3D", "IFFTND"),
            *("RFFT", "RFFT2D", "RFFT3D", "RFFTND", "IRFFT", "IRFFT2D", "IRFFT3D", "IRFFTND"),
            *("Complex", "ComplexAbs", "Real", "Imag", "Angle", "Conj"),
        ),
        _FOURIER,
    ),
    **dict.fromkeys(
        (
            *("MatrixInverse", "MatrixSolve", "MatrixTriangularSolve", "MatrixDeterminant"),
            *("LogMatrixDeterminant", "Svd", "Qr", "Cholesky", "Lu", "SelfAdjointEigV2", "Eig"),
        ),
        _LINEAR_ALGEBRA,
    ),
    **dict.fromkeys(
        (
            *("StatelessRandomNormalV2", "StatelessRandomUniformV2", "StatelessRandomUniformIntV2"),
            *("StatelessTruncatedNormalV2", "StatelessRandomGetKeyCounter", "StatelessMultinomial"),
            *("StatelessRandomGammaV3", "StatelessShuffle"),
        ),
        _RANDOM,
    ),
    **dict.fromkeys(("ScaleAndTranslate", "ResizeBicubic", "ResizeArea"), _RESIZE),
    "Bitcast": _ARGMAX,
    "ImageProjectiveTransformV3": "keras.ops.image.map_coordinates on a grid, or done in the data",
    "Bucketize": "keras.ops.sum(x[..., None] >= edges, axis=-1)",
    "LowerBound": "keras.ops.sum(x[..., None] > edges, axis=-1)",
    "UpperBound": "keras.ops.sum(x[..., None] >= edges, axis=-1)",
    "XlaDynamicUpdateSlice": "keras.ops.concatenate, or keras.ops.where with a mask",
    "RGBToHSV": "done in the data, before the model",
    "HSVToRGB": "done in the data, before the model",
    "BitwiseAnd": "keras.ops.mod and integer division",
    "BitwiseOr": "keras.ops.mod and integer division",
    "BitwiseXor": "keras.ops.mod and integer division",
    "BroadcastArgs": "keras.ops.broadcast_to with a shape that is known",
}
"""For each TensorFlow operation, code that computes the same in an ONNX file."""


class UnsupportedOperationError(UserError):
    """An operation of a valid model cannot be exported to ONNX."""


def refuse_limits(graph: Any) -> None:
    """Raise an error if a traced graph contains an operation of `ALTERNATIVES`.

    The check takes milliseconds and runs before the conversion.

    Args:
        graph: A TensorFlow FuncGraph.

    Raises:
        UnsupportedOperationError: With the layer, the operation and the alternative.
    """
    for kind, place in _operations(graph.as_graph_def()):
        if kind in ALTERNATIVES:
            raise unsupported(kind, place)


def unsupported(kind: str, place: str) -> UnsupportedOperationError:
    """Return the error for one operation.

    Args:
        kind: Type of the operation in TensorFlow.
        place: Name of the node, which starts with the path of its layer.
    """
    layer = "/".join(place.split("/")[:-1]) or place
    return UnsupportedOperationError(
        f"ONNX has no operation for {kind}, which {layer} computes",
        rule="operations that ONNX Runtime can run; the model itself is valid",
        fix=ALTERNATIVES.get(kind, "other keras.ops in that layer's call()"),
    )


def _operations(graph_def: Any) -> Iterator[tuple[str, str]]:
    """Yield type and name of each node, including the nodes of called functions."""
    # Nodes inside a function lack the path of their layer, so the name of the calling node is put
    # in front of theirs.
    callers: dict[str, str] = {}
    functions = {function.signature.name: function for function in graph_def.library.function}
    waiting: list[tuple[str, Iterable[Any]]] = [("", graph_def.node)]
    while waiting:
        prefix, nodes = waiting.pop(0)
        for node in nodes:
            yield node.op, prefix + node.name
            for name in _called(node):
                if name in functions and name not in callers:
                    callers[name] = prefix + node.name
                    waiting.append((f"{callers[name]}/", functions[name].node_def))


def _called(node: Any) -> list[str]:
    values = node.attr.values()
    return [value.func.name for value in values if value.HasField("func")]
