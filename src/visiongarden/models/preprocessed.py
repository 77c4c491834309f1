"""The image input of a model and its first layer, `preprocessing`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from visiongarden.data.preprocessing import Preprocessing
from visiongarden.errors import ConfigError, ModelFileError
from visiongarden.layers.preprocess import Preprocess
from visiongarden.types import ImageSize, Tensor

LAYER = "preprocessing"
"""Name of the layer."""


def image_input(preprocessing: Preprocessing, size: ImageSize | None) -> tuple[Tensor, Tensor]:
    """Return the input of a model and the preprocessed images, as symbolic tensors.

    Args:
        preprocessing: What the layer does.
        size: (height, width) of the images in pixels; None leaves the size open.
    """
    # Keras converts images to the type of the input: as uint8, 40001 would silently become 65. The
    # type is written out, because the default is `keras.config.floatx()`, which can be changed.
    shape = (*(size or (None, None)), preprocessing.channels)
    images = keras.Input(shape, name="images", dtype="float32")
    return images, Preprocess(preprocessing, name=LAYER)(images)


def read_preprocessing(config: Mapping[str, Any]) -> Preprocessing:
    """Return the preprocessing in the config of a model.

    Raises:
        ModelFileError: The config contains none, so that the range of the images is not known, or
            one that is not valid.
    """
    fields = config.get("preprocessing")
    if not isinstance(fields, Mapping):
        raise ModelFileError(
            "the file does not contain the model's preprocessing",
            rule="a file of this version, whose model takes pixel values as stored",
            received=repr(fields)[:80],
            fix='build the model from its recipe, then vg.transfer("OLD.keras", model)',
        )
    try:
        return Preprocessing.from_dict(fields)
    except ConfigError as error:
        raise ModelFileError(
            "the model's preprocessing is not valid", rule=error.rule, received=error.what
        ) from error
