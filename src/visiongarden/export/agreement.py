"""Does an exported file find what the model finds?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.evaluation import Predictor
from visiongarden.postprocess import Nms, thinning
from visiongarden.types import Detections

MOST_PIXELS = 0.1
MOST_SCORE = 1e-3


@dataclass(frozen=True)
class Agreement:
    """How far an exported file and its model lie apart.

    Attributes:
        boxes: largest difference of a box's side, in pixels, before thinning.
        scores: largest difference of a score, before thinning.
        images: number of images compared.
        detections: detections of the model on them, after thinning.
        differing: images on which the detections are not the same boxes of the same classes.
    """

    boxes: float
    scores: float
    images: int
    detections: int
    differing: int

    @property
    def agrees(self) -> bool:
        """Whether both are the same but for rounding."""
        return self.boxes <= MOST_PIXELS and self.scores <= MOST_SCORE and not self.differing

    def __str__(self) -> str:
        verdict = "agrees" if self.agrees else "DISAGREES"
        return (
            f"{verdict}: {self.detections} detections on {self.images} images, "
            f"{self.differing} images differ; boxes within {self.boxes:.2g} px, "
            f"scores within {self.scores:.2g}"
        )


def agreement(
    model: Any, file: str | Path, images: np.ndarray, nms: Nms | None = None
) -> Agreement:
    """Runs a model and its ONNX file on the same images and compares.

    Args:
        model: a `Detector`.
        file: what `to_onnx` wrote.
        images: uint8 (n, height, width, 3) of the exported size.
        nms: for the detections; by default one that lets the best twenty boxes an image through,
            so that a young model has something to compare.
    """
    size = (int(images.shape[1]), int(images.shape[2]))
    ours = Predictor(model, size).raw(images)
    theirs = _run(file, images)
    thin = thinning(model.parts.head.decode(), nms or Nms(score_threshold=_twentieth(ours[1])))
    pairs = [
        (thin(*one), thin(*other))
        for one, other in zip(zip(*ours, strict=True), zip(*theirs, strict=True), strict=True)
    ]
    return Agreement(
        boxes=float(np.abs(ours[0] - theirs[0]).max(initial=0)),
        scores=float(np.abs(ours[1] - theirs[1]).max(initial=0)),
        images=len(images),
        detections=sum(len(one) for one, _ in pairs),
        differing=sum(not _same(*pair, thin.score_threshold) for pair in pairs),
    )


def _twentieth(scores: np.ndarray) -> float:
    best = np.sort(scores.max(axis=-1), axis=-1)
    return float(best[:, -20:].min(axis=-1).max(initial=0))


def _run(file: str | Path, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    boxes, scores = session.run(["boxes", "scores"], {name: images.astype(np.float32) / 255})
    return boxes, scores


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
