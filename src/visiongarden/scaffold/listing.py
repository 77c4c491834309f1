"""`available`: names and descriptions of what can be used by name."""

from __future__ import annotations

import inspect

import keras

from visiongarden import backbones, blocks, decoders, heads, layers, registry
from visiongarden.config import (
    KerasCallback,
    KerasMetric,
    KerasObject,
    KerasOptimizer,
    KerasSchedule,
    Typed,
)
from visiongarden.data.readers import Reader
from visiongarden.data.writers import Writer
from visiongarden.layers import Composite
from visiongarden.parts import Backbone, Decoder, Head
from visiongarden.tasks import Task
from visiongarden.training import VectorOptimizer
from visiongarden.transforms import Transform

_HOMES = {
    "layer": (layers, keras.layers.Layer),
    "block": (blocks, Composite),
    "backbone": (backbones, Backbone),
    "decoder": (decoders, Decoder),
    "head": (heads, Head),
}

_TYPED: dict[str, type[Typed]] = {"transform": Transform, "reader": Reader, "writer": Writer}
"""Kinds of values that recipes and commands name; all of them are registered."""

_KERAS: dict[str, type[KerasObject]] = {
    "optimizer": KerasOptimizer,
    "schedule": KerasSchedule,
    "metric": KerasMetric,
    "callback": KerasCallback,
}
"""Kinds of Keras objects that recipes name: the public classes of Keras, and registered ones."""


def available(kind: str) -> dict[str, str]:
    """Return the first line of the docstring by name: those of visiongarden, then registered ones.

    Args:
        kind: "layer", "block", "backbone", "decoder", "head", "transform", "reader",
            "writer", "task", "optimizer", "schedule", "metric" or "callback".
    """
    if kind == "task":
        # By the names that recipes contain.
        return {name: _first_line(found) for name, found in sorted(Task.names().items())}
    if kind == "optimizer":
        # Ours first: they are the fast defaults, and importing them registers them.
        kinds = KerasOptimizer.kinds()
        names = sorted(kinds, key=lambda name: not issubclass(kinds[name], VectorOptimizer))
        return {name: _first_line(kinds[name]) for name in names}
    if kind in _KERAS:
        return {name: _first_line(found) for name, found in _KERAS[kind].kinds().items()}
    if kind in _TYPED:
        return {name: _first_line(found) for name, found in _TYPED[kind].kinds().items()}
    home, base = _HOMES[kind]
    # The classes of a package, by the names that it exports.
    ours = {name: getattr(home, name) for name in home.__all__}
    users = {
        key: entry.cls
        for key, entry in registry.registered(base).items()
        if not entry.module.startswith("visiongarden.")
        and (kind != "layer" or not issubclass(entry.cls, Composite))
    }
    return {
        name: _first_line(found)
        for name, found in {**ours, **users}.items()
        if isinstance(found, type) and issubclass(found, base)
    }


def _first_line(found: type) -> str:
    # Not that of a base class, which describes something else.
    return inspect.cleandoc(found.__doc__ or "").partition("\n")[0]
