"""The preprocessing of a run: that of the recipe, the backbone or the training images."""

from __future__ import annotations

from typing import Any

from visiongarden.config.overrides import as_override
from visiongarden.data import Preprocessing
from visiongarden.data.channels import check_layout, layout_in
from visiongarden.data.layout import RGB, Layout
from visiongarden.errors import ConfigError, UserError
from visiongarden.recipes.recipe import Recipe


def preprocessing_for(
    recipe: Recipe, *splits: Any, of_weights: Preprocessing | None = None
) -> Preprocessing:
    """Return the preprocessing of a run, and check that all its images suit it.

    Args:
        recipe: The recipe. Its own preprocessing comes first, then that of the backbone, that of
            the pretrained weights, and one that scales the training images to 0 to 1.
        *splits: Datasets of the run, the training split first.
        of_weights: Preprocessing of the model that the pretrained weights belong to.

    Raises:
        DataError: The images of a dataset have different channels.
        ConfigError: The value range of images that hold floats is not known.
        UserError: The images do not have the number of channels or the type of the preprocessing.
    """
    given = [data.value_range for data in recipe.datasets if data.value_range is not None]
    if given and recipe.model.preprocessing is not None:
        raise ConfigError(
            f"value_range has no effect: {list(given[0])}",
            rule="value_range of the data, or preprocessing of the model, which contains the scale",
            fix="data.value_range=null",
        )
    layouts = [layout_in(split) for split in splits]
    chosen = recipe.model.preprocessing or _derived(recipe, layouts[0], of_weights)
    for transform in recipe.transforms:
        if transform.rgb_only and layouts[0] not in (None, RGB):
            raise UserError(
                f"{type(transform).__name__} cannot be applied to the training images",
                rule=f"RGB: {RGB}",
                received=str(layouts[0]),
                fix=f"remove {type(transform).__name__} from the transforms",
            )
    needed = recipe.model.backbone.preprocessing or of_weights

    def fix(layout: Layout) -> str:
        suits = needed.for_layout(layout) if needed else Preprocessing.for_images(layout)
        return as_override("model.preprocessing", suits.stated())

    try:
        recipe.model.backbone.check_preprocessing(chosen)
    except UserError as error:
        raise ConfigError(
            error.what, rule=error.rule, received=error.received, fix=fix(chosen.layout)
        ) from error
    for layout, split in zip(layouts, splits, strict=True):
        if layout is not None:
            check_layout(layout, chosen, f"the images of {split.root}, {split.split},", fix(layout))
    return chosen


def _derived(
    recipe: Recipe, layout: Layout | None, of_weights: Preprocessing | None
) -> Preprocessing:
    """Return the preprocessing that the backbone's weights need, or that of the images."""
    needed = recipe.model.backbone.preprocessing or of_weights
    if layout is None or (needed is not None and layout.channels != needed.channels):
        return needed or Preprocessing()
    value_range = _value_range(recipe, layout)
    if needed is None:
        return Preprocessing.for_images(layout, value_range)
    return needed.for_layout(layout, value_range)


def _value_range(recipe: Recipe, layout: Layout) -> tuple[float, float] | None:
    ranges = {data.value_range for data in recipe.datasets}
    if len(ranges) > 1:
        raise ConfigError(
            "the datasets have different values of value_range",
            rule="one value for the run, because the model has one preprocessing",
            received=", ".join(str(each and list(each)) for each in ranges),
        )
    (value_range,) = ranges
    if layout.dtype == "float32" and value_range is None:
        raise ConfigError(
            "the images hold floats, whose smallest and largest value are not known",
            rule="value_range of the data, or preprocessing of the model",
            fix="data.value_range=[0,1]",
        )
    return value_range
