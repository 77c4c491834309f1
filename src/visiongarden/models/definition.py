"""The definition of a model besides its weights: arguments of its layers, source of its classes.

When a model file is opened, the `wire` methods of the parts build the layers again. If a default
argument, a constant or the code of a class has changed since the file was written, the weights may
still fit although the outputs differ. Comparing definitions detects this.
"""

from __future__ import annotations

import functools
import inspect
import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras

from visiongarden import registry
from visiongarden.errors import ModelFileError
from visiongarden.layers.nested import by_chain
from visiongarden.models.kinds import MadeOfParts
from visiongarden.models.source_digest import is_custom, source_digest

_WITHOUT_EFFECT = (
    "name",
    "trainable",
    "trainable_inside",
    "dtype",
    "seed",
    "momentum",
    "synchronized",
)
_FOR_TRAINING = ("_initializer", "_regularizer", "_constraint")
"""Names and suffixes of arguments without effect on inference."""
_IGNORED_ENTRIES = ("name", "trainable", "trainable_inside", "build_config", "shared_object_id")
"""Entries to ignore in the config of a layer that is itself an argument.

They depend on which layers are frozen and on Keras's counters, not on the class.
"""
_LISTED = 3


class ChangedCodeWarning(UserWarning):
    """Warning that the code of a custom class has changed since a model file was written."""


def definition(model: keras.Model) -> dict[str, Any]:
    """Return the definition of a model as a JSON-serializable dict.

    Returns:
        A dict with two entries: "layers", from the names of nested layers ("outer/inner") to the
        class name and arguments of the layer; and "classes", from the registered key of each custom
        class to its qualified name and the digest of its source.
    """
    layers = {}
    for chain, layer in by_chain(model).items():
        if isinstance(layer, keras.layers.InputLayer):
            continue
        entry = _operations(layer) if isinstance(layer, keras.Model) else _arguments(layer)
        layers[chain] = [type(layer).__name__, entry]
    return {"layers": layers, "classes": _classes(model)}


def compare_definition(path: Path, then: Mapping[str, Any], model: keras.Model) -> None:
    """Compare the definition stored in a model file with that of the model built from the file.

    Args:
        path: Path of the model file, for messages.
        then: Manifest of the file, which contains the definition.
        model: The model that the current classes build.

    Raises:
        ModelFileError: If layers were added or removed, or have other arguments. The message names
            the first layers with both values.

    Warns:
        ChangedCodeWarning: If the code of a class has changed, but no argument of a layer has.
    """
    layers = then.get("layers")
    if not isinstance(layers, dict):
        return  # Files of the first versions do not store a definition.
    now = definition(model)
    changed = _changed_classes(then.get("classes"), now["classes"])
    differences = list(_differences(layers, now["layers"]))
    if differences:
        more = f"; and {len(differences) - _LISTED} more" if differences[_LISTED:] else ""
        reasons = f"; {'; '.join(changed[:_LISTED])}" if changed else ""
        raise ModelFileError(
            f"{path}: the classes no longer build the layers with which the file was written",
            rule="the same layers with the same arguments, so that the outputs are the same",
            received="; ".join(differences[:_LISTED]) + more + reasons,
            fix="undo the change of the class; or build the new model, save it as new.keras, and "
            f"copy the weights: visiongarden transfer {path} new.keras --output trained.keras",
        )
    if changed:
        more = f"; and {len(changed) - _LISTED} more" if changed[_LISTED:] else ""
        warnings.warn(
            f"{path}: {'; '.join(changed[:_LISTED])}{more}; outputs may differ from those of the "
            "saved model",
            ChangedCodeWarning,
            stacklevel=4,
        )


def _arguments(layer: keras.Layer) -> dict[str, Any]:
    """Return the arguments that determine what a layer computes, including defaults."""
    try:
        config = _plain(layer.get_config())
    # A custom class may raise anything. No layer's config is needed to open a file, so that such a
    # layer is compared by its default arguments alone.
    except Exception:
        config = {}
    found = {
        key: value
        for key, value in config.items()
        if key not in _WITHOUT_EFFECT and not key.endswith(_FOR_TRAINING)
    }
    if not type(layer).__module__.startswith("keras."):
        # The config that Keras generates contains only the arguments passed to the constructor.
        # A changed default would go unnoticed.
        defaults = _defaults(type(layer))  # type: ignore[arg-type]
        found |= {key: value for key, value in defaults.items() if key not in config}
    if "Dropout" in type(layer).__name__:
        found.pop("rate", None)  # has no effect on inference
    return found | {"dtype": layer.dtype_policy.name}


