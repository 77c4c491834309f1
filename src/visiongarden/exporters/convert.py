"""Conversion of a Keras model into an ONNX file, on the TensorFlow backend."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from visiongarden.evaluation.decoding import decoding_of
from visiongarden.exporters.limits import unsupported
from visiongarden.exporters.operations import complete_tf2onnx
from visiongarden.exporters.splits import split_channels_first
from visiongarden.models.kinds import preprocessing_of
from visiongarden.types import ImageSize


def convert(model: Any, size: ImageSize, path: Path) -> None:
    """Write a model and its decoding as an ONNX file, without metadata.

    Args:
        model: A model of this package, in float32.
        size: (height, width) of the images.
        path: Path of the file; an existing file is overwritten.

    Raises:
        UnsupportedOperationError: An operation has no ONNX counterpart. Known ones are found before
            the conversion starts.
    """
    convert_graph(with_decoding(model, size), path, preprocessing_of(model).dtype)


def convert_graph(model: keras.Model, path: Path, dtype: str | None = None) -> None:
    """Write any functional model with one input as an ONNX file; see `convert`.

    Args:
        model: The model.
        path: Path of the file; an existing file is overwritten.
        dtype: Type of the file's input; by default that of the model's input. A runtime takes this
            type alone.
    """
    import onnx

    complete_tf2onnx()
    (tensor,) = model.inputs
    signature = [keras.InputSpec(shape=tensor.shape, dtype=dtype or tensor.dtype, name=tensor.name)]
    with quiet():
        model.export(str(path), format="onnx", verbose=False, input_signature=signature)
    graph = onnx.load(str(path))
    # tf2onnx only logs an operation that it cannot convert, and leaves it in the graph under
    # TensorFlow's name.
    for node in graph.graph.node:
        if node.domain in ("", "ai.onnx") and not onnx.defs.has(node.op_type):
            raise unsupported(node.op_type, node.name)
    split_channels_first(graph.graph)
    onnx.save(graph, str(path))


class _Decode(keras.layers.Layer):
    """The head's decoding as the last layer of the graph; exists only during an export."""

    def __init__(self, decode: Any, image_size: ImageSize) -> None:
        super().__init__(name="decode", dtype="float32")
        self._decode, self._image_size = decode, image_size

    def call(self, raw: Any) -> dict[str, Any]:
        """Decode raw predictions into named outputs."""
        found: dict[str, Any] = self._decode(raw, self._image_size)
        return found


def with_decoding(model: Any, size: ImageSize) -> keras.Model:
    """Return the graph of an exported file: images of a fixed size to decoded outputs by name.

    Args:
        model: A model of this package.
        size: (height, width) of the images in pixels.
    """
    images = keras.Input((*size, model.inputs[0].shape[-1]), name="images", dtype="float32")
    outputs = _Decode(decoding_of(model), size)(model(images))
    return keras.Model(images, outputs, name="exported")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress log messages, warnings and output that converters write for their own developers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
