"""Parameters and compute of a model or a part."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import keras

from visiongarden.backends.keras_internals import weightless
from visiongarden.errors import UserError
from visiongarden.inspect.macs import macs_by_layer, macs_inside, outputs_inside
from visiongarden.models import Joined
from visiongarden.parts import IMAGE, Part
from visiongarden.parts.connection import check_image_size
from visiongarden.types import FeatureSpec, ImageSize, stride_of

DEFAULT_SIZE: ImageSize = (640, 640)
"""Where a model leaves the size open and none is given; what most detectors are published at."""


@dataclass(frozen=True)
class Count:
    """Size and compute of a model, a part or a stage.

    Attributes:
        trainable: parameters that training changes: what papers publish.
        total: all parameters; moving means and variances of batch normalisation among them.
        macs: multiply-accumulates of convolutions and dense layers for one image. Bias,
            normalisation, activation, pooling and products of two feature maps are not counted.
        outputs: numbers that those convolutions and dense layers give out; some papers count one
            operation more for each, for a bias, or two for a normalisation.
    """

    trainable: int
    total: int
    macs: int
    outputs: int = 0

    @property
    def flops(self) -> int:
        """2 × MACs: what Darknet calls BFLOPs; many papers call the MACs themselves FLOPs."""
        return 2 * self.macs


def count(
    source: keras.Model | Part,
    image_size: ImageSize | int | None = None,
    inputs: FeatureSpec = IMAGE,
) -> Count:
    """Counts parameters and MACs; a part is drawn without its weights' memory.

    Args:
        source: a model or a part.
        image_size: (height, width) or one number for both; by default the model's own, else 640.
        inputs: what comes into a part, where it is a decoder or a head.

    Raises:
        UserError: the image size does not suit the model.
        ContractError: the part does not suit `inputs`.

    Example:
        >>> count(vg.backbones.ResNet(depth=50), 224).macs
        4087136256
    """
    size = size_for(source, image_size)
    with weightless():
        model = drawn(source, size, inputs)
        found = macs_by_layer(model, symbolic_inputs(model, size))
    return count_of(model, found)


def count_of(layer: keras.Layer, found: Counter[int]) -> Count:
    """Parameters of a built layer, beside its share of the MACs that were `found`."""
    return Count(
        trainable=_elements(layer.trainable_weights),
        total=_elements(layer.weights),
        macs=macs_inside(layer, found),
        outputs=outputs_inside(layer, found),
    )


def size_for(source: keras.Model | Part, image_size: ImageSize | int | None) -> ImageSize:
    """The size asked for, else the model's own, else 640 × 640."""
    if image_size is None:
        return getattr(source, "image_size", None) or DEFAULT_SIZE
    if isinstance(image_size, int):
        return (image_size, image_size)
    return (int(image_size[0]), int(image_size[1]))


def drawn(source: keras.Model | Part, size: ImageSize, inputs: FeatureSpec = IMAGE) -> keras.Model:
    """A model at `size` with the graph of `source`: the model itself where it suits."""
    if isinstance(source, Joined) and source.image_size is None:
        check_image_size(size, max(stride_of(level) for level in source.parts.backbone.levels))
        return source
    if isinstance(source, Joined) and source.image_size != size:
        return source.resized(size)
    if isinstance(source, Part):
        return source.as_model(inputs, size)
    if isinstance(source, keras.Model) and source.built:
        return source
    raise UserError(
        f"cannot count {type(source).__name__}",
        rule="a model that is built, or a part",
        fix="call the model once, or give it an input shape",
    )


def symbolic_inputs(model: keras.Model, size: ImageSize) -> object:
    """Symbolic tensors of batch 1 for a model's inputs; sides that are open are those of `size`."""

    def tensor(given: keras.KerasTensor) -> keras.KerasTensor:
        sides = given.shape[1:]
        if len(sides) == 3:
            sides = (sides[0] or size[0], sides[1] or size[1], sides[2])
        return keras.KerasTensor((1, *sides), dtype=given.dtype)

    return keras.tree.map_structure(tensor, model.input)


def _elements(weights: list[keras.Variable]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)
