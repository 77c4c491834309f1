"""`export`: write a model with its decoding, and check the file against the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.data.model_pixels import check_pixels
from visiongarden.errors import UserError, option
from visiongarden.exporters.exported import ExportedModel
from visiongarden.exporters.exporter import Exporter
from visiongarden.exporters.parity import Parity, compare, noise
from visiongarden.exporters.prepare import prepared
from visiongarden.exporters.signature import Signature
from visiongarden.markup import Preformatted
from visiongarden.models import as_model
from visiongarden.models.kinds import MadeOfParts, preprocessing_of
from visiongarden.plugins import imported_by_name
from visiongarden.postprocess import Nms
from visiongarden.storage import atomic_path
from visiongarden.types import ImageSize


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
    format: str | Exporter | Mapping[str, Any] = "onnx",
    image_size: ImageSize | int | None = None,
    data: np.ndarray | None = None,
    postprocess: Nms | None = None,
) -> ExportResult:
    """Export a model with its decoding, and check that the file predicts what the model predicts.

    The graph has one input `images` (batch, height, width, channels) with an open batch size: pixel
    values as stored, of the type of the model's preprocessing (uint8 by default). A detector
    outputs `boxes` (batch, n, 4), xyxy in pixels, and `scores` (batch, n, classes); a classifier
    `scores` (batch, classes); a segmenter `scores` (batch, height, width, classes). The file
    contains its `Signature`: task, class map, image size, preprocessing, resize and whether the
    boxes still need NMS. `vg.evaluate` and `vg.predict` take the file like a model.

    Args:
        model: A `Detector`, `Classifier`, `Segmenter` or `DarknetModel` of any backend and
            precision, or the path of a model file; it is exported in float32.
        path: Path of the file, with the ending of the format. By default that of the model file
            with this ending, or the name of the model.
        format: Name of a registered `Exporter`, such as "onnx", or an exporter with its fields.
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
    exporter = _exporter(format)
    path = None if path is None else _checked(path, exporter.suffix)
    is_file = isinstance(model, str | Path)
    default = Path(model).with_suffix(exporter.suffix) if is_file else None
    model = as_model(model)
    if isinstance(model, ExportedModel):
        raise UserError(
            f"{model.name} is an exported file already",
            rule="a model, or the path of a model file (.keras)",
            fix='vg.export("best.keras")',
        )
    path = path or default or Path(f"{model.name}{exporter.suffix}")
    exporter.check_packages()
    _check_outputs(model)
    model, size = prepared(model, image_size)
    is_given = data is not None
    if data is None:
        data = noise(preprocessing_of(model), size)
    check_pixels(
        data, preprocessing_of(model), f"data=images.astype({preprocessing_of(model).dtype!r})"
    )
    signature = Signature.of(model, size)
    # The file gets its name only after the parity check, so a failed export leaves none.
    with atomic_path(path) as draft:
        exporter.export(model, draft, signature, [data] if is_given else None)
        exported = exporter.load(draft)
        if exported.signature != signature:
            raise UserError(
                f"the exporter {type(exporter).__name__} does not return the signature that it got",
                rule="load reads what export wrote: Signature.from_dict(signature.to_dict())",
                received=str(exported.signature),
            )
        parity = compare(model, exported, data, postprocess)
        if not parity.agrees:
            raise UserError(f"the predictions of the exported file and the model differ: {parity}")
    return ExportResult(path, exporter.format, parity)


def _exporter(format: Any) -> Exporter:
    if isinstance(format, Exporter):
        return format
    with imported_by_name():
        return Exporter.from_dict({"type": format} if isinstance(format, str) else format)


def _checked(path: str | Path, suffix: str) -> Path:
    path = Path(path)
    if path.suffix != suffix:
        raise UserError(
            f"cannot export to {path}",
            rule=f"the file name ends in {suffix}",
            fix=option("output", str(path.with_suffix(suffix))),
        )
    return path


def _check_outputs(model: Any) -> None:
    # An imported network without prediction layers is a classifier only if it outputs vectors.
    if not isinstance(model, MadeOfParts) and not model.heads and len(model.outputs[0].shape) != 2:
        raise UserError(
            f"{model.cfg.file} ends in a feature map",
            rule="a network that predicts boxes or class scores",
            received=f"output {tuple(model.outputs[0].shape)}",
            fix="add a prediction layer to the cfg, or use the network as a backbone",
        )
