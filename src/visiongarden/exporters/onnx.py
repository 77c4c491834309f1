"""ONNX files: images in, boxes and scores out; what follows stays with the caller."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from visiongarden.errors import UserError
from visiongarden.evaluation.decoding import decoding_of, outputs_of
from visiongarden.exporters.agreement import Agreement, agreement
from visiongarden.exporters.convert import convert
from visiongarden.exporters.fresh import convert_fresh
from visiongarden.exporters.prepare import prepared
from visiongarden.models import load
from visiongarden.postprocess import Nms
from visiongarden.storage import atomic_path
from visiongarden.types import ImageSize

_NEEDED = ("onnx", "onnxruntime", "tf2onnx")


def to_onnx(
    model: Any,
    path: str | Path,
    image_size: ImageSize | int | None = None,
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
        model: a `Detector`, `Classifier` or `Segmenter`, or a `DarknetModel`, of any backend and
            precision; it is exported in float32.
        path: of the file, ends in .onnx.
        image_size: (height, width), or the side of a square; by default the model's.
        images: uint8 (n, height, width, 3) to compare on; by default noise.
        postprocess: thins out detections that are compared; see `agreement`.

    Returns:
        How far file and model lie apart.

    Raises:
        UserError: a package is missing, an operation has no ONNX counterpart, the model does not
            take the size, or file and model disagree; no file is left then.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise UserError(f"cannot export to {path}", rule="the name ends in .onnx")
    _check_packages()
    _check_outputs(model)
    model, size = prepared(model, image_size)
    if images is None:
        shape = (2, *size, model.inputs[0].shape[-1])
        images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    write = convert if keras.backend.backend() == "tensorflow" else convert_fresh
    with atomic_path(path) as draft:
        write(model, size, draft)
        _metadata(draft, model, size)
        found = agreement(model, draft, images, postprocess)
        if not found.agrees:
            raise UserError(f"the exported file does not find what the model finds: {found}")
    return found


def export_file(
    model: str | Path,
    output: str | Path | None = None,
    format: str = "onnx",
    image_size: ImageSize | int | None = None,
) -> tuple[Path, Agreement]:
    """`to_onnx` for a model file; writes beside it unless `output` says where."""
    if format != "onnx":
        raise UserError(f"cannot export to {format!r}", rule="onnx")
    path = Path(output) if output is not None else Path(model).with_suffix(".onnx")
    return path, to_onnx(load(model), path, image_size)


def _check_packages() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"export needs {', '.join(missing)}", fix='pip install "visiongarden[export]"'
        )


def _check_outputs(model: Any) -> None:
    if not hasattr(model, "parts") and not model.heads and len(model.outputs[0].shape) != 2:
        raise UserError(
            f"{model.cfg.file} ends in a feature map",
            rule="a network that predicts boxes or class scores",
            received=f"output {tuple(model.outputs[0].shape)}",
            fix="add a prediction layer to the cfg, or use the network as a backbone",
        )


def _metadata(path: Path, model: Any, size: ImageSize) -> None:
    """Adds what a program needs to use the file, and lets ONNX check the graph."""
    import onnx

    graph = onnx.load(str(path))
    names = list(model.class_map.names) if model.class_map else None
    boxes = "boxes" in outputs_of(model)
    facts = {
        "task": model.task if boxes == (model.task == "detection") else "classification",
        "image_size": list(size),
        "class_names": names,
        "needs_nms": getattr(decoding_of(model), "needs_nms", boxes),
        "producer": "visiongarden",
    }
    onnx.helper.set_model_props(graph, {key: json.dumps(value) for key, value in facts.items()})
    onnx.checker.check_model(graph)
    onnx.save(graph, str(path))
