"""`keras_schemas`: JSON schemas of the Keras objects that a recipe names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visiongarden.config import (
    KerasCallback,
    KerasMetric,
    KerasObject,
    KerasOptimizer,
    KerasSchedule,
)
from visiongarden.training import VectorAdamW, WarmupCosine

_ROLES: tuple[type[KerasObject], ...] = (KerasOptimizer, KerasSchedule, KerasMetric, KerasCallback)
_WITHOUT_TYPE = (VectorAdamW.__name__, WarmupCosine.__name__)
"""Classes that an optimizer or a schedule without a `type` has."""


def keras_schemas() -> dict[str, Any]:
    """Return the definitions of the kinds of Keras objects in a recipe, and of their classes.

    The arguments are the parameters of the constructors, with their defaults.
    """
    found: dict[str, Any] = {}
    for role in _ROLES:
        names = list(role.kinds())
        for name in names:
            found[f"{role.__name__}.{name}"] = _schema(name, role)
        choices = [{"$ref": f"#/$defs/{role.__name__}.{name}"} for name in names]
        description = (role.__doc__ or "").splitlines()[0]
        found[role.__name__] = {"description": description, "anyOf": [{"enum": names}, *choices]}
    return found


def _schema(name: str, role: type[KerasObject]) -> dict[str, Any]:
    parameters = role.parameters_of(name)
    return {
        "type": "object",
        "properties": {"type": {"const": name}}
        | {key: _argument(key, value) for key, value in parameters.defaults.items()},
        "required": [*([] if name in _WITHOUT_TYPE else ["type"]), *parameters.required],
        "additionalProperties": parameters.any,
    }


def _argument(name: str, default: Any) -> Mapping[str, Any]:
    if name == "learning_rate":
        rate: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0}
        return {"anyOf": [rate, {"$ref": f"#/$defs/{KerasSchedule.__name__}"}, {"type": "null"}]}
    if isinstance(default, bool):
        return {"type": "boolean", "default": default}
    if isinstance(default, int | float | str) or default is None:
        return {"default": default}
    return {}
