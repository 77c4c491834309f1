"""Parameters and MACs of a model as it is deployed, the numbers that some papers publish."""

from __future__ import annotations

import math

import keras

from visiongarden.backends.sublayers import children
from visiongarden.backends.weightless import weightless
from visiongarden.inspect.counting import Count, built, size_for, symbolic_inputs
from visiongarden.inspect.macs import every_layer, macs_by_layer, outputs_inside
from visiongarden.layers import Composite
from visiongarden.parts import IMAGE, Part
from visiongarden.types import FeatureSpec, ImageSize


def deployed(
    source: keras.Model | Part,
    image_size: ImageSize | int | None = None,
    inputs: FeatureSpec = IMAGE,
) -> Count:
    """Count parameters and MACs without layers used only in training and without normalization.

    Parallel branches are folded into one convolution (RepVGG, Ding et al. 2021, section 3.3), and
    auxiliary branches of a head are removed. Batch normalization is folded into the convolution
    before it, whose bias replaces scale and shift.

    Args:
        source: A model or a part.
        image_size: (height, width) or the side of a square; by default that of the model, or 640.
        inputs: Channels and strides of the feature maps that a decoder or head reads.

    Returns:
        A `Count` with equal `trainable` and `total`: the number of values in the deployed file.

    Raises:
        UserError: The model cannot process this image size.
        ContractError: The part cannot process `inputs`.
    """
    size = size_for(source, image_size)
    with weightless():
        model = built(source, size, inputs)
        macs = macs_by_layer(model, symbolic_inputs(model, size))
    removed = {
        id(inner)
        for layer in every_layer(model)
        if isinstance(layer, Composite) and layer.training_only
        for inner in every_layer(layer)
    }
    kept = [layer for layer in every_layer(model) if id(layer) not in removed]
    values = sum(_deployed_values(layer) for layer in kept)
    counted = [layer for layer in kept if macs[id(layer)]]
    return Count(
        trainable=values,
        total=values,
        macs=sum(macs[id(layer)] for layer in counted),
        outputs=sum(outputs_inside(layer, macs) for layer in counted),
    )


def _deployed_values(layer: keras.Layer) -> int:
    """Return the number of values that a layer itself contributes to the deployed file."""
    if isinstance(layer, keras.layers.BatchNormalization):
        # Folded into the convolution before it: of the four vectors only one remains, the bias.
        return math.prod(layer.moving_mean.shape)
    # A layer made of layers reports the weights of its sublayers, which are counted themselves.
    weights = [] if children(layer) else layer.weights
    return sum(math.prod(weight.shape) for weight in weights)
