"""Pixel values that copied weights were trained on: checked, or set in the target."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from visiongarden.data.preprocessing import Preprocessing
from visiongarden.errors import UserError
from visiongarden.models.kinds import WithPreprocessing
from visiongarden.weights.report import within
from visiongarden.weights.sources import Source


def needed_values(
    source: Source, target: Any, paths: Iterable[str], published: Preprocessing | None = None
) -> Preprocessing | None:
    """Return the preprocessing to set in the target, so that copied weights get their values.

    Preprocessing that differs only in the type of the images is the same to the backbone: 8 and 16
    bits scaled to 0 to 1. That of a published checkpoint replaces the default of a model, which
    scales to 0 to 1; any other was chosen by the user. A source of unknown preprocessing is not
    checked.

    Args:
        source: The opened source.
        target: The model that receives the weights.
        paths: Paths of the weights to copy.
        published: Preprocessing that the rules for the source state.

    Returns:
        The preprocessing, or None if that of the target is right or cannot be compared.

    Raises:
        UserError: The preprocessing of source and target differs.
    """
    trained = published if source.preprocessing is None else source.preprocessing
    if trained is None or not isinstance(target, WithPreprocessing):
        return None
    own = target.preprocessing
    if not any(within(path, ("backbone",)) for path in paths):
        return None
    if published is not None and own.output_channels == published.output_channels:
        suits = _normalized(own, published)
        if suits is not None:
            return None if suits == own else suits
    if trained.is_same_to_backbone(own):
        return None
    raise UserError(
        f"the model preprocesses images in another way than {source.label}, whose backbone "
        "would be copied; nothing was changed",
        rule=str(trained),
        received=str(own),
        fix=f"build the target with preprocessing={trained.stated()}; to copy the weights all the "
        "same, pass {w.path: w for w in source.weights}",
    )


def _normalized(own: Preprocessing, published: Preprocessing) -> Preprocessing | None:
    """Return a preprocessing that scales images as `own` does, and then normalizes as published.

    Returns:
        The preprocessing, or None if `own` does more than scaling the images to 0 to 1.
    """
    order = own.order or tuple(range(own.channels))
    is_gray = len(set(order)) == 1
    is_scaled = own.dtype != "uint8" or own.is_plain or is_gray
    if own.std != 1 or not is_scaled or (not is_gray and order != tuple(range(len(order)))):
        return None
    # Published numbers are those for 8 bits: 255 times the value of 0 to 1.
    factor = 255 * published.scale
    shift = own.mean if isinstance(own.mean, float | int) else own.mean[0]
    means = published.mean if isinstance(published.mean, tuple) else (published.mean,)
    shifted = tuple(mean + shift * factor for mean in means)
    return own.replace(
        scale=own.scale * factor,
        order=own.order if is_gray or published.order is None else published.order,
        mean=shifted if isinstance(published.mean, tuple) else shifted[0],
        std=published.std,
    )
