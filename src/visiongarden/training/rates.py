"""`Rates`: the factor of the learning rate of each weight."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from visiongarden.errors import ConfigError
from visiongarden.models import Joined
from visiongarden.terminal import table
from visiongarden.training.patterns import matching
from visiongarden.weights.live import named_weights

FIELD = "training.learning_rate_factors"
MAX_GROUPS = 16
"""Most groups of layers of a backbone; in one of a hundred layers, each is one of several."""
_LISTED = 3


@dataclass(frozen=True)
class Rates:
    """Factors of the learning rate by the paths of weights.

    Attributes:
        factors: Factor of each weight of the model.
    """

    factors: Mapping[str, float]

    def of(self, variable: keras.Variable) -> float:
        """Return the factor of a weight."""
        return self.factors.get(variable.path, 1.0)

    @property
    def vary(self) -> bool:
        """Whether a factor is not 1."""
        return any(factor != 1 for factor in self.factors.values())

    def describe(self, model: keras.Model) -> str:
        """Return a table with one row for each factor, which lists the layers that have it."""
        groups: dict[float, list[keras.Variable]] = {}
        for weight in model.trainable_weights:
            groups.setdefault(self.of(weight), []).append(weight)
        rows = [
            (
                f"{factor:.4g}",
                f"{len(weights):,}",
                f"{sum(math.prod(weight.shape) for weight in weights):,}",
                _places(weights),
            )
            for factor, weights in sorted(groups.items(), reverse=True)
        ]
        header = ("factor", "weights", "parameters", "layers")
        return table(header, rows, right=("factor", "weights", "parameters"))


def rates_of(
    model: Joined, factors: Mapping[str, float], layer_decay: float | None = None
) -> Rates:
    """Return the factors of the learning rate of a model's weights.

    Args:
        model: The model.
        factors: Factor by pattern of paths. Of two patterns that match a weight, the one that
            matches fewer weights counts, if the other matches all of these.
        layer_decay: Factor from each group of layers to the one before it, from the head towards
            the image: the head, the decoder, then the layers of the backbone from the last to the
            first, in at most 16 groups.

    Raises:
        ConfigError: A pattern matches nothing, or two patterns overlap without one containing the
            other.
    """
    paths = list(named_weights(model))
    if layer_decay is not None:
        return Rates({path: layer_decay**depth for path, depth in _depths(model).items()})
    found = {pattern: matching(paths, pattern, FIELD) for pattern in factors}
    _check_nested(found)
    by_size = sorted(found, key=lambda pattern: -len(found[pattern]))
    return Rates({path: factors[pattern] for pattern in by_size for path in found[pattern]})


def check_trained(
    model: Joined, factors: Mapping[str, float], frozen: Collection[str], fix: str
) -> None:
    """Check that each factor of the learning rate is that of a weight that is trained.

    Args:
        model: The model.
        factors: Factor by pattern of paths.
        frozen: Paths of the weights that are never trained.
        fix: What to change.

    Raises:
        ConfigError: A pattern matches frozen weights only.
    """
    paths = list(named_weights(model))
    for pattern, factor in factors.items():
        if matching(paths, pattern, FIELD) <= set(frozen):
            raise ConfigError(
                f"{FIELD}: the factor of {pattern!r} has no effect, because its layers are frozen",
                rule="a factor of layers that are trained",
                received=f"{pattern}: {factor:g}",
                fix=fix,
            )


def _check_nested(found: Mapping[str, frozenset[str]]) -> None:
    patterns = list(found)
    for place, first in enumerate(patterns):
        for other in patterns[place + 1 :]:
            both = found[first] & found[other]
            if both and (found[first] == found[other] or both not in (found[first], found[other])):
                raise ConfigError(
                    f"{FIELD}: the patterns {first!r} and {other!r} match the same weights",
                    rule="one factor for each weight: a pattern may only refine another one",
                    received=", ".join(sorted(both)[:_LISTED]),
                    fix=f"{FIELD}={{{first!r}: 0.1}}",
                )


def _depths(model: Joined) -> dict[str, int]:
    """Return the number of groups between each weight and the output, 0 for the head."""
    body = list(_units(model.backbone))
    size = math.ceil(len(body) / MAX_GROUPS) or 1
    groups = [body[start : start + size] for start in range(0, len(body), size)]
    parts: list[list[Any]] = [*groups, [model.decoder], [model.head]]
    parts = [part for part in parts if any(layer.weights for layer in part)]
    depths: dict[str, int] = {}
    # From the image on: a layer that is used twice belongs to its first place.
    for depth, part in zip(reversed(range(len(parts))), parts, strict=True):
        for layer in part:
            for weight in layer.weights:
                depths.setdefault(weight.path, depth)
    return depths


def _units(model: keras.Model) -> Iterator[keras.Layer]:
    """Yield the layers of a model that have weights, in order; those of a model inside it, too."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _units(layer)
        elif layer.weights:
            yield layer


def _places(weights: list[keras.Variable]) -> str:
    """Return the first segments of the paths of weights, shortened."""
    names = list(dict.fromkeys("/".join(w.path.split("/")[:2]) for w in weights))
    parts = list(dict.fromkeys(name.split("/")[0] for name in names))
    listed = names if len(names) <= _LISTED else parts
    more = f" and {len(listed) - _LISTED} more" if listed[_LISTED:] else ""
    return ", ".join(listed[:_LISTED]) + more
