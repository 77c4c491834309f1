"""Values inside the network of an ONNX file, computed by ONNX Runtime on the processor."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.errors import UserError, option
from visiongarden.graphs.onnx_file import load_onnx
from visiongarden.weights.networks.network import Network, Shape, Values, cannot_run, fitting

_FLOAT = 1
_MAX_BYTES = 256 * 2**20
"""Values that one run returns, beside those that the network needs itself."""
_PRODUCER = "producer"


def onnx_network(path: Path) -> Network:
    """Return the network of an ONNX file.

    Raises:
        UserError: ONNX Runtime is not installed.
        ModelFileError: The file is not valid.
    """
    model = load_onnx(path)
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise UserError(
            "the package onnxruntime is not installed, which runs the network of an ONNX file",
            fix='pip install "visiongarden[export]"',
        ) from error
    name, dims = _image_input(path, model)
    # Files that visiongarden exported contain the preprocessing.
    ours = any(p.key == _PRODUCER and "visiongarden" in p.value for p in model.metadata_props)

    def values(image: np.ndarray, shapes: Collection[Shape]) -> Values:
        given = _as_input(image, [dim.dim_value for dim in dims])
        for dim, side in zip(dims, given.shape, strict=True):
            if dim.dim_value in (0, side):
                dim.dim_value = side
        try:
            typed = onnx.shape_inference.infer_shapes(model)
            for names in _groups(typed, shapes):
                yield from _run(typed, names, name, given, shapes)
        except Exception as error:  # classes of onnx and of ONNX Runtime derive from Exception
            raise cannot_run(str(path), image, error) from error

    return Network(str(path), ours, values)


def _image_input(path: Path, model: Any) -> tuple[str, list[Any]]:
    """Return the name and the sides of the only input."""
    weights = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in weights]
    sides = {each.name: list(each.type.tensor_type.shape.dim) for each in inputs}
    if [len(each) for each in sides.values()] != [4]:
        raise UserError(
            f"{path} does not take one image",
            rule="one input of four axes: a batch of images",
            received=", ".join(f"{name:.40} of {len(dims)} axes" for name, dims in sides.items()),
            fix=f"leave out {option('prove')}",
        )
    return next(iter(sides.items()))


def _as_input(image: np.ndarray, dims: list[int]) -> np.ndarray:
    """Return the image in the order of axes that the input of the file has."""
    channels = image.shape[-1]
    if dims[1] != channels and dims[3] == channels:
        return image
    return np.ascontiguousarray(image.transpose(0, 3, 1, 2))


def _groups(model: Any, shapes: Collection[Shape]) -> Iterator[list[str]]:
    """Yield names of values that may have a wanted shape, together at most `_MAX_BYTES`."""
    wanted = {*shapes, *((s[0], s[3], s[1], s[2]) for s in shapes if len(s) == 4)}
    made = {name for node in model.graph.node for name in node.output}
    group: list[str] = []
    total = 0
    for info in (*model.graph.value_info, *model.graph.output):
        tensor = info.type.tensor_type
        dims = [dim.dim_value for dim in tensor.shape.dim]
        sizes = [math.prod(shape) for shape in wanted if _may_be(dims, shape)]
        if info.name not in made or tensor.elem_type != _FLOAT or not sizes:
            continue
        if group and total + 4 * max(sizes) > _MAX_BYTES:
            yield group
            group, total = [], 0
        group.append(info.name)
        total += 4 * max(sizes)
    if group:
        yield group


def _may_be(dims: list[int], shape: Shape) -> bool:
    """Return whether known sides are those of a shape; 0 is unknown."""
    return len(dims) == len(shape) and all(d in (0, s) for d, s in zip(dims, shape, strict=True))


def _run(
    model: Any, names: list[str], name: str, given: np.ndarray, shapes: Collection[Shape]
) -> Values:
    import onnx
    import onnxruntime

    with_values = onnx.ModelProto()
    with_values.CopyFrom(model)
    del with_values.graph.output[:]
    infos = {each.name: each for each in (*model.graph.value_info, *model.graph.output)}
    with_values.graph.output.extend(infos[each] for each in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(
        with_values.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (source,) = (each for each in session.get_inputs() if each.name == name)
    types = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(uint16)": np.uint16}
    typed = given.astype(types.get(source.type, np.float32))
    for each, array in zip(names, session.run(names, {name: typed}), strict=True):
        yield from fitting(each, array, shapes)
