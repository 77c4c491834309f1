"""`check_same_values`: whether copied weights get the pixel values that they were trained on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from visiongarden.errors import UserError
from visiongarden.models.kinds import WithPreprocessing
from visiongarden.weights.report import within
from visiongarden.weights.sources import Source


def check_same_values(source: Source, target: Any, paths: Iterable[str]) -> None:
    """Check that copied weights of the backbone are given the values that they were trained on.

    Preprocessing that differs only in the type of the images is the same to the backbone: 8 and 16
    bits scaled to 0 to 1. A source without a model, such as a checkpoint, is not checked.

    Args:
        source: The opened source.
        target: The model that receives the weights.
        paths: Paths of the weights to copy.

    Raises:
        UserError: The preprocessing of source and target differs.
    """
    if source.preprocessing is None or not isinstance(target, WithPreprocessing):
        return
    trained, own = source.preprocessing, target.preprocessing
    if trained.is_same_to_backbone(own) or not any(within(p, ("backbone",)) for p in paths):
        return
    raise UserError(
        f"the model preprocesses images in another way than {source.label}, whose backbone "
        "would be copied; nothing was changed",
        rule=str(trained),
        received=str(own),
        fix=f"build the target with preprocessing={trained.stated()}; to copy the weights all the "
        "same, pass {w.path: w for w in source.weights}",
    )
