"""What transforms share that combine two images of the same size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from visiongarden.errors import UserError
from visiongarden.samples import Sample
from visiongarden.transforms.letterbox import Letterbox
from visiongarden.transforms.pending import checked, known_by_all, require_same_pixels
from visiongarden.transforms.transform import Context


def fitted(sample: Sample, context: Context) -> Sample:
    """Return a sample of the context's size; one of another size is letterboxed."""
    sample = checked(sample)
    if sample.instances.size == tuple(context.size):
        return sample
    return Letterbox().apply(sample, context, np.random.default_rng(0))


def pair(sample: Sample, context: Context, rng: np.random.Generator, name: str) -> list[Sample]:
    """Return a sample and another one, of the context's size.

    Raises:
        UserError: the pixels or the annotations of the two cannot be combined.
    """
    found = [fitted(each, context) for each in (sample, *context.others(1, rng))]
    require_same_pixels(found[0], found[1], name)
    if (found[0].labels is None) != (found[1].labels is None):
        raise UserError(
            f"{name} cannot combine images with and without labels",
            rule="labels of both images, or of none; NaN for an unknown one",
            received=f"no labels of image {_without(found).info.id!r}",
            fix="labels=np.full(k, np.nan, np.float32)",
        )
    for each in found:
        if each.extra:
            raise UserError(
                f"{name} cannot combine the annotations {sorted(each.extra)} in `extra`",
                rule="objects and labels, for which it is defined how two images are combined",
                received=f"image {each.info.id!r}",
                fix=f"remove {name} from the transforms",
            )
    return found


def _without(samples: Sequence[Sample]) -> Sample:
    return next(each for each in samples if each.labels is None)


def blended_labels(one: Sample, other: Sample, share: float) -> np.ndarray | None:
    """Return labels (k,) of which `share` is from the first image; NaN stays unknown.

    Raises:
        UserError: the two have another number of labels.
    """
    if one.labels is None or other.labels is None or share >= 1:
        return one.labels
    if one.labels.shape != other.labels.shape:
        raise UserError(
            "images with different numbers of labels cannot be combined",
            rule="labels of the same shape (k,)",
            received=f"{one.labels.shape} and {other.labels.shape}",
            fix="give all images one value for each label",
        )
    if share <= 0:
        return other.labels
    return np.asarray(share * one.labels + (1 - share) * other.labels, np.float32)


def known_in_both(one: Sample, other: Sample) -> np.ndarray | None:
    """Return the classes that are annotated in both images, or None if all are."""
    return known_by_all([one.known_classes, other.known_classes])
