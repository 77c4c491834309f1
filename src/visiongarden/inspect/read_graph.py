"""Reading of graphs from models and files."""

from __future__ import annotations

from pathlib import Path

import keras

from visiongarden.errors import UserError
from visiongarden.graphs.op import Graph
from visiongarden.inspect.cfg_graph import darknet_graph
from visiongarden.storage import check_file


def read_graph(source: keras.Model | str | Path) -> Graph:
    """Read the graph of a Keras model, a `.keras` file, a Darknet `.cfg` or an ONNX file.

    Raises:
        UserError: The file does not exist, has another suffix, or cannot be opened.
    """
    from visiongarden.graphs.keras_model import keras_file_graph, keras_graph

    if isinstance(source, keras.Model):
        return keras_graph(source)
    if not isinstance(source, str | Path):
        raise UserError(
            f"the model is of type {type(source).__name__}",
            rule="a Keras model, or the path of a .keras, .cfg or .onnx file",
        )
    path = Path(source)
    check_file(path, "model file", (".keras", ".cfg", ".onnx"))
    if path.suffix == ".cfg":
        return darknet_graph(path)
    if path.suffix == ".onnx":
        # Imported here, because only the extra `export` installs onnx.
        from visiongarden.graphs.onnx_file import onnx_graph

        return onnx_graph(path)
    if path.suffix == ".keras":
        return keras_file_graph(path)
    raise UserError(
        f"cannot read the graph of {path}",
        rule="a Darknet .cfg, an .onnx or a .keras file",
        received=f"the suffix {path.suffix}" if path.suffix else "no suffix",
        fix="visiongarden repeats model.onnx",
    )
