"""Mirroring."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from visiongarden.types import Example


def flip(example: Example) -> Example:
    """The example mirrored, left to right; its image must be decoded."""
    image = np.asarray(example.image)
    boxes = example.boxes.copy()
    boxes[:, [0, 2]] = image.shape[1] - example.boxes[:, [2, 0]]
    return replace(example, image=cv2.flip(image, 1), boxes=boxes)
