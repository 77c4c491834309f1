"""`MaskFormat`: how the decoded arrays of a head represent the masks of its detections.

Tasks and exported files know the names of the arrays alone, so the names determine the format.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar

import numpy as np

from visiongarden.postprocess.prototype_masks import masks_of
from visiongarden.postprocess.region_masks import pasted_masks
from visiongarden.samples import Masks
from visiongarden.samples.mask_field import STRIDE
from visiongarden.types import ImageSize


class MaskFormat(ABC):
    """Masks of the rows of "boxes" and "scores", by further decoded arrays.

    Each subclass is one format: heads whose decoding returns its `outputs` have these masks.

    Attributes:
        outputs: names of the arrays, besides "boxes" and "scores".

    Example:
        >>> vg.postprocess.mask_format(("boxes", "masks", "scores")).outputs
        ('masks',)
    """

    outputs: ClassVar[tuple[str, ...]]

    @abstractmethod
    def masks(self, boxes: np.ndarray, rows: np.ndarray, arrays: Mapping[str, np.ndarray]) -> Masks:
        """Return the masks of detections of one image, in pixels of the network's input.

        Args:
            boxes: (k, 4), xyxy, boxes of the detections.
            rows: (k,) int, their rows in "boxes" of the decoding.
            arrays: decoded arrays of the image by name, without the batch.
        """

    @abstractmethod
    def probabilities(self, rows: np.ndarray, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the masks of some rows of each image before pasting, 0 to 1.

        Args:
            rows: (batch, k) int, rows in "boxes" of the decoding.
            arrays: decoded arrays by name, batch first.
        """

    def invalid(self, arrays: Mapping[str, np.ndarray], size: ImageSize) -> tuple[str, str] | None:
        """Return evidence and advice if the arrays are not valid; by default they are.

        Args:
            arrays: decoded arrays by name, batch first.
            size: (height, width) of the network's input in pixels.
        """
        return None


class PrototypeMaskFormat(MaskFormat):
    """Linear combinations of prototypes, see `PrototypeMaskDecoding`.

    Example:
        >>> vg.postprocess.PrototypeMaskFormat.outputs
        ('coefficients', 'prototypes')
    """

    outputs = ("coefficients", "prototypes")

    def masks(self, boxes: np.ndarray, rows: np.ndarray, arrays: Mapping[str, np.ndarray]) -> Masks:
        """Combine the prototypes, and cut the masks off at their boxes."""
        prototypes = arrays["prototypes"]
        size = STRIDE * prototypes.shape[0], STRIDE * prototypes.shape[1]
        return masks_of(boxes, arrays["coefficients"][rows], prototypes, size)

    def probabilities(self, rows: np.ndarray, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the sigmoid of the combinations, (batch, k, H, W)."""
        coefficients = np.take_along_axis(arrays["coefficients"], rows[..., None], axis=1)
        logits = np.einsum("bkp,bhwp->bkhw", coefficients, arrays["prototypes"])
        # The tangent form does not overflow.
        return np.asarray((1 + np.tanh(logits / 2)) / 2)

    def invalid(self, arrays: Mapping[str, np.ndarray], size: ImageSize) -> tuple[str, str] | None:
        """Check the shapes of coefficients and prototypes."""
        coefficients, prototypes = arrays["coefficients"], arrays["prototypes"]
        cells = tuple(-(-side // STRIDE) for side in size)
        if prototypes.ndim != 4 or prototypes.shape[1:3] != cells:
            return (
                f"the decoding returns prototypes {prototypes.shape} of an image of {size[0]} × "
                f"{size[1]} pixels",
                f"return (batch, {cells[0]}, {cells[1]}, prototypes): one cell for {STRIDE} × "
                f"{STRIDE} pixels",
            )
        expected = (*arrays["boxes"].shape[:2], prototypes.shape[3])
        if coefficients.shape != expected:
            return (
                f"the decoding returns coefficients {coefficients.shape}",
                f"return {expected}: one of each prototype for each box",
            )
        return None


class RegionMaskFormat(MaskFormat):
    """A mask within each box, see `RegionMaskDecoding`.

    Example:
        >>> vg.postprocess.RegionMaskFormat.outputs
        ('masks',)
    """

    outputs = ("masks",)

    def masks(self, boxes: np.ndarray, rows: np.ndarray, arrays: Mapping[str, np.ndarray]) -> Masks:
        """Paste the masks at the places of their boxes."""
        return pasted_masks(boxes, arrays["masks"][rows], _canvas(arrays["boxes"]))

    def probabilities(self, rows: np.ndarray, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the masks within their boxes, (batch, k, rows, columns)."""
        return np.take_along_axis(arrays["masks"], rows[..., None, None], axis=1)

    def invalid(self, arrays: Mapping[str, np.ndarray], size: ImageSize) -> tuple[str, str] | None:
        """Check the shape of the masks, and that they are probabilities."""
        masks, rows = arrays["masks"], arrays["boxes"].shape[:2]
        if masks.ndim != 4 or masks.shape[:2] != rows:
            return (
                f"the decoding returns masks {masks.shape}",
                f"return ({rows[0]}, {rows[1]}, height, width): one mask within each box",
            )
        if masks.min(initial=0) < 0 or masks.max(initial=0) > 1:
            return (
                f"the masks have values from {masks.min():.3g} to {masks.max():.3g}",
                "return probabilities: keras.ops.sigmoid(logits)",
            )
        return None


def mask_format(outputs: Iterable[str]) -> MaskFormat | None:
    """Return the format of the masks of a decoding, or None without a known one.

    Args:
        outputs: names of the decoded arrays.

    Example:
        >>> vg.postprocess.mask_format(("boxes", "scores")) is None
        True
    """
    names = set(outputs)
    # The last one that is defined: a format of the user's own precedes those of visiongarden.
    for format_ in reversed(MaskFormat.__subclasses__()):
        if set(format_.outputs) <= names:
            return format_()
    return None


def _canvas(boxes: np.ndarray) -> ImageSize:
    """Return the smallest (height, width) that contains all boxes: masks are empty outside them."""
    right, bottom = np.ceil(boxes[:, 2:].max(axis=0, initial=1)).astype(int)
    return int(bottom), int(right)
