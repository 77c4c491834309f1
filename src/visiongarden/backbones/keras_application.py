"""`KerasApplication`: a network of `keras.applications` as a backbone, with or without weights."""

from __future__ import annotations

import functools
import inspect
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from pydantic import field_validator

from visiongarden.backbones.keras_graph import cut, levels_in
from visiongarden.backbones.keras_network import KerasNetwork
from visiongarden.backends.names import fresh_names
from visiongarden.backends.weightless import weightless
from visiongarden.data.preprocessing import Preprocessing
from visiongarden.errors import ConfigError, UserError, nearest
from visiongarden.registry import register

_PROBE = 256


@register
class KerasApplication(KerasNetwork):
    """A network of `keras.applications` without its top, with levels found in its graph.

    A level is the last feature map of its stride that all paths of the graph pass through. Its
    `preprocessing` converts pixel values to those that the network was trained with (0 to 255, -1
    to 1, or BGR minus a mean), derived from the network's own `preprocess_input`; the backbone
    alone takes these values. Networks whose convolutions do not pad (Inception, Xception,
    NASNet) have no map of an exact stride and raise an error.

    Weights are read when a model is created, never when a file is reopened: a `.keras` file
    contains its weights, and opens without an internet connection.

    Attributes:
        name: class name in `keras.applications`, such as "MobileNetV2".
        weights: None for random weights; a file of the network's weights without top, as written by
            Keras's `save_weights` or downloaded by Keras (`…_no_top.h5`); or "imagenet", which
            Keras downloads.
        levels: any level of the network; for most networks p1 to p5.

    Example:
        >>> vg.backbones.KerasApplication(name="VGG16").spec()
        FeatureSpec(p3: 512 ch /8, p4: 512 ch /16, p5: 512 ch /32)
    """

    name: str
    weights: str | None = None

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in names():
            raise ConfigError(f"keras.applications has no {name!r}", fix=nearest(name, names()))
        return name

    @property
    def preprocessing(self) -> Preprocessing:
        """Preprocessing of 8-bit RGB that the network was trained with."""
        return _preprocessing(self.name)

    @property
    def is_pretrained(self) -> bool:
        """Whether `weights` names pretrained weights."""
        return self.weights is not None

    def check_preprocessing(self, preprocessing: Preprocessing) -> None:
        """Refuse other values than the network's weights were trained on; without, any are right.

        Raises:
            UserError: The preprocessing gives other values.
        """
        if self.weights is None or preprocessing.suits_weights(self.preprocessing):
            return
        suits = self.preprocessing.for_layout(preprocessing.layout)
        raise UserError(
            f"the weights of {self.name} were trained on other values than the preprocessing gives",
            rule=str(suits),
            received=str(preprocessing),
            fix=f"preprocessing={suits.stated()}",
        )

    def network_for(self, shape: tuple[int | None, ...]) -> keras.Model:
        """Build the network for images of a shape, up to the coarsest requested level.

        Args:
            shape: (height, width, channels); None where a side is unknown.

        Raises:
            UserError: The network has no levels, or its weights take other images.
        """
        there = _levels(self.name)
        if not there:
            raise UserError(
                f"{self.name} has no feature map with an exact stride",
                rule="its convolutions use padding, so that each stage halves the size exactly",
                fix='KerasApplication(name="EfficientNetB0")',
            )
        channels = shape[-1]
        if self.weights is not None and channels != 3:
            suits = self.preprocessing
            raise UserError(
                f"the weights of {self.name} take 3 channels",
                rule="RGB, or weights=None",
                received=f"{channels} channels",
                fix=f"preprocessing={suits.stated()}",
            )
        wanted = {level: there[level] for level in self.levels if level in there}
        with fresh_names():
            whole = _built(self.name, shape)
        # The caller reports a missing level as a ContractError.
        return cut(whole, wanted or there, self.name)

    def source(self) -> keras.Model | None:
        """Return the whole network with the requested weights; None for random ones.

        Raises:
            UserError: The weights cannot be read, or belong to another network.
        """
        return None if self.weights is None else self._with_weights()

    def get_config(self) -> dict[str, Any]:
        """Return the fields without `weights`, since a model file contains its own weights."""
        return super().get_config() | {"weights": None}

    def _with_weights(self) -> keras.Model:
        downloaded = self.weights == "imagenet"
        path = Path(str(self.weights))
        if not downloaded and not path.is_file():
            raise UserError(
                f"the weights file {path} does not exist",
                rule='a file, "imagenet" (which Keras downloads), or None for random weights',
                fix=f"keras.applications.{self.name}(include_top=False).save_weights("
                f'"{self.name.lower()}.weights.h5")  # on a machine with internet access',
            )
        try:
            with fresh_names():
                source = _built(self.name, (None, None, 3), "imagenet" if downloaded else None)
            if not downloaded:
                source.load_weights(path)
        except Exception as error:  # h5py, Keras and urllib raise errors of many types
            raise UserError(
                f"the weights {self.weights!r} of {self.name} cannot be loaded",
                rule="weights of the network without its top layers",
                received=" ".join(str(error).split())[:200],
            ) from error
        return source


