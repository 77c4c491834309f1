"""`Freezing`: layers of a model that a run does not train, selected by the paths of weights."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from visiongarden.errors import ConfigError
from visiongarden.layers.nested import nested, set_trainable, trainable_inside
from visiongarden.training.patterns import matching
from visiongarden.weights.live import named_weights, owners

FIELD = "training.freeze"
_LISTED = 3


class Freezing:
    """Layers of a model to freeze, and the state before it.

    A frozen layer is not trained, and a frozen batch normalization runs in inference mode: its
    statistics stay as they are (`trainable` of Keras).

    Args:
        model: The model.
        patterns: Patterns of the paths of weights, such as "backbone/**".
        loaded: Paths of the weights that hold pretrained values; None if they are not known.

    Raises:
        ConfigError: A pattern matches nothing or only a part of a layer, a layer holds no loaded
            weights, or no weight is left to train.
    """

    def __init__(
        self, model: keras.Model, patterns: Collection[str], loaded: Collection[str] | None = None
    ) -> None:
        paths = list(named_weights(model))
        found = [matching(paths, pattern, FIELD) for pattern in patterns]
        self.paths = frozenset().union(*found)
        self._before = bool(model.trainable), trainable_inside(model)
        if self.paths:
            _check_whole_layers(model, self.paths)
            _check_loaded(paths, self.paths, loaded)
            _check_something_is_left(model, self.paths)

    def freeze(self, model: keras.Model) -> None:
        """Freeze the layers of a model of this architecture."""
        if not self.paths:
            return
        for chain, layer in nested(model):
            weights = layer.weights
            if chain and weights and all(weight.path in self.paths for weight in weights):
                layer.trainable = False

    def release(self, model: keras.Model) -> None:
        """Set `trainable` of all layers as it was before."""
        if self.paths:
            set_trainable(model, *self._before)

    @contextmanager
    def released_after(self, model: keras.Model) -> Iterator[None]:
        """Release the layers at the end of the context."""
        try:
            yield
        finally:
            self.release(model)

    def describe(self, model: keras.Model) -> str:
        """Return one line on what is frozen."""
        weights = named_weights(model)
        count = sum(math.prod(weights[path].shape) for path in self.paths)
        total = sum(math.prod(weight.shape) for weight in weights.values())
        return (
            f"frozen: {len(self.paths)} of {len(weights)} weights, {count / total:.1%} of the "
            "parameters; frozen batch normalizations keep their statistics"
        )


def _check_whole_layers(model: Any, paths: Collection[str]) -> None:
    by_layer: dict[int, list[str]] = {}
    own_layers = owners(model)
    for path in named_weights(model):
        by_layer.setdefault(id(own_layers[path].layer), []).append(path)
    for own in by_layer.values():
        left = [path for path in own if path not in paths]
        if left and len(left) < len(own):
            layer = left[0].rpartition("/")[0]
            raise ConfigError(
                f"{FIELD} selects only some weights of the layer {layer}",
                rule="patterns that select whole layers",
                received=", ".join(path for path in own if path in paths),
                fix=f"{FIELD}=[{layer}]",
            )


def _check_loaded(
    order: Collection[str], paths: Collection[str], loaded: Collection[str] | None
) -> None:
    if loaded is None:
        return
    missing = [path for path in order if path in paths and path not in set(loaded)]
    if missing:
        more = f" and {len(missing) - _LISTED} more" if missing[_LISTED:] else ""
        raise ConfigError(
            f"{FIELD} freezes {len(missing)} weights that hold no loaded values",
            rule="only pretrained layers can be frozen; others would stay random",
            received=", ".join(missing[:_LISTED]) + more,
            fix="model.weights=runs/first" if not loaded else f"{FIELD}=[]",
        )


def _check_something_is_left(model: Any, paths: Collection[str]) -> None:
    if all(weight.path in paths for weight in model.trainable_weights):
        raise ConfigError(
            f"{FIELD} freezes the whole model",
            rule="at least one weight that is trained",
            received=f"{len(paths)} weights",
            fix=f"{FIELD}=[backbone/**]",
        )
