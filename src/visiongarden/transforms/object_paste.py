"""`CopyPaste`: paste objects of another image."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from visiongarden.registry import register
from visiongarden.samples import Keypoints, Masks, Sample
from visiongarden.transforms.blending import known_in_both, pair
from visiongarden.transforms.covering import covered
from visiongarden.transforms.horizontal_flip import HorizontalFlip
from visiongarden.transforms.transform import Context, Probability, Transform
from visiongarden.transforms.visibility import combined


@register
class CopyPaste(Transform):
    """Paste random objects of another image (copy-paste: Ghiasi et al. 2021, arXiv 2012.07177).

    Only objects with a mask are pasted, and no crowds. The area that they cover is removed from the
    masks of the objects below, and boxes are refitted; an object with too little left is removed.
    No more objects are pasted than the capacity of the targets allows. Labels of the whole image
    stay as they are.

    Attributes:
        share: probability that an object of the other image is pasted.
        flip: probability that the other image is mirrored first.
        min_visibility: smallest visible fraction of an object that is kept.

    Example:
        >>> info = vg.samples.ImageInfo(1, None, (8, 8))
        >>> masks = vg.samples.Masks.from_polygons([[[2, 2, 6, 2, 6, 6, 2, 6]]], (8, 8))
        >>> boxes = vg.samples.Boxes([[2, 2, 6, 6]])
        >>> objects = vg.samples.Instances((8, 8), boxes, [0], masks=masks)
        >>> samples = [
        ...     vg.samples.Sample(info, np.zeros((8, 8, 1), np.uint8)),
        ...     vg.samples.Sample(info, np.ones((8, 8, 1), np.uint8), objects),
        ... ]
        >>> pipeline = vg.transforms.Pipeline(
        ...     [CopyPaste(share=1)], samples, size=(8, 8), capacity=5, epochs=1, seed=0
        ... )
        >>> int(pipeline(0, epoch=0).image.sum())
        16
    """

    needs_size: ClassVar[bool] = True
    share: Probability = 0.5
    flip: Probability = 0.5
    min_visibility: Probability = 0.1

    def apply(self, sample: Sample, context: Context, rng: np.random.Generator) -> Sample:
        """Return the sample with the pasted objects, of the context's size."""
        one, donor = pair(sample, context, rng, "CopyPaste")
        points = donor.instances.keypoints
        mirrors = rng.random() < self.flip
        if mirrors and (not isinstance(points, Keypoints) or points.can_mirror):
            donor = HorizontalFlip().apply(donor, context, rng)
        masks = donor.instances.masks
        if not isinstance(masks, Masks):
            return one
        offered = masks.present()
        if donor.instances.crowd is not None:
            offered &= ~donor.instances.crowd
        chosen = np.flatnonzero(offered & (rng.random(len(offered)) < self.share))
        chosen = chosen[: max(context.capacity - len(one.instances), 0)]
        if not len(chosen):
            return one
        pasted = donor.instances[chosen]
        hidden = np.zeros(one.instances.size, bool)
        for row in range(len(chosen)):
            hidden |= masks[chosen[row : row + 1]].bitmaps()[0]
        below = covered(one.instances, hidden, self.min_visibility)
        return replace(
            one,
            image=_pasted(one.image, donor.image, hidden),
            semantic=_semantic(one, donor, hidden),
            instances=combined([below, pasted], one.instances.size),
            known_classes=known_in_both(one, donor),
        )


def _pasted(one: np.ndarray | None, donor: np.ndarray | None, hidden: np.ndarray) -> np.ndarray:
    assert one is not None and donor is not None  # noqa: S101, PT018 checked by `pair`
    return np.where(hidden[..., None], donor, one)


def _semantic(one: Sample, donor: Sample, hidden: np.ndarray) -> np.ndarray | None:
    """Return the mask with the pasted classes; without a mask of the other image, 255."""
    if one.semantic is None:
        return None
    classes = np.uint8(255) if donor.semantic is None else donor.semantic
    return np.where(hidden, classes, one.semantic)
