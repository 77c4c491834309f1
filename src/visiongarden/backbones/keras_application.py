"""`KerasApplication`: a network of `keras.applications` as a backbone, with or without weights."""

from __future__ import annotations

import functools
import inspect
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from pydantic import field_validator

from visiongarden.backends.keras_internals import fresh_names, is_weightless, weightless
from visiongarden.errors import ConfigError, UserError, nearest
from visiongarden.parts import IMAGE, Backbone
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, FeatureSpec, ImageSize

_PROBE = 256
_DEEPEST = 6


@register
class KerasApplication(Backbone):
    """A network of `keras.applications` without its top; maps are found by measuring its graph.

    A level is the last map of its stride that all paths lead through. Images go in as everywhere,
    RGB from 0 to 1; what the network was trained with (0 to 255, -1 to 1, or BGR less a mean) is
    worked out inside, from the network's own `preprocess_input`. Networks whose convolutions do
    not pad (Inception, Xception, NASNet) have no map of an exact stride, and say so.

    Weights are read when a model is made, never when a file is reopened: a `.keras` file holds its
    own, and reopens without a network.

    Attributes:
        name: of the class in `keras.applications`, as "MobileNetV2".
        weights: None for random ones; a file of the network's weights without top, as Keras's
            `save_weights` or its downloads (`…_no_top.h5`); or "imagenet", which Keras downloads.
        levels: any that the network has; as a rule p1 to p5.
    """

    name: str
    weights: str | None = None

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in names():
            raise ConfigError(f"keras.applications has no {name!r}", fix=nearest(name, names()))
        return name

    def wire(self, images: Any) -> FeatureMaps:
        """Their scale of values, their graph up to the last level asked for."""
        there = _levels(self.name)
        if not there:
            raise UserError(
                f"{self.name} has no feature map of an exact stride",
                rule="its convolutions pad, so that each halving is exact",
                fix='KerasApplication(name="EfficientNetB0")',
            )
        wanted = {level: there[level] for level in self.levels if level in there}
        # A level that is missing is reported by the caller, in terms of the contract.
        network = self._cut(wanted or there, tuple(images.shape[1:3]))
        maps: FeatureMaps = network(_as_trained(self.name, images))
        return maps

    def as_model(
        self, inputs: FeatureSpec = IMAGE, image_size: ImageSize | None = None
    ) -> keras.Model:
        """A plain `keras.Model` of this part, its weights read from where `weights` says.

        Raises:
            UserError: the weights cannot be had, or are not this network's.
        """
        model = super().as_model(inputs, image_size)
        if self.weights is not None and not is_weightless():
            _copy(self._source(), model.get_layer(self.name))
        return model

    def get_config(self) -> dict[str, Any]:
        """Plain fields; without `weights`, since a model's file holds its own."""
        return super().get_config() | {"weights": None}

    def _cut(self, levels: dict[str, str], size: tuple[int | None, int | None]) -> keras.Model:
        with fresh_names():
            whole = _built(self.name, (*size, 3))
        there = {operation.name: operation for operation in whole.operations}
        outputs = {level: there[name].output for level, name in levels.items()}
        return keras.Model(whole.input, outputs, name=self.name)

    def _source(self) -> keras.Model:
        """The whole network with the weights asked for."""
        downloaded = self.weights == "imagenet"
        path = Path(str(self.weights))
        if not downloaded and not path.is_file():
            raise UserError(
                f"there are no weights {path}",
                rule='a file, "imagenet" (which Keras downloads), or None for random weights',
                fix=f"keras.applications.{self.name}(include_top=False).save_weights("
                f'"{self.name.lower()}.weights.h5")  # on a machine with a network',
            )
        try:
            with fresh_names():
                source = _built(self.name, (None, None, 3), "imagenet" if downloaded else None)
            if not downloaded:
                source.load_weights(path)
        except Exception as error:  # h5py, Keras and urllib raise whatever they like
            raise UserError(
                f"the weights {self.weights!r} of {self.name} cannot be had",
                rule="the network's weights without top",
                received=" ".join(str(error).split())[:200],
            ) from error
        return source


@functools.cache
def names() -> tuple[str, ...]:
    """Names of the networks in `keras.applications`."""
    return tuple(sorted(n for n in dir(keras.applications) if n[0].isupper()))


def _built(name: str, shape: tuple[int | None, ...], weights: str | None = None) -> keras.Model:
    network: Callable[..., keras.Model] = getattr(keras.applications, name)
    extra: dict[str, Any] = {}
    if "include_preprocessing" in inspect.signature(network).parameters:
        extra["include_preprocessing"] = True
    return network(include_top=False, weights=weights, input_shape=shape, **extra)


@functools.cache
def _levels(name: str) -> dict[str, str]:
    """Level -> the operation that gives it: the last of its stride that all paths lead through."""
    with weightless(), fresh_names():
        network = _built(name, (_PROBE, _PROBE, 3))
    found: dict[str, str] = {}
    for operation in _narrows(network):
        shape = tuple(getattr(operation.output, "shape", ()))
        if len(shape) != 4 or shape[1] != shape[2] or not shape[1] or _PROBE % shape[1]:
            continue
        stride = _PROBE // shape[1]
        level = stride.bit_length() - 1
        if 0 < level <= _DEEPEST and stride == 2**level:
            found[f"p{level}"] = operation.name
    return found


def _narrows(network: keras.Model) -> list[Any]:
    """The operations that every path leads through, in order: never the middle of a branch."""
    operations = network.operations
    waiting = Counter(id(x) for op in operations for x in keras.tree.flatten(op.input))
    waiting[id(network.output)] += 1
    found, live = [], set()
    for operation in operations:
        takes = [] if isinstance(operation, keras.layers.InputLayer) else operation.input
        for tensor in keras.tree.flatten(takes):
            waiting[id(tensor)] -= 1
            if not waiting[id(tensor)]:
                live.discard(id(tensor))
        live |= {id(x) for x in keras.tree.flatten(operation.output) if waiting[id(x)]}
        if len(live) == 1:
            found.append(operation)
    return found


def _as_trained(name: str, images: Any) -> Any:
    """Images from 0 to 1 in the values that the network was trained with."""
    prepare = sys.modules[getattr(keras.applications, name).__module__].preprocess_input
    # What a network's own function does to a pixel is affine in each channel, perhaps swapped.
    black = np.asarray(prepare(np.zeros((1, 1, 1, 3), np.float32)))[0, 0, 0]
    white = np.asarray(prepare(np.full((1, 1, 1, 3), 255, np.float32)))[0, 0, 0]
    red = np.asarray(prepare(np.array([[[[255.0, 0, 0]]]], np.float32)))[0, 0, 0]
    if abs(red[0] - black[0]) < abs(red[2] - black[2]):
        images = images[..., ::-1]
    scale, offset = (white - black).tolist(), black.tolist()
    return keras.layers.Rescaling(scale, offset, name="as_trained")(images)


def _copy(source: keras.Model, target: keras.Model) -> None:
    """Every weight of `target`, by its layer and place in it."""
    for layer in target.layers:
        if layer.weights:
            theirs = source.get_layer(layer.name).weights
            for weight, other in zip(layer.weights, theirs, strict=True):
                weight.assign(other.value)
