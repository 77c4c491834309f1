"""Saving and restoring the constructor arguments of custom subclasses of the models."""

from __future__ import annotations

import json
from inspect import isfunction
from typing import Any

from visiongarden.config.value import REGISTERED
from visiongarden.data.preprocessing import Preprocessing
from visiongarden.errors import ModelFileError, UserError
from visiongarden.layers.arguments import bound_arguments, construct, deserialized, serialized
from visiongarden.models.files import read_part, written
from visiongarden.models.preprocessed import read_preprocessing
from visiongarden.models.resizing import resize_in, written_resize
from visiongarden.models.serializable import decorator_in, unregistered_with_modules
from visiongarden.parts import Backbone, Decoder, Head, Part
from visiongarden.transforms import Resizing
from visiongarden.types import ClassMap

ARGUMENTS = "arguments"
"""Key of a model's config under which the constructor arguments are stored."""

_PART, _CLASSES, _PREPROCESSING = "__part__", "__class_map__", "__preprocessing__"
_RESIZE = "__resize__"
_ROLES = {"backbone": Backbone, "decoder": Decoder, "head": Head}
_CURRENT = ("image_size", "dtype", "fused", "name")
"""Arguments that may have changed since construction, for example by `resized` or `fused`.

Their current values are top-level entries of the config, which take precedence.
"""


def record_arguments(model: Any, args: Any, kwargs: Any) -> None:
    """Record the arguments of a model whose subclass defines its own constructor.

    Args:
        model: The model, before its constructor runs.
        args: Positional arguments of the constructor.
        kwargs: Keyword arguments of the constructor.
    """
    cls = type(model)
    if not cls.__init__.__module__.startswith("visiongarden."):
        found = bound_arguments(cls, model, args, kwargs)
        # `object.__setattr__` keeps Keras from tracking layers among the arguments as sublayers.
        object.__setattr__(model, "_own_arguments", found)


def own_arguments(model: Any) -> dict[str, Any]:
    """Return the config entry that holds the recorded constructor arguments.

    Returns:
        `{ARGUMENTS: {name: JSON value}}` for a subclass that defines its own constructor; an empty
        dict for any other model.

    Raises:
        UserError: If an argument cannot be converted to JSON. The message names the argument.
    """
    found = vars(model).get("_own_arguments")
    if found is None:
        return {}
    return {ARGUMENTS: {key: _written(type(model), key, v) for key, v in found.items()}}


def construct_subclass(cls: type, config: dict[str, Any]) -> Any:
    """Construct a subclass from the arguments in a config, and compare its parts with the config's.

    Raises:
        ModelFileError: If the constructor builds parts that differ from those in the config.
    """
    arguments = {key: _read(value) for key, value in config[ARGUMENTS].items()}
    arguments |= {key: config[key] for key in _CURRENT if key in arguments and key in config}
    model = construct(cls, arguments)
    _check_same(cls, "preprocessing", model.preprocessing, read_preprocessing(config))
    _check_same(cls, "resize", model.resize, resize_in(config))
    # Weights are loaded by path, and parts with equal paths may compute something else.
    for role in _ROLES:
        current, saved = written(vars(model.parts)[role]), config.get(role)
        # A round trip through JSON turns tuples into lists on both sides.
        if json.loads(json.dumps(current)) != json.loads(json.dumps(saved)):
            raise ModelFileError(
                f"{cls.__name__} builds a different {role} than the one in the file",
                rule=f"the {role} with which the file was written: {_short(saved)}",
                received=_short(current),
                fix=f"undo the change of {cls.__name__}",
            )
    return model


def _check_same(cls: type, name: str, built: Any, saved: Any) -> None:
    if built != saved:
        raise ModelFileError(
            f"{cls.__name__} builds another {name} than the one in the file",
            rule=str(saved),
            received=str(built),
            fix=f"undo the change of {cls.__name__}",
        )


def _written(cls: type, name: str, value: Any) -> Any:
    if isinstance(value, Part):
        return {_PART: value.role, "value": written(value)}
    if isinstance(value, Preprocessing):
        return {_PREPROCESSING: value.to_dict()}
    if isinstance(value, Resizing):
        return {_RESIZE: written_resize(value)}
    if isinstance(value, ClassMap):
        return {_CLASSES: [list(value.names), list(value.ids)]}
    if isinstance(value, (list, tuple)):
        return [_written(cls, name, item) for item in value]
    if isinstance(value, dict):
        return {str(key): _written(cls, name, item) for key, item in value.items()}
    try:
        found = serialized(value)
        json.dumps(found)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"argument {name} of {cls.__name__} cannot be saved",
            rule="numbers, strings, lists and dicts of them, layers or parts",
            received=type(value).__name__,
            fix=f"build {type(value).__name__} in {cls.__name__}.__init__ from such arguments",
        ) from error
    # Not always the class of the value itself: a layer may contain the layer that is missing.
    for missing, module in unregistered_with_modules(found):
        raise UserError(
            f"argument {name} of {cls.__name__} cannot be saved: {missing} is not registered",
            rule=REGISTERED,
            received=repr(value)[:80],
            fix=f"put {decorator_in(module, isfunction(value))} above the definition of {missing}",
        )
    return found


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return [_read(item) for item in value]
    if not isinstance(value, dict) or "class_name" in value:
        return deserialized(value)
    if _PART in value and value[_PART] in _ROLES:
        return read_part(value.get("value"), _ROLES[value[_PART]])
    if _PREPROCESSING in value:
        return Preprocessing.from_dict(value[_PREPROCESSING])
    if _RESIZE in value:
        return Resizing.from_dict(value[_RESIZE])
    if _CLASSES in value:
        names, ids = value[_CLASSES]
        return ClassMap(tuple(names), tuple(ids))
    return {key: _read(item) for key, item in value.items()}


def _short(config: Any) -> str:
    fields = config.get("config") if isinstance(config, dict) else config
    return str(fields)[:200]
