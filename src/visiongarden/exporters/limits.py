"""TensorFlow operations without an ONNX counterpart, and alternatives to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from visiongarden.errors import UserError

_FOURIER = (
    "compute the Fourier transform with keras.ops.matmul and constant cosine and sine matrices, or "
    "before the model"
)
_LINEAR_ALGEBRA = "compute it before or after the model"
_RANDOM = "sample random numbers only in training, under `if training:`"
_ARGMAX = "use keras.ops.top_k(x, 1)[1] for argmax(x), keras.ops.top_k(-x, 1)[1] for argmin(x)"
_RESIZE = "use interpolation='bilinear' or 'nearest' with antialias=False"

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
    "ImageProjectiveTransformV3": "use keras.ops.image.map_coordinates on a grid",
    "Bucketize": "use keras.ops.sum(x[..., None] >= edges, axis=-1)",
    "LowerBound": "use keras.ops.sum(x[..., None] > edges, axis=-1)",
    "UpperBound": "use keras.ops.sum(x[..., None] >= edges, axis=-1)",
    "XlaDynamicUpdateSlice": "use keras.ops.concatenate, or keras.ops.where with a mask",
    "RGBToHSV": "convert the images before the model",
    "HSVToRGB": "convert the images before the model",
    "BitwiseAnd": "use keras.ops.mod and integer division",
    "BitwiseOr": "use keras.ops.mod and integer division",
    "BitwiseXor": "use keras.ops.mod and integer division",
    "BroadcastArgs": "use keras.ops.broadcast_to with a static shape",
}
"""For each TensorFlow operation, code that computes the same in an ONNX file."""


class UnsupportedOperationError(UserError):
    """An operation of a valid model cannot be exported to ONNX."""


def check_operations(graph: Any) -> None:
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
        f"{layer} uses {kind}, which has no ONNX counterpart",
        rule="operations that ONNX Runtime can run; the model itself is valid",
        fix=ALTERNATIVES.get(kind, "use other keras.ops in the call() of this layer"),
    )


def _operations(graph_def: Any) -> Iterator[tuple[str, str]]:
    """Yield type and name of each node, including the nodes of called functions."""
    # Nodes inside a function lack the path of their layer, so the name of the calling node is put
    # in front of theirs.
    callers: dict[str, str] = {}
    functions = {function.signature.name: function for function in graph_def.library.function}
    pending: list[tuple[str, Iterable[Any]]] = [("", graph_def.node)]
    while pending:
        prefix, nodes = pending.pop(0)
        for node in nodes:
            yield node.op, prefix + node.name
            for name in _called(node):
                if name in functions and name not in callers:
                    callers[name] = prefix + node.name
                    pending.append((f"{callers[name]}/", functions[name].node_def))


def _called(node: Any) -> list[str]:
    values = node.attr.values()
    return [value.func.name for value in values if value.HasField("func")]
