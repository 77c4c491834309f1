"""Checks of variables: when they are created, whether Keras tracks them, and who shares them."""

from __future__ import annotations

import inspect
from collections import Counter
from typing import Any

import keras
import numpy as np

from visiongarden.backends.sublayers import inner_layers
from visiongarden.backends.weightless import raw_value
from visiongarden.testing.arrays import is_float
from visiongarden.testing.hooks import variables_made
from visiongarden.testing.instances import attributes, own_layers, within
from visiongarden.testing.report import Finding, failed, passed, skipped
from visiongarden.testing.subject import Subject

_SEED = "seed_generator_state"
_STATEFUL = (keras.layers.Layer, keras.Variable)
_WEIGHT = (
    "create weights in build() with self.add_weight(shape, initializer, name=...), with "
    "trainable=False if they are not trained; a constant must be equal in each instance"
)
_WEIGHT_NAMES = {
    "w", "b", "weight", "weights", "kernel", "bias", "scale", "gamma", "beta", "alpha", "shift",
}  # fmt: skip
_IN_CALL = (
    "create sublayers and variables once, in __init__ (or build), and only use them in call()"
)
_BUILD = (
    "build every sublayer that build() creates (self.conv.build(input_shape)), or derive from "
    "vg.layers.Composite and create sublayers in __init__; the weights of unbuilt sublayers are "
    "not restored"
)
_TRACKED = (
    "Keras tracks attributes and flat lists of layers or variables: self.units = [Unit() for ...]; "
    "it does not track containers that are nested, filled later or class attributes"
)


def variables_before_call(subject: Subject) -> Finding:
    """Check that `__init__` and `build` create all variables and `call` creates none.

    Keras restores the weights of a saved layer after `build`, before the first call.
    """
    if subject.is_graph:
        return skipped("a functional model is built when it is constructed")
    layer = subject.fresh()
    by_build = _after_build(layer, subject)
    layer(*subject.symbols())
    subject.call(layer)
    if by_build is not None:
        late = [v.path for v in layer.variables if id(v) not in by_build]
        if late:
            return failed(f"{_some(late)} is created in the first call, not in build()", _BUILD)
    count = len(layer.variables)
    with variables_made() as made:
        subject.call(layer)
        subject.call(layer, training=True)
    if made or len(layer.variables) != count:
        return failed(
            f"call() creates {len(made)} variable(s): {_some(map(_name, made))}", _IN_CALL
        )
    return passed(f"{count} variables, all created before the call")


def variables_tracked(subject: Subject) -> Finding:
    """Check that every variable created for the layer is in `layer.variables`.

    Files and optimizers miss the others. Tensors that are kept as attributes instead of weights are
    reported as well, and so are several variables with the same path.
    """
    layer, made = subject.second_instance
    known = {id(v) for v in (*layer.variables, *layer.metrics_variables)}
    # Keras's wrappers construct their layer twice and drop the seed state of the first one.
    lost = [_name(v) for v in _alive(made) if id(v) not in known and v.name != _SEED]
    if lost:
        return failed(f"{len(lost)} variable(s) not tracked by the layer: {_some(lost)}", _TRACKED)
    if not subject.is_graph and (untracked := _untracked_tensor(layer, subject)):
        return failed(*untracked)
    paths = [variable.path for variable in layer.trainable_variables]
    twice = sorted({path for path in paths if paths.count(path) > 1})
    if twice:
        return failed(
            f"several variables have the path {_some(twice)}",
            "give sublayers different names, or none; saved weights are restored by their path",
        )
    return passed(f"{len(known)} variables")


def sublayers_apart(subject: Subject) -> Finding:
    """Check that no list or dict contains one layer or weight several times.

    `[Conv2D(8, 3)] * 3` looks like three convolutions and has one set of weights. A layer that is
    also an attribute by itself counts as shared on purpose.
    """
    if subject.is_graph:
        return skipped("a functional model may use a layer several times")
    for owner in own_layers(subject.main):
        direct = {id(value) for _, value in attributes(owner, depth=0)}
        for name, container in attributes(owner, depth=0):
            if not isinstance(container, (list, tuple, dict)):
                continue
            held = [value for _, value in within(name, container) if isinstance(value, _STATEFUL)]
            counts = Counter(id(value) for value in held if id(value) not in direct)
            repeated = next((v for v in held if counts[id(v)] > 1), None)
            if repeated is not None:
                return failed(
                    f"self.{name} contains {repeated.name} {counts[id(repeated)]} times, so all "
                    "items share one set of weights",
                    f"self.{name} = [make() for _ in range(n)], which creates a layer for each "
                    "item; if sharing is intended, assign the shared layer to an attribute, too",
                )
    return passed("no container repeats a sublayer or weight")


def sublayers_used(subject: Subject) -> Finding:
    """Check that `call` uses every sublayer, in inference or in training.

    A sublayer that is still not built after a call in each mode is unused.
    """
    if subject.is_graph:
        return skipped("a functional model contains only layers that its graph uses")
    subject.call(subject.main, training=True)
    idle = [sub.name for sub in _sublayers(subject.main) if not sub.built]
    if idle:
        return failed(
            f"call() never uses {_some(idle)}",
            "use every sublayer in call(), or create it only if it is needed",
        )
    return passed(f"{len(_sublayers(subject.main))} sublayers")


