"""Parity check between an exported file and its model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from visiongarden.errors import UserError
from visiongarden.evaluation.decoding import decoding_of, outputs_of
from visiongarden.evaluation.forward import forward_of
from visiongarden.markup import Preformatted
from visiongarden.postprocess import Nms, suppression
from visiongarden.samples import Instances

MAX_PIXELS = 0.1
"""Tolerance of a box coordinate, in pixels."""
MAX_SCORE = 1e-3
"""Tolerance of a score."""


@dataclass(frozen=True)
class Parity(Preformatted):
    """Differences between the outputs of an exported file and of its model.

    Attributes:
        scores: Largest difference of a score, before any threshold.
        images: Number of images compared.
        found: Number of detections, classes or pixels that the model predicts for them.
        differing: Number of images for which file and model predict different results. Detection:
            one has a box of a class that the other lacks. Classification and segmentation: the best
            class differs although the best two scores are further apart than the tolerance.
        what: What `found` counts.
        boxes: Largest difference of a box coordinate before suppression, in pixels.
    """

    scores: float
    images: int
    found: int
    differing: int
    what: str = "detections"
    boxes: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Convert the differences to a JSON-serializable dict."""
        return asdict(self) | {"agrees": self.agrees}

    @property
    def agrees(self) -> bool:
        """Whether both are equal up to rounding."""
        return self.boxes <= MAX_PIXELS and self.scores <= MAX_SCORE and not self.differing

    def __str__(self) -> str:
        verdict = "agrees" if self.agrees else "DISAGREES"
        boxes = f"boxes within {self.boxes:.2g} px, " if self.what == "detections" else ""
        return (
            f"{verdict}: {self.found:,} {self.what} on {self.images} images, "
            f"{self.differing} images differ; {boxes}scores within {self.scores:.2g}"
        )


def compare(
    model: Any, file: str | Path, images: np.ndarray, postprocess: Nms | None = None
) -> Parity:
    """Compare a model with its ONNX file on the same images.

    Args:
        model: A `Detector`, `Classifier`, `Segmenter` or `DarknetModel`.
        file: Path of the file that `export` wrote.
        images: uint8 (n, height, width, 3) of the exported size.
        postprocess: Suppression of detections; by default with the score of the twentieth best box
            as threshold, so that a model with little training has boxes to compare.

    Raises:
        UserError: ONNX Runtime cannot open the file.
    """
    size = (int(images.shape[1]), int(images.shape[2]))
    expected = tuple(keras.ops.convert_to_numpy(array) for array in forward_of(model, size)(images))
    actual = _run(file, images, outputs_of(model))
    if len(expected) == 1:
        return _decisions(expected[0], actual[0])
    nms = postprocess or Nms(score_threshold=_twentieth_best(expected[1]))
    return _detections(expected, actual, suppression(decoding_of(model), nms))


def _detections(
    expected: tuple[np.ndarray, ...], actual: tuple[np.ndarray, ...], suppress: Any
) -> Parity:
    pairs = [
        (suppress(*one), suppress(*other))
        for one, other in zip(zip(*expected, strict=True), zip(*actual, strict=True), strict=True)
    ]
    return Parity(
        scores=_max_difference(expected[1], actual[1]),
        images=len(pairs),
        found=sum(len(one) for one, _ in pairs),
        differing=sum(not _same(*pair, suppress.score_threshold) for pair in pairs),
        boxes=_max_difference(expected[0], actual[0]),
    )


def _decisions(expected: np.ndarray, actual: np.ndarray) -> Parity:
    """Compare the best class of each image or pixel; scores are (batch, ..., classes)."""
    second, first = np.moveaxis(np.sort(expected, axis=-1)[..., -2:], -1, 0)
    # Each of the two scores may be off by the tolerance, which could swap classes that are closer.
    decided = first - second > 2 * MAX_SCORE
    other = (expected.argmax(axis=-1) != actual.argmax(axis=-1)) & decided
    return Parity(
        scores=_max_difference(expected, actual),
        images=len(expected),
        found=int(np.prod(expected.shape[:-1])),
        differing=int(other.reshape(len(expected), -1).any(axis=1).sum()),
        what="classes" if expected.ndim == 2 else "pixels",
    )


def _max_difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max(initial=0))


def _twentieth_best(scores: np.ndarray) -> float:
    best = np.sort(scores.max(axis=-1), axis=-1)
    return float(best[:, -20:].min(axis=-1).max(initial=0))


def _run(file: str | Path, images: np.ndarray, outputs: tuple[str, ...]) -> tuple[np.ndarray, ...]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    providers = ["CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=providers)
    except Exception as error:  # onnxruntime's classes derive from Exception alone
        raise UserError(
            "ONNX Runtime cannot open the exported file",
            rule="operations and shapes that ONNX Runtime can run",
            received=" ".join(str(error).split())[:300],
            fix="use other keras.ops in the layer above, without loops over a tensor's length",
        ) from error
    name = session.get_inputs()[0].name
    return tuple(session.run(list(outputs), {name: images.astype(np.float32) / 255}))


def _same(one: Instances, other: Instances, threshold: float) -> bool:
    """Return whether both have the same boxes of the same classes.

    A box whose score is within the tolerance of the threshold may be missing in either.
    """
    sides = [tuple(map(np.asarray, (s.boxes, s.scores, s.classes))) for s in (one, other)]
    for own, (boxes, _, classes) in (sides, sides[::-1]):
        for box, score, index in zip(*own, strict=True):
            # The other side may have rounded this score below the threshold.
            if score <= threshold + MAX_SCORE:
                continue
            near = np.abs(boxes - box).max(axis=1, initial=0) <= MAX_PIXELS
            if not (near & (classes == index)).any():
                return False
    return True
