"""Size and compute of a model as it is deployed, which is what some papers publish."""

from __future__ import annotations

import math

import keras

from visiongarden.backends.keras_internals import weightless
from visiongarden.inspect.count import Count, drawn, size_for, symbolic_inputs
from visiongarden.inspect.macs import every_layer, macs_by_layer, outputs_inside
from visiongarden.layers import Composite
from visiongarden.parts import IMAGE, Part
from visiongarden.types import FeatureSpec, ImageSize


def deployed(
    source: keras.Model | Part,
    image_size: ImageSize | int | None = None,
    inputs: FeatureSpec = IMAGE,
) -> Count:
    """Counts what is left after training: nothing that is for training only, no normalisation.

    Parallel branches fold into one convolution (RepVGG, Ding et al. 2021, section 3.3) and branches
    of a head that only teach are left out. Batch normalisation folds into the convolution before
    it, whose bias takes the place of scale and shift.

    Args:
        source: a model or a part.
        image_size: (height, width) or one number for both; by default the model's own, else 640.
        inputs: what comes into a part, where it is a decoder or a head.

    Returns:
        `trainable` and `total` are the same: the numbers that the deployed file holds.

    Raises:
        UserError: the image size does not suit the model.
        ContractError: the part does not suit `inputs`.
    """
    size = size_for(source, image_size)
    with weightless():
        model = drawn(source, size, inputs)
        found = macs_by_layer(model, symbolic_inputs(model, size))
    gone = {
        id(inner)
        for layer in every_layer(model)
        if isinstance(layer, Composite) and layer.training_only
        for inner in every_layer(layer)
    }
    kept = [layer for layer in every_layer(model) if id(layer) not in gone]
    numbers = sum(_own(layer) for layer in kept)
    counted = [layer for layer in kept if found[id(layer)]]
    return Count(
        trainable=numbers,
        total=numbers,
        macs=sum(found[id(layer)] for layer in counted),
        outputs=sum(outputs_inside(layer, found) for layer in counted),
    )


def _own(layer: keras.Layer) -> int:
    """Numbers of a layer that holds weights itself."""
    if isinstance(layer, keras.layers.BatchNormalization):
        return math.prod(layer.gamma.shape)
    own = [] if list(layer._flatten_layers(include_self=False)) else layer.weights
    return sum(math.prod(weight.shape) for weight in own)
