"""Checks of optimizers, schedules, callbacks, initializers and activations."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from visiongarden import registry
from visiongarden.backends.gradients import value_and_gradients
from visiongarden.kinds import KINDS
from visiongarden.kinds import named as object_named
from visiongarden.layers import activation as activation_layer
from visiongarden.testing.arrays import numpy_leaves
from visiongarden.testing.explain import describe
from visiongarden.testing.report import Finding, failed, passed, skipped
from visiongarden.testing.value_subject import ValueSubject
from visiongarden.training.schedules import OfRun

_STEPS = (0, 1, 10, 999, 100_000)


class KerasSubject(ValueSubject):
    """A component of one of Keras's kinds under test.

    Args:
        kind: Name of the kind.
        source: Class or instance; a function for an activation.
        config: Constructor arguments of a class.
        inputs: Not used.
    """

    def __init__(self, kind: str, source: Any, config: dict[str, Any] | None, inputs: Any = None):
        self.kind = kind
        super().__init__(source, config, inputs)


def registered(subject: ValueSubject) -> Finding:
    """Check that a recipe can name the class."""
    key = registry.key_of(subject.cls)
    if key is None:
        name = keras.saving.get_registered_name(subject.cls)
        key = name if name != subject.name else None
    if key is None and subject.cls.__module__.startswith("keras."):
        return passed(f"{subject.name} of Keras")
    if key is None:
        decorator = (
            '@vg.register(package="my_project")'
            if isinstance(subject.cls, type)
            else '@keras.saving.register_keras_serializable("my_project")'
        )
        return failed(
            f"{subject.name} is not registered, so no recipe can name it",
            f"put {decorator} above {subject.name}",
        )
    return passed(key)


def named(subject: ValueSubject) -> Finding:
    """Check that a recipe can build it from its name and plain arguments."""
    kind = subject.kind if isinstance(subject, KerasSubject) else "metric"
    key = registry.key_of(subject.cls) or keras.saving.get_registered_name(subject.cls)
    lookup = object_named(KINDS[kind].lookup)
    try:
        built = lookup.from_dict({"type": key} | (subject.config or {})).build()
    except Exception as error:
        return failed(
            f"a recipe cannot build it: {describe(error)}",
            "a constructor whose arguments are numbers, text, lists or other objects of Keras",
        )
    if not isinstance(built, subject.cls):  # on PyTorch, a class derived from that of Keras
        return failed(f"the name builds a {type(built).__name__}", "register the class itself")
    return passed(f"{{type: {key}}}")


def config(subject: KerasSubject) -> Finding:
    """Check that the config restores every argument."""
    before = subject.value.get_config()
    after = subject.cls.from_config(before).get_config()
    if before != after:
        name = next(name for name in before if after.get(name) != before[name])
        return failed(
            f"{name!r} is {before[name]!r:.60}, restored {after.get(name)!r:.60}",
            "return every constructor argument from get_config",
        )
    parameters = inspect.signature(vars(subject.cls).get("__init__", object.__init__)).parameters
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    own = [name for name, p in parameters.items() if name != "self" and p.kind not in variadic]
    missing = [name for name in own if name not in before]
    if missing:
        return failed(f"the config omits {', '.join(missing)}", "return it from get_config")
    return passed(f"{len(before)} arguments")


def optimizer(subject: KerasSubject) -> Finding:
    """Check that the loss of a small regression decreases."""
    model, x, y = _regression()
    model.compile(subject.fresh(), "mse")
    history = model.fit(x, y, epochs=12, batch_size=8, verbose=0, shuffle=False).history["loss"]
    if not np.isfinite(history).all():
        return failed("the loss becomes NaN", "bound divisions: / (ops.sqrt(v) + epsilon)")
    if not history[-1] < history[0]:
        return failed(
            f"the loss of a linear regression goes from {history[0]:.4g} to {history[-1]:.4g}",
            "subtract the gradient times the learning rate, or use a smaller default",
        )
    return passed(f"the loss goes from {history[0]:.3g} to {history[-1]:.3g}")


def optimizer_state(subject: KerasSubject) -> Finding:
    """Check that all state is in variables, so that a run can be resumed."""
    one, x, y = _regression()
    other, _, _ = _regression()
    for model in (one, other):
        model.compile(subject.fresh(), "mse")
        model.optimizer.build(model.trainable_variables)
    for _ in range(3):
        one.train_on_batch(x, y)
    other.set_weights(one.get_weights())
    for target, source in zip(other.optimizer.variables, one.optimizer.variables, strict=True):
        # A copy: JAX deletes the buffers of a step's input.
        target.assign(ops.convert_to_numpy(source))
    for model in (one, other):
        model.train_on_batch(x, y)
    found = [np.concatenate([w.ravel() for w in model.get_weights()]) for model in (one, other)]
    if np.allclose(found[0], found[1], rtol=1e-5, atol=1e-6):
        return passed(f"{len(one.optimizer.variables)} variables")
    return failed(
        "the step after restoring all variables differs",
        "keep state in variables made by add_variable_from_reference in build",
    )


def schedule(subject: KerasSubject) -> Finding:
    """Check that learning rates are finite, 0 or more, and equal for numbers and tensors."""
    made = subject.value
    if isinstance(made, OfRun):
        made = made.for_run(epochs=10, steps_per_epoch=10)
    rates = []
    for step in _STEPS:
        pair = [float(np.asarray(numpy_leaves([ops.convert_to_tensor(made(s))])[0]).item())
                for s in (step, ops.convert_to_tensor(step, dtype="int32"))]  # fmt: skip
        if not np.isfinite(pair).all() or min(pair) < 0:
            return failed(f"the learning rate of step {step} is {pair[0]:.4g}", "clip it to 0")
        if not np.isclose(pair[0], pair[1], rtol=1e-5):
            return failed(
                f"step {step} gives {pair[0]:.6g} as a number and {pair[1]:.6g} as a tensor",
                'step = ops.cast(step, "float32") first',
            )
        rates.append(pair[0])
    return passed(", ".join(f"{rate:.3g}" for rate in rates))


def callback(subject: KerasSubject) -> Finding:
    """Check that a run with the callback completes."""
    model, x, y = _regression()
    model.compile("sgd", "mse")
    made = subject.fresh()
    model.fit(x, y, epochs=2, batch_size=8, validation_data=(x, y), verbose=0, callbacks=[made])
    if made.model is not model:
        return failed("the callback has no model", "call super().__init__() and set_model")
    model.fit(x, y, epochs=1, batch_size=8, validation_data=(x, y), verbose=0, callbacks=[made])
    return passed("two runs")


def initializer(subject: KerasSubject) -> Finding:
    """Check shape, type and values of weights."""
    for shape in ((), (5,), (3, 3, 4, 8)):
        for dtype in ("float32", "float16"):
            found = ops.convert_to_tensor(subject.fresh()(shape, dtype=dtype))
            if tuple(found.shape) != shape or keras.backend.standardize_dtype(found.dtype) != dtype:
                return failed(
                    f"for the shape {shape} and {dtype}, it returns {tuple(found.shape)} and "
                    f"{found.dtype}",
                    "return a tensor of the shape and the type that are passed",
                )
            if not np.isfinite(numpy_leaves([found])[0]).all():
                return failed(f"weights of the shape {shape} are not finite", "bound the values")
    return passed("three shapes in float32 and float16")


def activation(subject: KerasSubject) -> Finding:
    """Check that shape and type stay, and values and gradients are finite."""
    x = np.array([[-60, -6, -1, 0], [0.5, 1, 6, 60]], np.float32)
    for dtype in ("float32", "float16"):
        found = ops.convert_to_tensor(subject.value(ops.cast(x, dtype)))
        kept = keras.backend.standardize_dtype(found.dtype) == dtype
        if tuple(found.shape) != x.shape or not kept:
            return failed(
                f"{dtype} {x.shape} becomes {found.dtype} {tuple(found.shape)}",
                "return a tensor of the same shape and type",
            )
    value, (gradient,) = value_and_gradients(lambda t: ops.sum(subject.value(t[0])))([x])
    if not np.isfinite(value) or gradient is None or not np.isfinite(gradient).all():
        return failed("a value or gradient is not finite", "bound arguments of exponentials")
    return passed("values and gradients from -60 to 60")


def by_name(subject: KerasSubject) -> Finding:
    """Check that a layer finds the activation by its key."""
    key = keras.saving.get_registered_name(subject.value)
    if key == subject.name:
        return skipped("`registered` fails")
    layer: Any = activation_layer(key)
    if layer.activation is not subject.value:
        return failed(f"{key!r} denotes another function", "register the function itself")
    return passed(f"activation: {key}")


def _regression() -> tuple[keras.Model, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 4)).astype(np.float32)
    y = x @ np.array([[1.0], [-2.0], [0.5], [3.0]], np.float32)
    inputs = keras.Input((4,))
    dense = keras.layers.Dense(1, kernel_initializer="zeros")
    return keras.Model(inputs, dense(inputs)), x, y


_COMMON: dict[str, Callable[[Any], Finding]] = {"registered": registered}
CHECKS: dict[str, dict[str, Callable[[Any], Finding]]] = {
    "optimizer": _COMMON
    | {"runs": optimizer, "config": config, "named": named, "state": optimizer_state},
    "schedule": _COMMON | {"runs": schedule, "config": config, "named": named},
    "callback": _COMMON | {"runs": callback, "named": named},
    "initializer": _COMMON | {"runs": initializer, "config": config, "named": named},
    "activation": _COMMON | {"runs": activation, "named": by_name},
}
"""Checks by kind and name, in the order in which they run."""
