"""Checks of registration and config: a saved object must be restorable from its config alone."""

from __future__ import annotations

import inspect
import json
from typing import Any

import keras
import numpy as np

from visiongarden import registry
from visiongarden.backends.precision import dtype_policy
from visiongarden.testing.checks.parts import unwritable_field
from visiongarden.testing.explain import advice_for, describe
from visiongarden.testing.report import Finding, failed, passed, skipped
from visiongarden.testing.subject import Subject

_KWARGS = "accept **kwargs in __init__ and pass them on: super().__init__(**kwargs)"
_MERGE = (
    "return super().get_config() | {...}; or delete get_config and derive from vg.layers.Composite"
)


_BASE = ("name", "trainable", "dtype")


def registered(subject: Subject) -> Finding:
    """Check that the class is registered under a key that no other class has taken.

    A saved file names its classes by these keys.
    """
    cls = subject.cls
    key = registry.key_of(cls)
    if key is None and not subject.is_part:
        name = keras.saving.get_registered_name(cls)
        key = name if name != cls.__name__ or cls.__module__.startswith("keras") else None
    if key is None:
        return failed(
            f"{cls.__name__} is not registered, so a saved model that contains it cannot be loaded",
            f'put @vg.register(package="my_project") above class {cls.__name__}',
        )
    if not subject.is_part and not cls.__module__.startswith("keras"):
        registered_cls = keras.saving.get_registered_object(key)
        if registered_cls is not cls:
            return failed(
                f"the key {key} is registered for another class, "
                f"{registered_cls.__module__}.{registered_cls.__qualname__}",
                "a key must refer to one class: use another name, or vg.register, which rejects "
                "duplicates",
            )
    return passed(key)


def config_complete(subject: Subject) -> Finding:
    """Check that `get_config` returns every constructor argument with the value that was passed."""
    if subject.is_part:
        fields, config = type(subject.part).model_fields, subject.part.get_config()
        missing = [name for name in fields if name not in config]
        if unwritable := unwritable_field(subject.part):
            return failed(*unwritable)
        return _missing(missing) if missing else passed(f"{len(fields)} fields")
    parameters = inspect.signature(_init(subject)).parameters
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters.values()):
        return failed(
            "__init__ accepts *args, which a config cannot contain", "name every parameter"
        )
    layer = subject.fresh()
    try:
        config = layer.get_config()
        json.dumps(keras.saving.serialize_keras_object(layer))
    except Exception as error:
        return failed(
            f"the config cannot be serialized: {describe(error)}",
            advice_for(error, "use only numbers, strings, lists and layers as arguments"),
        )
    if found := _array_in(config):
        return failed(
            f"the config contains a NumPy {found[1]} under {found[0]!r}, "
            "which is restored as a dict",
            f'"{found[0]}": self.{found[0]}.tolist() in get_config, and np.asarray in __init__',
        )
    names = _own_parameters(subject)
    missing = [name for name in names if name not in config]
    if missing:
        return _missing(missing)
    is_model = isinstance(layer, keras.Model)
    lost = [n for n in _BASE if n not in config and not is_model]
    if lost:
        return failed(f"the config omits {', '.join(lost)}", _MERGE)
    for name, value in _changed_arguments(subject):
        try:
            other = subject.fresh(**{name: value})
        except Exception:  # noqa: S112  the parameter does not take that value
            continue
        config_value = other.get_config().get(name)
        if config_value != value and not _is_normalized(
            subject, name, config_value, config.get(name)
        ):
            return failed(
                f"the constructor was called with {name}={value!r}, but the config contains "
                f"{config_value!r}",
                f"return the value that was passed to the constructor: self.{name} = {name}",
            )
    return passed(f"{', '.join(names) or 'no parameters'}; name, trainable, dtype")


def round_trip(subject: Subject) -> Finding:
    """Check that an object restored from its config as JSON has the same config.

    For layers, the name, the dtype policy and `trainable` must be restored as well.
    """
    if subject.is_part:
        if unwritable_field(subject.part):
            return skipped("a field cannot be serialized; see `config_complete`")
        again = type(subject.part).from_config(json.loads(json.dumps(subject.part.get_config())))
        if again == subject.part:
            return passed(str(again))
        return failed(
            f"{subject.part} is restored as {again}",
            "annotate each field with its exact type (tuple[int, ...], not Any or list), and do "
            "not override get_config",
        )
    layer = subject.fresh()
    # Values that no default produces, so that a constructor which drops them is noticed.
    changes = {} if isinstance(layer, keras.Model) else {"name": "custom_name", "dtype": "float16"}
    try:
        with dtype_policy("float32"):
            layer = subject.fresh(**changes)
    except Exception as error:
        return failed(f"the constructor does not accept name and dtype: {describe(error)}", _KWARGS)
    wrong = [k for k, v in changes.items() if _base_values(layer)[k] != v]
    if wrong:
        return failed(f"__init__ ignores {' and '.join(wrong)}", _KWARGS)
    if changes:
        layer.trainable = False
    try:
        again = _through_json(layer)
        before, after = layer.get_config(), again.get_config()
    except Exception as error:
        advice = "let __init__ accept what get_config returns: lists for tuples, and layers"
        return failed(f"from_config fails: {describe(error)}", advice_for(error, advice))
    lost = [
        f"{k} {v!r} -> {_base_values(again)[k]!r}"
        for k, v in _base_values(layer).items()
        if v != _base_values(again)[k]
    ]
    if lost:
        return failed(f"the restored layer has other values: {', '.join(lost)}", _MERGE)
    if plain(before) != plain(after):
        keys = [k for k in before | after if plain(before.get(k)) != plain(after.get(k))]
        values = f"{keys[0]} {before.get(keys[0])!r} -> {after.get(keys[0])!r}"
        return failed(
            f"the config of the restored layer differs: {values}",
            "return the values that were passed to the constructor, unchanged",
        )
    return passed("name, dtype policy, trainable and every parameter are restored")


