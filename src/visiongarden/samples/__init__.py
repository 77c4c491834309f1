"""Operate on images and their annotations with NumPy and OpenCV; imports no backend."""

from visiongarden.samples.keypoints import Keypoints
from visiongarden.samples.mask_field import Masks

__all__ = ["Keypoints", "Masks"]