@functools.cache
def _defaults(cls: type) -> dict[str, Any]:
    """Return the default arguments of a constructor by name.

    The result is cached, because inspecting signatures takes half of the time of `definition`.
    """
    found = inspect.signature(cls.__init__).parameters.items()  # type: ignore[misc]
    return {
        name: _plain(parameter.default)
        for name, parameter in found
        if parameter.default is not inspect.Parameter.empty and name not in _WITHOUT_EFFECT
    }


def _operations(model: keras.Model) -> list[Any]:
    """Return the operations in a graph that are not layers, such as `ops.relu(x)` in a `wire`."""
    found = []
    # Only models with a graph have operations.
    for operation in getattr(model, "operations", ()):
        if not isinstance(operation, keras.Layer):
            plain = {key: v for key, v in vars(operation).items() if not key.startswith("_")}
            plain = {k: v for k, v in plain.items() if k != "name" and _is_plain(v)}
            found.append([type(operation).__name__, _plain(plain)])
    return found


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, (str, int, float, bool, type(None)))


def _plain(value: Any) -> Any:
    """Return a value as it is after a round trip through JSON.

    Entries and representations that differ between processes are removed or replaced.
    """
    return _reduced(json.loads(json.dumps(value, default=_text, skipkeys=True)))


def _reduced(value: Any) -> Any:
    if isinstance(value, list):
        return [_reduced(item) for item in value]
    if isinstance(value, dict):
        return {key: _reduced(item) for key, item in value.items() if key not in _IGNORED_ENTRIES}
    return value


def _text(value: Any) -> str:
    # Classes and functions have this name, other values do not.
    name = getattr(value, "__qualname__", None)
    return name if name is not None else f"{type(value).__name__}"


def _classes(model: keras.Model) -> dict[str, list[str | None]]:
    """Return `{key: [qualified name, digest of the source]}` for the custom classes in a model."""
    found = {type(layer) for layer in by_chain(model).values()}
    parts = vars(model.parts).values() if isinstance(model, MadeOfParts) else ()
    found |= {type(part) for part in parts}
    return {
        registry.key_of(cls) or f"{cls.__module__}.{cls.__qualname__}": [
            f"{cls.__module__}.{cls.__qualname__}",
            source_digest(cls),  # type: ignore[arg-type]
        ]
        for cls in sorted(found, key=lambda each: (each.__module__, each.__qualname__))
        if is_custom(cls)
    }


def _changed_classes(then: Any, now: dict[str, Any]) -> list[str]:
    found = []
    for key, (qualified_name, digest) in now.items():
        entry = then.get(key) if isinstance(then, dict) else None
        if not isinstance(entry, list) or len(entry) != 2 or entry[1] == digest:
            continue
        if entry[0] != qualified_name:
            found.append(
                f"{key} was {entry[0]} when the model was saved, and is {qualified_name} now"
            )
        elif entry[1] and digest:
            found.append(
                f"the code of {key} ({qualified_name}) has changed since the model was saved"
            )
    return found


def _differences(then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for chain in [*then, *(chain for chain in now if chain not in then)]:
        if then.get(chain) == now.get(chain):
            continue
        name = chain or "the model"
        old, new = (_entry(side.get(chain)) for side in (then, now))
        if old is None or new is None:
            change = "added" if old is None else "removed"
            yield f"{name} ({(old or new or ('layer',))[0]}) was {change}"
        elif old[0] != new[0]:
            yield f"{name} was {old[0]}, is now {new[0]}"
        elif isinstance(old[1], dict) and isinstance(new[1], dict):
            yield from _changed_arguments(name, old[1], new[1])
        else:
            yield f"the operations in {name} were {_short(old[1])}, are now {_short(new[1])}"


def _changed_arguments(name: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    # An argument that only one side has was added or removed by a version of the class. If that
    # changes what the layer computes, the digest of the class or another argument differs as well.
    for key in old.keys() & new.keys():
        if old[key] != new[key]:
            yield f"{name}: {key} was {_short(old[key])}, is now {_short(new[key])}"


def _entry(value: Any) -> tuple[str, Any] | None:
    return (str(value[0]), value[1]) if isinstance(value, list) and len(value) == 2 else None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