def _array_in(config: dict[str, Any]) -> tuple[str, str] | None:
    """Return the name and type of the first array in a config; it would come back as a dict."""
    for name, value in config.items():
        for leaf in keras.tree.flatten(value):
            if isinstance(leaf, (np.ndarray, np.generic)) or keras.ops.is_tensor(leaf):
                return name, "array" if len(leaf.shape) else "number"
    return None


def _is_normalized(subject: Subject, name: str, config_value: Any, original: Any) -> bool:
    """Return whether the config holds a normalized form of the value, such as (4, 4) for 4.

    A normalized form differs from the one of the original value and is returned unchanged when it
    is passed to the constructor.
    """
    if isinstance(config_value, dict):
        return True
    if plain(config_value) == plain(original):
        return False
    try:
        again = subject.fresh(**{name: config_value}).get_config().get(name)
    except Exception:
        return False
    return bool(plain(again) == plain(config_value))


def runs_again(subject: Subject) -> Finding:
    """Check that a layer restored from its config through JSON can be called.

    JSON turns tuples into lists and layers into dicts, which a constructor may not expect.
    """
    if subject.is_part or isinstance(subject.main, keras.Model):
        return skipped("covered by `reload`")
    try:
        again = _through_json(subject.fresh())
        output = subject.call(again)
    except Exception as error:
        advice = "JSON has no tuples and no layers: in __init__, convert lists into tuples, and "
        advice += "deserialize layers"
        return failed(
            f"the layer fails after it is restored from its config: {describe(error)}",
            advice_for(error, advice),
        )
    same = [leaf.shape for leaf in keras.tree.flatten(output)]
    return passed(f"{', '.join(str(tuple(shape)) for shape in same)}")


def plain(value: Any) -> Any:
    """Convert a config to plain JSON values for comparison; tuples become lists."""
    value = keras.saving.serialize_keras_object(value)
    return json.loads(json.dumps(value, default=str, sort_keys=True))


def _through_json(layer: Any) -> Any:
    """Restore a layer from its serialized form, as a file would, without requiring registration.

    A class that is not registered fails the check `registered`; it should not fail here as well.
    """
    written = keras.saving.serialize_keras_object(layer)
    text = json.dumps(written)
    names = {type(layer).__name__: type(layer)}
    with keras.saving.custom_object_scope(names):
        return keras.saving.deserialize_keras_object(json.loads(text))


def _base_values(layer: Any) -> dict[str, Any]:
    if isinstance(layer, keras.Model):
        return {"name": layer.name}
    policy = layer.dtype_policy.name
    return {"name": layer.name, "dtype": policy, "trainable": layer.trainable}


def _own_parameters(subject: Subject) -> list[str]:
    parameters = list(inspect.signature(_init(subject)).parameters.values())[1:]
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [p.name for p in parameters if p.kind not in kinds and p.name not in _BASE]


def _changed_arguments(subject: Subject) -> list[tuple[str, Any]]:
    """Return another value for each boolean, integer and float argument."""
    if subject.config is None:
        return []
    found: list[tuple[str, Any]] = []
    for name, parameter in inspect.signature(_init(subject)).parameters.items():
        value = subject.config.get(name, parameter.default)
        if isinstance(value, bool):
            found.append((name, not value))
        elif isinstance(value, int):
            found.append((name, value + 1))
        elif isinstance(value, float):
            found.append((name, value / 2))
    return [(name, value) for name, value in found if name not in ("trainable",)]


def _init(subject: Subject) -> Any:
    return subject.cls.__init__  # type: ignore[misc]


def _missing(names: list[str]) -> Finding:
    return failed(
        f"get_config omits {', '.join(names)}, so the default values are restored",
        f"add {', '.join(repr(n) for n in names)} to get_config, or delete get_config and derive "
        "from vg.layers.Composite",
    )
