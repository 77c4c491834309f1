"""Masks from prototypes: Bolya et al. 2019 (YOLACT), section 3.2."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np

from visiongarden.ops import flat, single
from visiongarden.postprocess.decoding import Decoding
from visiongarden.registry import register
from visiongarden.samples import Masks
from visiongarden.samples.mask_shapes import NOTHING, PixelMask, Window
from visiongarden.types import HeadContext, ImageSize, RawPredictions, Tensor


@register
class PrototypeMaskDecoding(Decoding):
    """Decoding of a detection head with prototypes: its boxes and scores, and what masks are of.

    The masks themselves are computed after the suppression, for the detections alone: see
    `masks_of`. An exported file therefore has the outputs "coefficients" (batch, n, prototypes) and
    "prototypes" (batch, height / 4, width / 4, prototypes).

    Attributes:
        detection: decoding of boxes and scores.

    Example:
        >>> vg.heads.AnchorFreeMasks(num_classes=3).decoding.outputs
        ('boxes', 'scores', 'coefficients', 'prototypes')
    """

    outputs: ClassVar[tuple[str, ...]] = ("boxes", "scores", "coefficients", "prototypes")
    detection: Decoding

    @property
    def head_fields(self) -> tuple[str, ...]:  # type: ignore[override]
        """Fields that a head must have."""
        return (*self.detection.head_fields, "prototypes")

    def __call__(self, raw: RawPredictions, context: HeadContext) -> dict[str, Tensor]:
        """Return the arrays by name; `raw` are the raw predictions of the head."""
        found = self.detection(raw, context)
        return {
            **found,
            "coefficients": flat(raw, "coefficients"),
            "prototypes": single(raw, "prototypes"),
        }


def masks_of(
    boxes: np.ndarray, coefficients: np.ndarray, prototypes: np.ndarray, size: ImageSize
) -> Masks:
    """Return the masks of detections, cut off at their boxes.

    The linear combinations of the prototypes are enlarged bilinearly to pixels, as logits; a pixel
    belongs to an object if its logit is above 0, a probability of 0.5.

    Args:
        boxes: (k, 4), xyxy, pixels of the network's input.
        coefficients: (k, prototypes).
        prototypes: (H, W, prototypes).
        size: (height, width) of the network's input in pixels.
    """
    height, width = size
    stride = -(-height // prototypes.shape[0])
    limits = np.array([width, height, width, height])
    low = np.floor(np.clip(boxes, 0, limits)).astype(int)
    high = np.ceil(np.clip(boxes, 0, limits)).astype(int)
    parts = []
    for row, (x1, y1, x2, y2) in enumerate(np.concatenate([low[:, :2], high[:, 2:]], 1).tolist()):
        window = NOTHING
        if x2 > x1 and y2 > y1:
            logits = _logits(prototypes, coefficients[row], stride, (x1, y1, x2, y2))
            window = Window(y1, x1, logits > 0)
        parts.append(PixelMask(size, window=window))
    return Masks(parts, size)


def _logits(
    prototypes: np.ndarray, coefficients: np.ndarray, stride: int, box: tuple[int, int, int, int]
) -> np.ndarray:
    """Return the pixels of a box, interpolated bilinearly between the centers of cells.

    Only the cells around the box are combined, which for small objects are few of all.
    """
    x1, y1, x2, y2 = box
    top, left = max(y1 // stride - 1, 0), max(x1 // stride - 1, 0)
    around = prototypes[top : -(-y2 // stride) + 1, left : -(-x2 // stride) + 1]
    cells = (around.reshape(-1, around.shape[2]) @ coefficients).reshape(around.shape[:2])
    # Pixel x has its center at x + 0.5, cell c at (c + 0.5) * stride.
    scale = 1 / stride
    shift_x, shift_y = (x1 + 0.5) * scale - 0.5 - left, (y1 + 0.5) * scale - 0.5 - top
    return cv2.warpAffine(
        cells.astype(np.float32, copy=False),
        np.array([[scale, 0, shift_x], [0, scale, shift_y]]),
        (x2 - x1, y2 - y1),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
