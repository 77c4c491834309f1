"""Turn pydantic's validation errors into one `ConfigError` with the nearest valid names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, get_args, runtime_checkable

from pydantic import BaseModel, ValidationError

from visiongarden.errors import ConfigError, UserError, nearest

_RULES = {
    "missing": "is missing",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "path_type": "must be a path",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping of fields, `name: value`",
    "mapping_type": "must be a mapping of fields, `name: value`",
    "model_type": "must be a mapping of fields, `name: value`",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "none_required": "must be null",
}

_WITHOUT_INPUT = {"missing", "extra_forbidden"}


def explain(
    error: ValidationError, cls: type, data: Any = None, overrides: bool = False
) -> ConfigError:
    """Return one error that names each invalid field, its rule and the received value.

    Args:
        error: error that pydantic raised.
        cls: class of which `data` is not a valid value.
        data: the invalid data. Their `type` entries determine which field names are valid where.
        overrides: whether a fix states the path of a field, as overrides do.
    """
    errors = [
        (_field_path(item, cls, data), *_error(item, cls, data, overrides))
        for item in error.errors()
        # A default that depends on other fields, which are reported themselves.
        if item["type"] != "default_factory_not_called"
    ]
    # Pydantic reports a union once for each member, often in the same words.
    errors = list(dict.fromkeys(errors))
    if len(errors) == 1:
        place, what, rule, received, fix = errors[0]
        return ConfigError(f"{place}: {what}", rule=rule, received=received, fix=fix)
    lines = [_one_line(*error) for error in errors]
    return ConfigError(
        "\n    ".join([f"{len(lines)} errors in {cls.__name__.lstrip('_')}:", *lines])
    )


_Error = tuple[str, str | None, str | None, str | None]


def _error(item: Any, cls: type, data: Any, overrides: bool) -> _Error:
    """Return (what, rule, received, fix) of one of pydantic's errors."""
    ctx = item.get("ctx", {})
    inner = ctx.get("error")
    if isinstance(inner, UserError):
        fix = _with_path(inner.fix, item, cls, data) if overrides else inner.fix
        return inner.what, inner.rule, inner.received, fix
    if item["type"] == "extra_forbidden":
        owner, _ = _walk(cls, data, item["loc"][:-1])
        name = str(item["loc"][-1])
        fix = nearest(name, _fields(owner)) if owner else None
        if owner and not fix:
            fix = f"{owner.__name__} has no fields"
        return f"unknown field {name!r}", None, None, fix
    if inner is not None:
        return str(inner), None, _shortened(item["input"]), None
    template = _RULES.get(item["type"])
    try:
        rule = template.format(**ctx) if template else item["msg"]
    except KeyError:  # a later version of pydantic may rename the limits in `ctx`
        rule = item["msg"]
    received = None if item["type"] in _WITHOUT_INPUT else _shortened(item["input"])
    return rule, None, received, None


def _with_path(fix: str | None, item: Any, cls: type, data: Any) -> str | None:
    """Return a fix of one field as an override: with the path of the field."""
    name = re.fullmatch(r"(\w+)=\S+", fix or "")
    owner, steps = _walk(cls, data, item["loc"])
    if not name or not steps or name[1] not in _fields(owner):
        return fix
    return f"{'.'.join(steps)}.{fix}"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _one_line(
    place: str, what: str, rule: str | None, received: str | None, fix: str | None
) -> str:
    text = f"{place}: {what}"
    text += f" ({rule})" if rule else ""
    text += f", received {received}" if received else ""
    return f"{text}; {fix}" if fix else text


def _field_path(item: Any, cls: type, data: Any) -> str:
    """Return the path of a field, such as `model.decoder.channels`, or the name of the class."""
    _, steps = _walk(cls, data, item["loc"])
    if item["type"] == "extra_forbidden":
        owner, steps = _walk(cls, data, item["loc"][:-1])
        return (
            ".".join(steps) + (f" ({owner.__name__})" if owner and steps else "")
            or (owner or cls).__name__
        )
    return ".".join(steps) or cls.__name__


def _walk(cls: type, data: Any, loc: Sequence[Any]) -> tuple[type | None, list[str]]:
    """Return the class of the value at `loc`, and the steps of its path as the user wrote them.

    Pydantic's `loc` also contains the class names of union members, which are left out.
    """
    owner: type | None = _class_of(cls, data)
    candidates: list[type] = [cls]
    steps: list[str] = []
    for step in loc:
        fields = _fields(owner)
        if isinstance(step, int):
            data = data[step] if isinstance(data, Sequence) and step < len(data) else None
        elif isinstance(data, Mapping) and step in data:
            data = data[step]
        elif step in fields:
            data = dict(data).get(step) if isinstance(data, BaseModel) else None
        else:
            members = [c for c in candidates if c.__name__ == step]
            owner = _class_of(members[0], data) if members else owner
            continue
        steps.append(str(step))
        if step in fields:
            candidates = _values_in(fields[step].annotation)
        owner = next((found for c in candidates if (found := _class_of(c, data))), None)
    return owner, steps


def _fields(cls: type | None) -> Mapping[str, Any]:
    return cls.model_fields if cls is not None and issubclass(cls, BaseModel) else {}


@runtime_checkable
class _Registry(Protocol):
    """A base class whose subclasses are registered; `Typed` imports this module."""

    def find(self, name: str) -> type: ...


def _class_of(cls: type, data: Any) -> type | None:
    if isinstance(data, BaseModel):
        return type(data)
    name = data.get("type") if isinstance(data, Mapping) else data
    if isinstance(name, str) and isinstance(cls, _Registry):
        try:
            found: type = cls.find(name)
        except UserError:
            return None
        return found
    return cls


def _values_in(annotation: Any) -> list[type]:
    """Return the pydantic classes inside an annotation such as `list[Part] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in get_args(annotation) for found in _values_in(inner)]
