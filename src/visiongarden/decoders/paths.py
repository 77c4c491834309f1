"""The two paths that the decoders of the YOLO family share: top-down, then bottom-up."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import keras

from visiongarden.layers import Upsampling
from visiongarden.types import FeatureMaps, Tensor

Merge = Callable[[Tensor, str], Tensor]
"""Function (concatenated maps, level) -> merged map of that level."""


def two_paths(
    features: FeatureMaps, levels: tuple[str, ...], down: Merge, shrink: Merge, up: Merge
) -> FeatureMaps:
    """Aggregate levels top-down, then bottom-up, by concatenation.

    Path aggregation: Liu et al. 2018 (arXiv 1803.01534), figure 1, where maps are added.

    Args:
        features: level -> map.
        levels: consecutive levels, finest first.
        down: merges the upsampled coarser map and the level's input.
        shrink: halves height and width of a level's map.
        up: merges the downsampled finer map and the level's map of the top-down path.

    Returns:
        level -> map.
    """
    coarsest = levels[-1]
    x = features[coarsest]
    on_the_way = {coarsest: x}
    for level in reversed(levels[:-1]):
        x = Upsampling(2, name=f"upsample_{level}")(x)
        x = keras.layers.Concatenate(name=f"join_down_{level}")([x, features[level]])
        x = on_the_way[level] = down(x, level)
    if len(levels) == 1:
        x = down(x, coarsest)
    outputs = {levels[0]: x}
    for finer, level in itertools.pairwise(levels):
        x = shrink(x, finer)
        x = keras.layers.Concatenate(name=f"join_up_{level}")([x, on_the_way[level]])
        x = outputs[level] = up(x, level)
    return outputs
