"""Check of running statistics: training must update those that inference reads."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

import keras
import numpy as np

from visiongarden.linting.state import STATISTICS
from visiongarden.testing.arrays import difference, is_float, numpy_leaves
from visiongarden.testing.instances import attributes, own_layers
from visiongarden.testing.report import Finding, failed, passed, skipped, warned
from visiongarden.testing.subject import Subject

_STATISTICS = STATISTICS | {"count", "momentum", "total"}
_ADVICE = (
    "update it in call() under `if training:`, with call(self, x, training=False); store a "
    "constant as a NumPy array, not as a weight"
)


def statistics_updated(subject: Subject) -> Finding:
    """Check that training updates every non-trainable weight that is initialized to zeros or ones.

    A statistic that keeps its initial value has no effect: the mean that is subtracted stays 0, the
    variance that divides stays 1. Weights of Keras's own layers, weights of frozen layers and those
    that another method of the class assigns, as `adapt` does, are not checked.
    """
    if subject.is_graph:
        return skipped("the layers of a model are checked separately")
    layer = subject.fresh()
    subject.call(layer)
    candidates = list(_candidates(layer))
    if not candidates:
        return passed("no constant state")
    before = {id(v): _value(v) for _, _, v in candidates}
    for _ in range(2):
        subject.call(layer, training=True)
    unchanged = [s for s in candidates if (_value(s[2]) == before[id(s[2])]).all()]
    for _, name, variable in unchanged:
        if not _is_read(subject, layer, variable):
            continue
        evidence = f"inference reads {variable.path} (self.{name}), but training never updates it"
        # Only the name distinguishes a forgotten statistic from an intentional constant.
        if set(f"{name}_{variable.name}".lower().split("_")) & _STATISTICS:
            return failed(evidence, _ADVICE)
        return warned(f"{evidence}; its initial value is {before[id(variable)].flat[0]:g}", _ADVICE)
    return passed(f"{len(candidates)} state(s), each updated or unused")


def _candidates(layer: Any) -> Any:
    """Iterate over (layer, attribute, variable) of constant, non-trainable float weights."""
    for owner in own_layers(layer):
        if not owner.trainable:
            continue
        for name, variable in attributes(owner, depth=2):
            if not isinstance(variable, keras.Variable) or variable.trainable:
                continue
            if not is_float(variable) or not any(variable is w for w in owner.weights):
                continue
            value = _value(variable)
            constant = value.size and (value == value.flat[0]).all() and value.flat[0] in (0, 1)
            if constant and not _assigned_elsewhere(type(owner), name):
                yield owner, name, variable


def _value(variable: Any) -> np.ndarray:
    return numpy_leaves([variable.value])[0].copy()


def _is_read(subject: Subject, layer: Any, variable: Any) -> bool:
    """Return whether the outputs of inference depend on the variable."""
    before, value = numpy_leaves(subject.call(layer)), _value(variable)
    variable.assign(value + np.linspace(0.3, 0.9, value.size).reshape(value.shape))
    try:
        return difference(before, numpy_leaves(subject.call(layer))) > 0
    finally:
        variable.assign(value)


def _assigned_elsewhere(cls: type, name: str) -> bool:
    """Return whether a method other than `__init__`, `build` and `call` assigns the variable.

    Users call such a method themselves, as Keras's `Normalization.adapt`.
    """
    for base in cls.__mro__:
        if base.__module__.split(".")[0] == "keras" or base is object:
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError, SyntaxError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name not in ("__init__", "build", "call"):
                called = any(
                    isinstance(n, ast.Attribute)
                    and n.attr.startswith("assign")
                    and isinstance(n.value, ast.Attribute)
                    and n.value.attr == name
                    for n in ast.walk(node)
                )
                if called and not _calls(tree, node.name):
                    return True
    return False


def _calls(tree: ast.AST, method: str) -> bool:
    """Return whether `call` uses the method, so that training would have updated the weight."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "call":
            return any(
                isinstance(n, ast.Call)
                and isinstance(n.func, ast.Attribute)
                and n.func.attr == method
                for n in ast.walk(node)
            )
    return False
