"""`MixUp`: blend two images."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar

import cv2
import numpy as np
from pydantic import Field

from visiongarden.errors import UserError
from visiongarden.registry import register
from visiongarden.samples import Sample
from visiongarden.transforms.blending import blended_labels, known_in_both, pair
from visiongarden.transforms.transform import Context, Transform
from visiongarden.transforms.visibility import combined


@register
class MixUp(Transform):
    """Blend two images (mix-up: Zhang et al. 2017, arXiv 1710.09412, section 2).

    The image is λ a + (1 - λ) b, and labels of the whole image are blended in the same way, where
    λ is sampled from Beta(alpha, alpha). The objects of both images are kept. Nothing is done where
    they are more than the capacity of the targets.

    Attributes:
        alpha: parameter of the beta distribution. With the default, as in YOLOv4 to YOLOv8, both
            images stay clearly visible; 0.2 is usual for classification.

    Example:
        >>> info = vg.samples.ImageInfo(1, None, (2, 2))
        >>> images = [np.full((2, 2, 3), i, np.uint8) for i in (0, 1)]
        >>> labels = np.eye(2, dtype=np.float32)
        >>> samples = [vg.samples.Sample(info, images[i], labels=labels[i]) for i in (0, 1)]
        >>> pipeline = vg.transforms.Pipeline(
        ...     [MixUp()], samples, size=(2, 2), capacity=1, epochs=1, seed=0
        ... )
        >>> labels = pipeline(0, epoch=0).labels
        >>> bool((labels > 0.2).all()), round(float(labels.sum()), 6)
        (True, 1.0)
    """

    needs_size: ClassVar[bool] = True
    not_combined: ClassVar[frozenset[str]] = frozenset({"semantic"})
    alpha: Annotated[float, Field(gt=0, le=1e6)] = 32.0

    def apply(self, sample: Sample, context: Context, rng: np.random.Generator) -> Sample:
        """Return the blended sample, of the context's size."""
        one, other = pair(sample, context, rng, "MixUp")
        if one.semantic is not None or other.semantic is not None:
            raise UserError(
                "MixUp cannot combine semantic masks",
                rule="labels of the whole image, or objects; a pixel has one class",
                fix="replace MixUp by CutMix",
            )
        if len(one.instances) + len(other.instances) > context.capacity:
            return one
        share = float(rng.beta(self.alpha, self.alpha))
        return replace(
            one,
            image=_blended(one.image, other.image, share),
            instances=combined([one.instances, other.instances], one.instances.size),
            labels=blended_labels(one, other, share),
            known_classes=known_in_both(one, other),
        )


def _blended(one: np.ndarray | None, other: np.ndarray | None, share: float) -> np.ndarray:
    assert one is not None and other is not None  # noqa: S101, PT018 checked by `pair`
    # As columns, because OpenCV takes at most four channels for some types.
    columns = [image.reshape(len(image), -1) for image in (one, other)]
    blended = cv2.addWeighted(columns[0], share, columns[1], 1 - share, 0)
    return np.asarray(blended, one.dtype).reshape(one.shape)
