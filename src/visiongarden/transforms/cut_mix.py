"""`CutMix`: paste a rectangle of another image."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from visiongarden.registry import register
from visiongarden.samples import Instances, Sample, matrices
from visiongarden.transforms.blending import blended_labels, known_in_both, pair
from visiongarden.transforms.covering import covered
from visiongarden.transforms.transform import Context, Probability, Transform
from visiongarden.transforms.visibility import MIN_SIDE, combined, cut, visible
from visiongarden.types import IGNORE


@register
class CutMix(Transform):
    """Paste a rectangle of another image (CutMix: Yun et al. 2019, arXiv 1905.04899).

    The rectangle has the sides W √(1 - λ) and H √(1 - λ), with λ from Beta(alpha, alpha), and a
    uniformly sampled center (equation 2). Labels of the whole image are blended by the area that
    each image has in the result. Objects of both images are kept where enough of them is visible.
    Nothing is done where they are more than the capacity of the targets.

    Attributes:
        alpha: parameter of the beta distribution.
        min_visibility: smallest visible fraction of an object that is kept.

    Example:
        >>> info = vg.samples.ImageInfo(1, None, (8, 8))
        >>> samples = [
        ...     vg.samples.Sample(info, np.full((8, 8, 1), i, np.uint8), labels=np.float32([i]))
        ...     for i in (0, 1)
        ... ]
        >>> pipeline = vg.transforms.Pipeline(
        ...     [CutMix()], samples, size=(8, 8), capacity=1, epochs=1, seed=0
        ... )
        >>> mixed = pipeline(0, epoch=0)
        >>> bool(mixed.image.mean() == mixed.labels[0])
        True
    """

    needs_size: ClassVar[bool] = True
    alpha: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    min_visibility: Probability = 0.1

    def apply(self, sample: Sample, context: Context, rng: np.random.Generator) -> Sample:
        """Return the combined sample, of the context's size."""
        one, other = pair(sample, context, rng, "CutMix")
        if len(one.instances) + len(other.instances) > context.capacity:
            return one
        height, width = one.instances.size
        rows, columns = self._rectangle(height, width, rng)
        hidden = np.zeros((height, width), bool)
        hidden[rows, columns] = True
        share = 1 - float(hidden.mean())  # not λ: at the border the rectangle is cut
        below = covered(one.instances, hidden, self.min_visibility)
        above = self._inside(other.instances, rows, columns)
        return replace(
            one,
            image=_pasted(one.image, other.image, rows, columns),
            semantic=_semantic(one, other, rows, columns),
            instances=combined([below, above], one.instances.size),
            labels=blended_labels(one, other, share),
            known_classes=known_in_both(one, other),
        )

    def _rectangle(self, height: int, width: int, rng: np.random.Generator) -> tuple[slice, slice]:
        side = np.sqrt(1 - rng.beta(self.alpha, self.alpha))
        y, x = rng.uniform(0, height), rng.uniform(0, width)
        rows, columns = height * side / 2, width * side / 2
        top, bottom = (round(min(max(v, 0), height)) for v in (y - rows, y + rows))
        left, right = (round(min(max(v, 0), width)) for v in (x - columns, x + columns))
        return slice(top, bottom), slice(left, right)

    def _inside(self, instances: Instances, rows: slice, columns: slice) -> Instances:
        """Return the objects that are visible in a rectangle."""
        size = (rows.stop - rows.start, columns.stop - columns.start)
        if 0 in size:
            return instances[:0]
        moved = instances.move(matrices.shift(-columns.start, -rows.start), size)
        kept = cut(moved, None)
        kept = visible(kept.instances, kept.share, self.min_visibility, MIN_SIDE, refit=False)
        return kept.instances.move(matrices.shift(columns.start, rows.start), instances.size)


def _pasted(
    one: np.ndarray | None, other: np.ndarray | None, rows: slice, columns: slice
) -> np.ndarray:
    assert one is not None and other is not None  # noqa: S101, PT018 checked by `pair`
    image = one.copy()
    image[rows, columns] = other[rows, columns]
    return image


def _semantic(one: Sample, other: Sample, rows: slice, columns: slice) -> np.ndarray | None:
    """Return the combined mask; where an image has no mask, pixels are ignored."""
    masks = [one.semantic, other.semantic]
    known = [mask for mask in masks if mask is not None]
    if not known:
        return None
    dtype = np.result_type(*known, np.uint8)
    filled = [np.full(one.instances.size, IGNORE, dtype) if m is None else m.astype(dtype)
              for m in masks]  # fmt: skip
    filled[0][rows, columns] = filled[1][rows, columns]
    return filled[0]
