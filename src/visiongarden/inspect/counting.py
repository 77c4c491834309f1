"""Number of parameters and MACs of a model, a part or a layer."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import keras

from visiongarden.backends.sublayers import trained_unless_frozen, with_sublayers
from visiongarden.backends.weightless import weightless
from visiongarden.errors import UserError
from visiongarden.inspect.macs import macs_by_layer, macs_inside, outputs_inside
from visiongarden.models import Joined
from visiongarden.models.kinds import WithImageSize
from visiongarden.parts import IMAGE, Part
from visiongarden.parts.connection import check_image_size
from visiongarden.types import FeatureSpec, ImageSize, stride_of

DEFAULT_SIZE: ImageSize = (640, 640)
"""Default image size of models with an open input size; most detectors are published at it."""


@dataclass(frozen=True)
class Count:
    """Parameters and compute of a model, a part or a stage.

    Attributes:
        trainable: Number of trainable parameters, the number that papers publish; without those of
            frozen layers.
        total: Number of all parameters, including moving statistics of batch normalization.
        macs: Multiply-accumulates of convolutions and dense layers for one image. Biases,
            normalization, activations, pooling and products of two feature maps are not counted.
        outputs: Number of output values of those convolutions and dense layers. Some papers add one
            operation per value for the bias, or two for the normalization.
        frozen: Number of parameters of frozen layers, which would be trainable otherwise.
    """

    trainable: int
    total: int
    macs: int
    outputs: int = 0
    frozen: int = 0

    @property
    def flops(self) -> int:
        """2 × MACs, as in Darknet's BFLOPs; many papers call the MACs themselves FLOPs."""
        return 2 * self.macs


def count(
    source: keras.Model | Part,
    image_size: ImageSize | int | None = None,
    inputs: FeatureSpec = IMAGE,
) -> Count:
    """Count parameters and MACs; the weights of a part are not allocated.

    Args:
        source: A model or a part.
        image_size: (height, width) or the side of a square; by default that of the model, or 640.
        inputs: Channels and strides of the feature maps that a decoder or head reads.

    Raises:
        UserError: The model cannot process this image size.
        ContractError: The part cannot process `inputs`.

    Example:
        >>> count(vg.backbones.ResNet(depth=50), 224).macs
        4087136256
    """
    size = size_for(source, image_size)
    with weightless():
        model = built(source, size, inputs)
        macs = macs_by_layer(model, symbolic_inputs(model, size))
    return count_of(model, macs)


def count_of(layer: keras.Layer, macs: Counter[int]) -> Count:
    """Return the parameters and MACs of a built layer.

    Args:
        layer: A built layer or model.
        macs: MACs by `id(layer)`, as returned by `macs_by_layer`.
    """
    trained = {id(weight) for weight in layer.trainable_weights}
    frozen = {
        id(weight): weight
        for each in with_sublayers(layer)
        for weight in trained_unless_frozen(each)
        if id(weight) not in trained
    }
    return Count(
        trainable=_elements(layer.trainable_weights),
        total=_elements(layer.weights),
        macs=macs_inside(layer, macs),
        outputs=outputs_inside(layer, macs),
        frozen=_elements(list(frozen.values())),
    )


def size_for(source: keras.Model | Part, image_size: ImageSize | int | None) -> ImageSize:
    """Return the specified image size, or that of the model, or 640 × 640."""
    if image_size is None:
        size = source.image_size if isinstance(source, WithImageSize) else None
        return size or DEFAULT_SIZE
    if isinstance(image_size, int):
        return (image_size, image_size)
    return (int(image_size[0]), int(image_size[1]))


def built(source: keras.Model | Part, size: ImageSize, inputs: FeatureSpec = IMAGE) -> keras.Model:
    """Build the graph of `source` at an image size.

    A part becomes a model, a model of parts with another fixed size is built again, and any other
    model is returned unchanged.

    Args:
        source: A model or a part.
        size: (height, width) of the images.
        inputs: Channels and strides of the feature maps that a decoder or head reads.

    Raises:
        UserError: The source is not a part or a built model, or cannot process this image size.
        ContractError: The part cannot process `inputs`.
    """
    if isinstance(source, Joined) and source.image_size is None:
        # The graph itself accepts any size, but its maps only fit together at multiples of the
        # largest stride.
        check_image_size(size, max(stride_of(level) for level in source.parts.backbone.levels))
        return source
    if isinstance(source, Joined) and source.image_size != size:
        return source.resized(size)
    if isinstance(source, Part):
        return source.as_model(inputs, size)
    if isinstance(source, keras.Model) and source.built:
        return source
    raise UserError(
        f"cannot inspect an object of type {type(source).__name__}",
        rule="a built model or a part",
        fix="call the model once, or build it with an input shape",
    )


def symbolic_inputs(model: keras.Model, size: ImageSize) -> object:
    """Return symbolic tensors of batch size 1 for a model's inputs; `size` replaces open sides."""

    def single_image(tensor: keras.KerasTensor) -> keras.KerasTensor:
        sides = tensor.shape[1:]
        if len(sides) == 3:
            sides = (sides[0] or size[0], sides[1] or size[1], sides[2])
        return keras.KerasTensor((1, *sides), dtype=tensor.dtype)

    return keras.tree.map_structure(single_image, model.input)


def _elements(weights: list[keras.Variable]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)
