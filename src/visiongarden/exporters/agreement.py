"""Does an exported file find what the model finds?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from visiongarden.errors import UserError
from visiongarden.evaluation.decoding import decoding_of, outputs_of
from visiongarden.evaluation.forward import forward_of
from visiongarden.postprocess import Nms, thinning
from visiongarden.types import Detections

MOST_PIXELS = 0.1
MOST_SCORE = 1e-3


@dataclass(frozen=True)
class Agreement:
    """How far an exported file and its model lie apart.

    Attributes:
        scores: largest difference of a score, before anything is left out.
        images: number of images compared.
        found: how much the model finds on them: detections, classes or pixels.
        differing: images on which file and model do not find the same. Detection: boxes of a class
            that the other lacks. Classification and segmentation: another best class, where the
            best two lie further apart than the scores may.
        what: what `found` counts.
        boxes: largest difference of a box's side, in pixels, before thinning.
    """

    scores: float
    images: int
    found: int
    differing: int
    what: str = "detections"
    boxes: float = 0.0

    @property
    def agrees(self) -> bool:
        """Whether both are the same but for rounding."""
        return self.boxes <= MOST_PIXELS and self.scores <= MOST_SCORE and not self.differing

    def __str__(self) -> str:
        verdict = "agrees" if self.agrees else "DISAGREES"
        boxes = f"boxes within {self.boxes:.2g} px, " if self.what == "detections" else ""
        return (
            f"{verdict}: {self.found:,} {self.what} on {self.images} images, "
            f"{self.differing} images differ; {boxes}scores within {self.scores:.2g}"
        )


def agreement(
    model: Any, file: str | Path, images: np.ndarray, postprocess: Nms | None = None
) -> Agreement:
    """Runs a model and its ONNX file on the same images and compares.

    Args:
        model: a `Detector`, `Classifier` or `Segmenter`, or a `DarknetModel`.
        file: what `to_onnx` wrote.
        images: uint8 (n, height, width, 3) of the exported size.
        postprocess: for detections; by default one that lets the best twenty boxes an image
            through, so that a young model has something to compare.
    """
    size = (int(images.shape[1]), int(images.shape[2]))
    ours = tuple(keras.ops.convert_to_numpy(array) for array in forward_of(model, size)(images))
    theirs = _run(file, images, outputs_of(model))
    if len(ours) == 1:
        return _decisions(ours[0], theirs[0])
    nms = postprocess or Nms(score_threshold=_twentieth(ours[1]))
    return _detections(ours, theirs, thinning(decoding_of(model), nms))


def _detections(
    ours: tuple[np.ndarray, ...], theirs: tuple[np.ndarray, ...], thin: Any
) -> Agreement:
    pairs = [
        (thin(*one), thin(*other))
        for one, other in zip(zip(*ours, strict=True), zip(*theirs, strict=True), strict=True)
    ]
    return Agreement(
        scores=_apart(ours[1], theirs[1]),
        images=len(pairs),
        found=sum(len(one) for one, _ in pairs),
        differing=sum(not _same(*pair, thin.score_threshold) for pair in pairs),
        boxes=_apart(ours[0], theirs[0]),
    )


def _decisions(ours: np.ndarray, theirs: np.ndarray) -> Agreement:
    """The best class of each image or pixel; scores are (batch, ..., classes)."""
    second, first = np.moveaxis(np.sort(ours, axis=-1)[..., -2:], -1, 0)
    sure = first - second > 2 * MOST_SCORE
    other = (ours.argmax(axis=-1) != theirs.argmax(axis=-1)) & sure
    return Agreement(
        scores=_apart(ours, theirs),
        images=len(ours),
        found=int(np.prod(ours.shape[:-1])),
        differing=int(other.reshape(len(ours), -1).any(axis=1).sum()),
        what="classes" if ours.ndim == 2 else "pixels",
    )


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max(initial=0))


def _twentieth(scores: np.ndarray) -> float:
    best = np.sort(scores.max(axis=-1), axis=-1)
    return float(best[:, -20:].min(axis=-1).max(initial=0))


def _run(file: str | Path, images: np.ndarray, outputs: tuple[str, ...]) -> tuple[np.ndarray, ...]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=providers)
    except Exception as error:  # onnxruntime's classes derive from Exception alone
        raise UserError(
            "ONNX Runtime cannot open the exported file",
            rule="operations and shapes that ONNX Runtime can run",
            received=" ".join(str(error).split())[:300],
            fix="other keras.ops in the layer that is named, without loops over a tensor's length",
        ) from error
    name = session.get_inputs()[0].name
    return tuple(session.run(list(outputs), {name: images.astype(np.float32) / 255}))


def _same(one: Detections, other: Detections, threshold: float) -> bool:
    """The same boxes of the same classes; a score on the very threshold may fall on either side."""
    for a, b in ((one, other), (other, one)):
        for box, score, index in zip(a.boxes, a.scores, a.classes, strict=True):
            if score <= threshold + MOST_SCORE:
                continue
            near = np.abs(b.boxes - box).max(axis=1, initial=0) <= MOST_PIXELS
            if not (near & (b.classes == index)).any():
                return False
    return True