@functools.cache
def names() -> tuple[str, ...]:
    """Return the names of the networks in `keras.applications`."""
    return tuple(sorted(n for n in dir(keras.applications) if n[0].isupper()))


def _constructor(name: str) -> Callable[..., keras.Model]:
    # Keras has no table of its networks; they are attributes of the module.
    found: Callable[..., keras.Model] = getattr(keras.applications, name)
    return found


def _built(name: str, shape: tuple[int | None, ...], weights: str | None = None) -> keras.Model:
    network = _constructor(name)
    extra: dict[str, Any] = {}
    # MobileNetV3, EfficientNetV2 and others rescale images inside the network; their
    # `preprocess_input` returns its argument.
    if "include_preprocessing" in inspect.signature(network).parameters:
        extra["include_preprocessing"] = True
    with warnings.catch_warnings():
        # Keras warns about other numbers of channels than 1 and 3, and builds the network.
        warnings.filterwarnings("ignore", message=".*usually expects 1 or 3 input channels")
        return network(include_top=False, weights=weights, input_shape=shape, **extra)


@functools.cache
def _levels(name: str) -> dict[str, str]:
    """Return level -> name of the last operation of its stride that all paths pass through."""
    with weightless(), fresh_names():
        network = _built(name, (_PROBE, _PROBE, 3))
    return levels_in(network)


@functools.cache
def _preprocessing(name: str) -> Preprocessing:
    """Return what the network's `preprocess_input` does, as a `Preprocessing`."""
    prepare = sys.modules[_constructor(name).__module__].preprocess_input
    # `preprocess_input` is affine in each channel, and may swap RGB to BGR: black and white
    # determine scale and offset, and red shows whether the channels are swapped.
    black, white, red = (
        np.asarray(prepare(np.array([[[rgb]]], np.float32)))[0, 0, 0].astype(np.float64)
        for rgb in ((0, 0, 0), (255, 255, 255), (255, 0, 0))
    )
    order = (2, 1, 0) if abs(red[0] - black[0]) < abs(red[2] - black[2]) else None
    slope = (white - black) / 255
    # The scales that Keras's functions use, so that the numbers are not those of the rounded
    # values above: 1, 1 / 127.5, or 1 / 255 with a standard deviation per channel.
    scale = next((s for s in (1.0, 1 / 127.5) if np.allclose(slope, s, rtol=1e-5)), 1 / 255)
    std = scale / slope
    return Preprocessing(order=order, scale=scale, mean=_rounded(-black * std), std=_rounded(std))


def _rounded(values: np.ndarray) -> float | tuple[float, ...]:
    """Return values with the six decimals of the published constants, one if all are equal."""
    found = tuple(round(float(value), 5) + 0.0 for value in values)
    return found[0] if len(set(found)) == 1 else found
