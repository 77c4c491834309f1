"""Variables: when they are made, who knows them, whether two layers share them."""

from __future__ import annotations

import inspect
from typing import Any

import keras

from visiongarden.testing.hooks import variables_made
from visiongarden.testing.report import Finding, failed, passed, skipped
from visiongarden.testing.subject import Subject

_IN_CALL = "make sublayers and variables in __init__ (or build), once; call() only uses them"
_BUILD = (
    "in build() build every sublayer that it makes (self.conv.build(input_shape)), or derive from "
    "vg.layers.Composite and make sublayers in __init__; unbuilt ones come back random"
)
_TRACKED = (
    "Keras sees attributes and flat lists of layers or variables: self.units = [Unit() for ...]; "
    "not what lies in nested, later filled or class-level containers"
)


def variables_before_call(subject: Subject) -> Finding:
    """Building makes all variables; calling makes none."""
    if subject.is_graph:
        return skipped("a functional model is built when it is made")
    layer = subject.fresh()
    by_build = _after_build(layer, subject)
    layer(*subject.symbols())
    subject.call(layer)
    if by_build is not None:
        late = [v.path for v in layer.variables if id(v) not in by_build]
        if late:
            return failed(f"build() leaves {_some(late)} to the first call", _BUILD)
    count = len(layer.variables)
    with variables_made() as made:
        subject.call(layer)
        subject.call(layer, training=True)
    if made or len(layer.variables) != count:
        return failed(f"call() makes {len(made)} variable(s): {_some(map(_name, made))}", _IN_CALL)
    return passed(f"{count} variables, all made before the call")


def variables_tracked(subject: Subject) -> Finding:
    """Every variable made is one of `layer.variables`; else no file and no optimiser has it."""
    with variables_made() as made:
        layer = subject.fresh()
        if not subject.is_graph:
            subject.call(layer)
    known = {id(variable) for variable in layer.variables}
    lost = [_name(v) for v in _alive(made) if id(v) not in known]
    if lost:
        return failed(f"{len(lost)} variable(s) unknown to the layer: {_some(lost)}", _TRACKED)
    paths = [variable.path for variable in layer.trainable_variables]
    twice = sorted({path for path in paths if paths.count(path) > 1})
    if twice:
        return failed(
            f"several variables have the path {_some(twice)}",
            "give sublayers different names, or none; a path is what finds a weight again",
        )
    return passed(f"{len(known)} variables")


def sublayers_used(subject: Subject) -> Finding:
    """Every sublayer has been built once call() has run, in inference and in training."""
    if subject.is_graph:
        return skipped("a functional model holds only what its graph uses")
    subject.call(subject.main, training=True)
    idle = [sub.name for sub in _sublayers(subject.main) if not sub.built]
    if idle:
        return failed(
            f"call() never uses {_some(idle)}",
            "use every sublayer in call(), or make it only where it is needed",
        )
    return passed(f"{len(_sublayers(subject.main))} sublayers")


def instances_apart(subject: Subject) -> Finding:
    """Two instances of the same arguments share no variable and look alike."""
    one, other = subject.main, subject.fresh()
    if not subject.is_graph:
        subject.call(other)
    held, other_held = _held(one), _held(other)
    shared = [_name(v) for key, v in other_held.items() if key in held]
    advice = "make containers in __init__, per instance; no mutable default or class attribute"
    if shared:
        return failed(f"two instances share {_some(shared)}", advice)
    shapes, others = ([tuple(v.shape) for v in layer.variables] for layer in (one, other))
    if shapes != others:
        return failed(
            f"the first instance has {len(shapes)} variables, the second {len(others)}"
            if len(shapes) != len(others)
            else "the second instance has variables of other shapes",
            advice,
        )
    return passed("two instances share nothing")


def _after_build(layer: Any, subject: Subject) -> set[int] | None:
    """The variables that the layer's own build() makes, by identity; None if it has none."""
    if "build" not in {name for c in type(layer).__mro__ for name in vars(c)} or _inherits(layer):
        return None
    shapes = keras.tree.map_structure(lambda a: (None, *a.shape[1:]), subject.arguments)
    parameters = inspect.signature(type(layer).build).parameters
    try:
        layer.build(*shapes[: len(parameters) - 1])
    except Exception:
        return None  # `runs` calls it as Keras does, and tells what is wrong
    return {id(variable) for variable in layer.variables}


def _inherits(layer: Any) -> bool:
    owner = next(c for c in type(layer).__mro__ if "build" in vars(c))
    return owner in (keras.layers.Layer, keras.Model) or owner.__module__.startswith("keras.")


def _sublayers(layer: Any) -> list[Any]:
    return [sub for sub in layer._flatten_layers(include_self=False) if not _is_metric(sub)]


def _is_metric(sub: Any) -> bool:
    return isinstance(sub, keras.metrics.Metric)


def _alive(made: list[Any]) -> list[Any]:
    """Without those that hold nothing: shape inference makes such ones, and drops them."""
    return [variable for variable in made if getattr(variable, "_value", None) is not None]


def _held(layer: Any) -> dict[int, Any]:
    """Variables that a layer knows or keeps in any container of its own or its class."""
    found: dict[int, Any] = {id(v): v for v in layer.variables}
    seen: set[int] = set()

    def search(value: Any, depth: int) -> None:
        if depth > 4 or id(value) in seen:
            return
        seen.add(id(value))
        if isinstance(value, keras.Variable):
            found[id(value)] = value
        elif isinstance(value, keras.layers.Layer):
            found.update({id(v): v for v in value.variables})
        elif isinstance(value, dict):
            for item in value.values():
                search(item, depth + 1)
        elif isinstance(value, (list, tuple, set)):
            for item in value:
                search(item, depth + 1)

    for owner in (vars(layer), *(vars(c) for c in type(layer).__mro__ if _own(c))):
        for value in list(owner.values()):
            search(value, 0)
    return found


def _own(cls: type) -> bool:
    return not cls.__module__.startswith(("keras", "tensorflow", "torch", "builtins", "jax"))


def _name(variable: Any) -> str:
    return getattr(variable, "path", None) or getattr(variable, "name", None) or "a variable"


def _some(names: Any, most: int = 4) -> str:
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