def instances_apart(subject: Subject) -> Finding:
    """Check that two instances with the same arguments share no variable and have equal shapes."""
    one, other = subject.main, subject.second_instance[0]
    first, second = _reachable_variables(one), _reachable_variables(other)
    # Layers among the arguments that could not be copied are shared; `round_trip` reports them.
    given = _variables_of_arguments(subject)
    shared = [_name(v) for key, v in second.items() if key in first and key not in given]
    advice = "create containers in __init__, not as a mutable default or class attribute"
    if shared:
        return failed(f"two instances share {_some(shared)}", advice)
    shapes, others = ([tuple(v.shape) for v in layer.variables] for layer in (one, other))
    if shapes != others:
        return failed(
            f"the first instance has {len(shapes)} variables, the second {len(others)}"
            if len(shapes) != len(others)
            else "the variables of the second instance have other shapes",
            advice,
        )
    return passed("two instances share no variables")


def _untracked_tensor(layer: Any, subject: Subject) -> tuple[str, str] | None:
    """Find a tensor that the layer keeps as an attribute although it should be a weight.

    Args:
        layer: Second instance, with its initial values.
        subject: Subject whose `main` is the first instance. A tensor with other values there was
            sampled at random, so it is no constant.

    Returns:
        Evidence and advice, or None.
    """
    layer_pairs = zip(own_layers(layer), own_layers(subject.main), strict=False)
    for one, two in layer_pairs:
        pairs = zip(attributes(one), attributes(two), strict=False)
        for (name, value), (_, second) in pairs:
            if isinstance(value, keras.Variable):
                continue
            if type(value).__name__ in ("ResourceVariable", "_UnreadVariable"):
                return (
                    f"self.{name} is a tf.Variable, which Keras neither trains nor saves",
                    _WEIGHT,
                )
            is_array = isinstance(value, np.ndarray) and value.dtype.kind == "f"
            is_tensor = keras.ops.is_tensor(value) and is_float(value)
            if (not is_array and not is_tensor) or isinstance(value, keras.KerasTensor):
                continue
            a, b = (np.asarray(keras.ops.convert_to_numpy(v)) for v in (value, second))
            if a.shape != b.shape or not np.array_equal(a, b, equal_nan=True):
                return (
                    f"self.{name} has other values in each instance and is not saved",
                    _WEIGHT,
                )
            if is_tensor and _looks_initial(name, a):
                shape = tuple(a.shape)
                return (
                    f"self.{name} is a tensor {shape} of {a.flat[0]:g}, not a weight: it is "
                    "neither trained nor saved",
                    _WEIGHT,
                )
    return None


def _looks_initial(name: str, value: np.ndarray) -> bool:
    """Return whether a tensor looks like an initialized weight: the same number in every element.

    Other tensors are constants such as a grid or a filter. Scalars and tensors of rank 3 and higher
    are often constants too (a factor, a box filter), so for them the attribute's name decides.
    """
    if value.size == 0 or not (value == value.flat[0]).all():
        return False
    if value.size == 1 or value.ndim > 2:
        parts = set(name.lower().strip("_").split("_"))
        return bool(parts & _WEIGHT_NAMES) and value.flat[0] in (0, 1)
    return True


def _after_build(layer: Any, subject: Subject) -> set[int] | None:
    """Return the ids of the variables after the layer's own `build`; None if it defines none."""
    if "build" not in {name for c in type(layer).__mro__ for name in vars(c)} or _inherits(layer):
        return None
    shapes = keras.tree.map_structure(lambda a: (None, *a.shape[1:]), subject.arguments)
    parameters = inspect.signature(type(layer).build).parameters
    try:
        layer.build(*shapes[: len(parameters) - 1])
    except Exception:
        return None  # `runs` builds the layer as Keras does and reports the error
    return {id(variable) for variable in layer.variables}


def _inherits(layer: Any) -> bool:
    owner = next(c for c in type(layer).__mro__ if "build" in vars(c))
    return owner in (keras.layers.Layer, keras.Model) or owner.__module__.startswith("keras.")


def _sublayers(layer: Any) -> list[Any]:
    return [sub for sub in inner_layers(layer) if not _is_metric(sub)]


def _is_metric(sub: Any) -> bool:
    return isinstance(sub, keras.metrics.Metric)


def _alive(made: list[Any]) -> list[Any]:
    """Drop the variables without values, which shape inference creates and discards."""
    return [variable for variable in made if raw_value(variable) is not None]


def _reachable_variables(layer: Any) -> dict[int, Any]:
    """Return the variables that a layer tracks or keeps in containers of the instance or class.

    Class attributes are included because a mutable one is shared by all instances.
    """
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


def _variables_of_arguments(subject: Subject) -> set[int]:
    values = within("", subject.config or {})
    layers = [value for _, value in values if isinstance(value, keras.layers.Layer)]
    return {id(variable) for layer in layers for variable in layer.variables}


def _own(cls: type) -> bool:
    return not cls.__module__.startswith(("keras", "tensorflow", "torch", "builtins", "jax"))


def _name(variable: Any) -> str:
    return variable.path or variable.name or "a variable"


def _some(names: Any, max_count: int = 4) -> str:
    names = list(names)
    rest = f" and {len(names) - max_count} more" if len(names) > max_count else ""
    return ", ".join(names[:max_count]) + rest
