"""Export of models with their decoding to ONNX; suppression is left to the caller."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from visiongarden.data.model_pixels import check_pixels
from visiongarden.errors import UserError, option
from visiongarden.evaluation.decoding import needs_nms
from visiongarden.exporters.convert import convert
from visiongarden.exporters.fresh import convert_fresh
from visiongarden.exporters.parity import Parity, compare, noise
from visiongarden.exporters.prepare import prepared
from visiongarden.markup import Preformatted
from visiongarden.models import as_model
from visiongarden.models.kinds import MadeOfParts, preprocessing_of
from visiongarden.postprocess import Nms
from visiongarden.storage import atomic_path
from visiongarden.types import ImageSize

FORMATS = ("onnx",)
"""Formats that `export` writes."""

_NEEDED = ("onnx", "onnxruntime", "tf2onnx")


@dataclass(frozen=True)
class ExportResult(Preformatted):
    """Exported file, and the comparison with its model; `str()` is one line.

    Attributes:
        path: Path of the file.
        format: Format of the file.
        parity: Differences between the predictions of file and model.
    """

    path: Path
    format: str
    parity: Parity

    def to_dict(self) -> dict[str, Any]:
        """Convert the result to a JSON-serializable dict."""
        return {"path": str(self.path), "format": self.format, "parity": self.parity.to_dict()}

    def __str__(self) -> str:
        return f"exported {self.path}: {self.parity}"


def export(
    model: Any,
    path: str | Path | None = None,
    *,
    format: str = "onnx",
    image_size: ImageSize | int | None = None,
    data: np.ndarray | None = None,
    postprocess: Nms | None = None,
) -> ExportResult:
    """Export a model with its decoding, and check that the file predicts what the model predicts.

    The graph has one input `images` (batch, height, width, channels) with an open batch size: pixel
    values as stored, of the type of the model's preprocessing (uint8 by default). A detector
    outputs `boxes` (batch, n, 4), xyxy in pixels, and `scores` (batch, n, classes); a classifier
    `scores` (batch, classes); a segmenter `scores` (batch, height, width, classes). The metadata of
    the file contain task, class names, image size, preprocessing and whether the boxes still need
    NMS.

    Args:
        model: A `Detector`, `Classifier`, `Segmenter` or `DarknetModel` of any backend and
            precision, or the path of a model file; it is exported in float32.
        path: Path of the file; must end in .onnx. By default that of the model file with this
            suffix, or the name of the model.
        format: "onnx".
        image_size: (height, width), or the side of a square; by default that of the model.
        data: Images (n, height, width, channels) of that type for the parity check; by default
            random noise.
        postprocess: Suppression of the detections to compare; see `compare`.

    Returns:
        The path of the file, and its differences from the model.

    Raises:
        UserError: The format is unknown, a package is missing, an operation has no ONNX
            counterpart, the model cannot process the image size or `data`, or file and model
            differ. No file is written then.

    Example:
        >>> vg.export("best.keras", "detector.onnx").parity.agrees  # doctest: +SKIP
        True
    """
    if format not in FORMATS:
        raise UserError(
            f"the export format {format!r} is not supported",
            rule=", ".join(FORMATS),
            fix=option("format", FORMATS[0]),
        )
    path = None if path is None else _checked(path)
    is_file = isinstance(model, str | Path)
    default = Path(model).with_suffix(".onnx") if is_file else None
    model = as_model(model)
    path = path or default or Path(f"{model.name}.onnx")
    _check_packages()
    _check_outputs(model)
    model, size = prepared(model, image_size)
    if data is None:
        data = noise(preprocessing_of(model), size)
    check_pixels(
        data, preprocessing_of(model), f"data=images.astype({preprocessing_of(model).dtype!r})"
    )
    # tf2onnx converts graphs of TensorFlow only.
    write = convert if keras.backend.backend() == "tensorflow" else convert_fresh
    # The file gets its name only after the parity check, so a failed export leaves none.
    with atomic_path(path) as draft:
        write(model, size, draft)
        _metadata(draft, model, size)
        parity = compare(model, draft, data, postprocess)
        if not parity.agrees:
            raise UserError(f"the predictions of the exported file and the model differ: {parity}")
    return ExportResult(path, format, parity)


def _checked(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".onnx":
        raise UserError(
            f"cannot export to {path}",
            rule="the file name ends in .onnx",
            fix=option("output", str(path.with_suffix(".onnx"))),
        )
    return path


def _check_packages() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"packages for the export are not installed: {', '.join(missing)}",
            fix='pip install "visiongarden[export]"',
        )


def _check_outputs(model: Any) -> None:
    # An imported network without prediction layers is a classifier only if it outputs vectors.
    if not isinstance(model, MadeOfParts) and not model.heads and len(model.outputs[0].shape) != 2:
        raise UserError(
            f"{model.cfg.file} ends in a feature map",
            rule="a network that predicts boxes or class scores",
            received=f"output {tuple(model.outputs[0].shape)}",
            fix="add a prediction layer to the cfg, or use the network as a backbone",
        )


def _metadata(path: Path, model: Any, size: ImageSize) -> None:
    """Add the metadata that a program needs to use the file, and check the graph."""
    import onnx

    graph = onnx.load(str(path))
    names = list(model.class_map.names) if model.class_map else None
    metadata = {
        "task": model.task,
        "image_size": list(size),
        "class_names": names,
        "preprocessing": preprocessing_of(model).to_dict(),
        "needs_nms": needs_nms(model),
        "producer": "visiongarden",
    }
    onnx.helper.set_model_props(graph, {key: json.dumps(value) for key, value in metadata.items()})
    onnx.checker.check_model(graph)
    onnx.save(graph, str(path))
