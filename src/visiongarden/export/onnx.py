"""ONNX files: images in, boxes and scores out; what follows stays with the caller."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from visiongarden.errors import UserError
from visiongarden.export.agreement import Agreement, agreement
from visiongarden.export.operations import complete_tf2onnx
from visiongarden.export.splits import split_channels_first
from visiongarden.models import load
from visiongarden.postprocess import Nms
from visiongarden.storage import atomic_path
from visiongarden.tasks import task_of
from visiongarden.types import ImageSize

_NEEDED = {"tensorflow": ("onnx", "onnxruntime", "tf2onnx")}


def to_onnx(
    model: Any,
    path: str | Path,
    image_size: ImageSize | None = None,
    images: np.ndarray | None = None,
    postprocess: Nms | None = None,
) -> Agreement:
    """Writes a model as an ONNX file, once the file finds what the model finds.

    The graph takes `images`, float32 (batch, height, width, 3), RGB from 0 to 1, any batch. A
    detector's returns `boxes` (batch, n, 4), xyxy pixels, and `scores` (batch, n, classes); a
    classifier's `scores` (batch, classes); a segmenter's `scores` (batch, height, width, classes).
    Task, names of the classes, the image size and whether boxes still need NMS stand in the file's
    metadata.

    Args:
        model: a `Detector`, `Classifier` or `Segmenter`.
        path: of the file, ends in .onnx.
        image_size: (height, width); by default the model's.
        images: uint8 (n, height, width, 3) to compare on; by default noise.
        postprocess: thins out detections that are compared; see `agreement`.

    Returns:
        How far file and model lie apart.

    Raises:
        UserError: a package is missing, the backend cannot export, or file and model disagree; no
            file is left then.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise UserError(f"cannot export to {path}", rule="the name ends in .onnx")
    _ready()
    size = image_size or model.image_size
    if size is None:
        raise UserError(
            "the model takes images of any size",
            fix="image_size=(640, 640); on the command line --image-size 640",
        )
    complete_tf2onnx()
    if images is None:
        images = np.random.default_rng(0).integers(0, 256, (2, *size, 3)).astype(np.uint8)
    with atomic_path(path) as draft:
        with quiet():
            signature = [keras.InputSpec(shape=(None, *size, 3), dtype="float32", name="images")]
            _decoded(model, size).export(
                str(draft), format="onnx", verbose=False, input_signature=signature
            )
        _finish(draft, model, size)
        found = agreement(model, draft, images, postprocess)
        if not found.agrees:
            raise UserError(f"the exported file does not find what the model finds: {found}")
    return found


def export_file(
    model: str | Path,
    output: str | Path | None = None,
    format: str = "onnx",
    image_size: ImageSize | None = None,
) -> tuple[Path, Agreement]:
    """`to_onnx` for a model file; writes beside it unless `output` says where."""
    if format != "onnx":
        raise UserError(f"cannot export to {format!r}", rule="onnx")
    path = Path(output) if output is not None else Path(model).with_suffix(".onnx")
    return path, to_onnx(load(model), path, image_size)


def _ready() -> None:
    backend = keras.backend.backend()
    if backend not in _NEEDED:
        raise UserError(
            f"cannot export on the {backend} backend",
            rule="model files are the same on every backend; tensorflow writes ONNX",
            fix="KERAS_BACKEND=tensorflow visiongarden export MODEL",
        )
    missing = [name for name in _NEEDED[backend] if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"export needs {', '.join(missing)}", fix='pip install "visiongarden[export]"'
        )


class _Decode(keras.layers.Layer):
    """The head's decoding as the graph's last layer; only lives while a file is written."""

    def __init__(self, decode: Any, image_size: ImageSize, outputs: tuple[str, ...]) -> None:
        super().__init__(name="decode", dtype="float32")
        self._decode, self._image_size, self._outputs = decode, image_size, outputs

    def call(self, raw: Any) -> dict[str, Any]:
        """Raw predictions -> named outputs."""
        found = self._decode(raw, self._image_size)
        return dict(zip(self._outputs, found, strict=True))


def _decoded(model: Any, size: ImageSize) -> keras.Model:
    images = keras.Input((*size, 3), name="images", dtype="float32")
    outputs = _Decode(model.parts.head.decode(), size, task_of(model).outputs)(model(images))
    return keras.Model(images, outputs, name="exported")


def _finish(path: Path, model: Any, size: ImageSize) -> None:
    """Spares transpositions, adds the metadata, and lets ONNX check the graph."""
    import onnx

    graph = onnx.load(str(path))
    split_channels_first(graph.graph)
    names = list(model.class_map.names) if model.class_map else None
    facts = {
        "task": model.task,
        "image_size": list(size),
        "class_names": names,
        "needs_nms": getattr(model.parts.head.decode(), "needs_nms", model.task == "detection"),
        "producer": "visiongarden",
    }
    onnx.helper.set_model_props(graph, {key: json.dumps(value) for key, value in facts.items()})
    onnx.checker.check_model(graph)
    onnx.save(graph, str(path))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences what converters tell their own developers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
