"""`KerasModel`: any functional Keras model as a backbone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import keras
from pydantic import Field, PrivateAttr, field_validator

from visiongarden.backbones.keras_file import MAX_CONFIG, check_classes, open_network
from visiongarden.backbones.keras_graph import cut, levels_in, serialized, with_input
from visiongarden.backbones.keras_network import KerasNetwork
from visiongarden.backends.graph import graph_of
from visiongarden.backends.weightless import weightless
from visiongarden.errors import ConfigError, UserError, nearest
from visiongarden.registry import register
from visiongarden.storage import parse_json

_PROBE = 256
_NAME = "network"


@register
class KerasModel(KerasNetwork):
    """Any functional Keras model of one image as a backbone, with its weights.

    The layers after the last level are omitted, such as pooling and classes. The network takes what
    follows the preprocessing of the model that it becomes a part of; a network that rescales images
    itself needs `Preprocessing(scale=1.0)`. A model file contains the network and its weights.

    Args:
        model: A functional model, or the path of a `.keras` file. The layers of a file must be
            Keras's or registered, and nothing in it is executed.
        levels: Name of the layer of each level, such as `{"p3": "block3_conv3"}`; or names of
            levels, whose layers are found by their shapes: the last one of its stride that all
            paths pass through. By default those of p3 to p5 that exist.
        **fields: The fields below, as a file contains them.

    Attributes:
        network: The network up to the last level, serialized as JSON.
        layers: Name of the layer of each level.

    Raises:
        UserError: The model is not functional, takes more than one image, or has no such layer.
        ConfigError: A level has no layer.
        ModelFileError: The file cannot be opened, or contains unknown layers.

    Example:
        >>> image = x = keras.Input((64, 64, 3))
        >>> for i in range(3):
        ...     x = keras.layers.Conv2D(8, 3, 2, padding="same", name=f"conv{i}")(x)
        >>> vg.backbones.KerasModel(keras.Model(image, x), levels={"p3": "conv2"}).spec()
        FeatureSpec(p3: 8 ch /8)
    """

    network: str = Field(max_length=MAX_CONFIG, repr=False)
    layers: dict[str, str]
    _source: Any = PrivateAttr(default=None)

    def __init__(
        self,
        model: keras.Model | str | Path | None = None,
        levels: Mapping[str, str] | Sequence[str] | None = None,
        **fields: Any,
    ) -> None:
        if model is None:
            super().__init__(**fields | ({} if levels is None else {"levels": levels}))
            return
        whole = model if isinstance(model, keras.Model) else open_network(Path(model))
        _check(whole)
        # A functional model of a custom class serializes the arguments of its constructor.
        whole = keras.Model(whole.inputs[0], whole.outputs, name=whole.name)
        found = _levels_of(whole, levels)
        network = cut(whole, found, _NAME)
        found_fields = {"network": json.dumps(serialized(network)), "layers": found}
        super().__init__(**fields | found_fields, levels=tuple(found))
        self._source = network

    @field_validator("network")
    @classmethod
    def _is_json(cls, network: str) -> str:
        config = parse_json(network.encode(), "network", ConfigError)
        layers = config.get("config", {}).get("layers") if isinstance(config, dict) else None
        if not isinstance(layers, list):
            raise ConfigError("network is not a serialized functional model")
        return network

    @property
    def is_pretrained(self) -> bool:
        """Whether the backbone was made from a model, whose weights a new model has."""
        return self._source is not None

    def __eq__(self, other: object) -> bool:
        """Return whether network and levels are the same, whatever the weights."""
        return isinstance(other, KerasModel) and dict(self) == dict(other)

    def __hash__(self) -> int:
        """Return a hash of the network and the levels."""
        return hash((self.network, tuple(self.layers.items()), self.levels))

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, with the weights of the given model."""
        changed = super().replace(**changes)
        changed._source = self._source
        return changed

    def network_for(self, shape: tuple[int | None, ...]) -> keras.Model:
        """Build the network for images of a shape, with new weights.

        Args:
            shape: (height, width, channels); None where a side is unknown.

        Raises:
            ModelFileError: The network contains layers that are not registered.
        """
        config = json.loads(self.network)
        check_classes(config, "the backbone")
        return with_input(config, shape)

    def source(self) -> keras.Model | None:
        """Return the network that the backbone was made from; None in an opened file."""
        source: keras.Model | None = self._source
        return source


def _check(model: keras.Model) -> None:
    """Raise an error if a model is not a graph from one image."""
    graph = graph_of(model) if isinstance(model, keras.Model) else None
    inputs = [] if graph is None else graph.inputs
    shape = tuple(inputs[0].shape) if len(inputs) == 1 else ()
    if len(shape) != 4 or shape[-1] is None:
        raise UserError(
            f"{type(model).__name__} {model.name} is not a functional model of one image",
            rule="a built functional or sequential model with one input (batch, height, width, "
            "channels)",
            received=f"inputs {shape or 'unknown'}",
            fix="keras.Model(inputs, outputs), made by calling layers on keras.Input",
        )


def _levels_of(
    model: keras.Model, levels: Mapping[str, str] | Sequence[str] | None
) -> dict[str, str]:
    if isinstance(levels, Mapping):
        names = [operation.name for operation in model.operations]
        for level, name in levels.items():
            if name not in names:
                raise UserError(
                    f"the network has no layer {name!r} for {level}",
                    rule="the name of a layer of the network",
                    fix=nearest(str(name), names),
                )
        return {str(level): str(name) for level, name in levels.items()}
    there = _found(model)
    wanted = (
        tuple(levels)
        if levels is not None
        else tuple(level for level in ("p3", "p4", "p5") if level in there)
    )
    missing = [level for level in wanted if level not in there]
    if missing or not wanted:
        raise ConfigError(
            f"no layer of the network has the stride of {', '.join(missing) or 'p3, p4 or p5'}",
            rule="levels with an exact stride that all paths pass through, or named layers",
            received=", ".join(there) or "no such level",
            fix=f"levels={tuple(there)}" if there else 'levels={"p3": "layer_name"}',
        )
    return {level: there[level] for level in wanted}


def _found(model: keras.Model) -> dict[str, str]:
    """Return the levels of a network, from its shapes for a square image."""
    channels = model.input.shape[-1]
    config = serialized(model)
    try:
        with weightless():
            return levels_in(with_input(config, (_PROBE, _PROBE, channels)))
    except Exception:  # dense layers after `Flatten` fix the size of the image
        side = model.input.shape[1]
        return levels_in(model) if side and side == model.input.shape[2] else {}
