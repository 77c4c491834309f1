"""Apply dotted overrides such as `training.epochs=50` to nested dicts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from visiongarden.config.yaml import dump_scalar, load_scalar
from visiongarden.errors import ConfigError, nearest

_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*|\.\d+|\[\d+\])*")
_EXAMPLE = "training.epochs=50"


def apply_overrides(
    data: Mapping[str, Any], overrides: Sequence[str], example: str = _EXAMPLE
) -> dict[str, Any]:
    """Return a copy of `data` with the overridden fields set.

    The right side of an override is YAML: `50` is a number, `[p3, p4]` a list, `null` None, and
    `"50"` text. Whether paths and values are valid is checked later, by `from_dict`.

    Setting the `type` of a part replaces the whole part by the new type with its defaults, because
    the fields of the old type may have another meaning in the new one, or none. All `type`
    overrides are therefore applied first, wherever they appear in the list. The others follow in
    order, and the last one of a path wins. Setting a `type` to its present value changes nothing.

    Args:
        data: nested dicts as returned by `to_dict` or `load_yaml`; fields may be absent.
        overrides: strings `path=value`. A path consists of field names joined by dots. An element
            of a list is named by its index, or by its `type` if only one element has it, as in
            `transforms.Mosaic.probability=0.5`.
        example: valid override, shown as the fix of one that is not `path=value`.

    Raises:
        ConfigError: an override is not `path=value`, its value is not YAML, or its path leads into
            a number, or to an index that a list does not have.

    Example:
        >>> vg.config.apply_overrides({"training": {"epochs": 100}}, ["training.epochs=50"])
        {'training': {'epochs': 50}}
    """
    result: dict[str, Any] = deepcopy(dict(data))
    parsed = [_parsed(override, example) for override in overrides]
    for steps, value, text in sorted(parsed, key=_types_from_the_root):
        _set(result, steps, value, text)
    return result


def as_override(path: str, value: Any) -> str:
    """Return the override that sets a field, as it is written in a shell: `levels='[p3, p4]'`.

    Args:
        path: path of the field, such as `model.head.levels`.
        value: value as `dump_scalar` accepts it.
    """
    return f"{path}={shlex.quote(dump_scalar(value))}"


_Override = tuple[list[str], Any, str]


def _types_from_the_root(override: _Override) -> tuple[bool, int]:
    # The type of an outer part first: it would otherwise discard the types set inside it.
    steps = override[0]
    is_type = steps[-1] == "type"
    return not is_type, len(steps) if is_type else 0


def _parsed(text: str, example: str) -> _Override:
    path, equals, value = text.partition("=")
    if not equals or not _PATH.fullmatch(path):
        raise ConfigError(
            f"override {text!r} is not path=value",
            rule="field names joined by dots, an equals sign without spaces, and a YAML value",
            fix=example,
        )
    steps = path.replace("[", ".").replace("]", "").split(".")
    return steps, load_scalar(value, f"override {text!r}"), text


def _set(data: dict[str, Any], steps: list[str], value: Any, text: str) -> None:
    # A new `type` replaces the whole part, so the path ends one step earlier.
    is_type = steps[-1] == "type" and len(steps) > 1
    *parents, last = steps[:-1] if is_type else steps
    container: Any = data
    for depth, step in enumerate(parents):
        container = _entered(container, step, ".".join(steps[: depth + 1]), text)
    key = _key(container, last, text)
    if is_type:
        old = container[key] if isinstance(container, list) else container.get(key)
        same = value == (old.get("type") if isinstance(old, Mapping) else old)
        value = old if same and old is not None else {"type": value}
    container[key] = value


def _entered(container: Any, step: str, path: str, text: str) -> Any:
    """Return the dict or list at `step`, creating a missing dict."""
    key = _key(container, step, text)
    inner = container[key] if isinstance(container, list) else container.get(key)
    if inner is None:
        inner = {}
    elif isinstance(inner, str):  # short form of a part: `backbone: ResNet`
        inner = {"type": inner}
    elif not isinstance(inner, (dict, list)):
        raise ConfigError(
            f"override {text!r}: {path} has no fields",
            rule="the path of a field goes through parts and lists only",
            received=f"{path} is {inner!r:.80}",
        )
    container[key] = inner
    return inner


def _key(container: Any, step: str, text: str) -> Any:
    if not isinstance(container, list):
        return step
    if step.isdecimal() and int(step) < len(container):
        return int(step)
    types = list(map(_type_of, container))
    if types.count(step) == 1:
        return types.index(step)
    if step in types:
        places = ", ".join(str(place) for place, name in enumerate(types) if name == step)
        raise ConfigError(
            f"override {text!r}: the list has several elements of the type {step}",
            rule=f"the index of one of them: {places}",
        )
    named = [name for name in types if name]
    if named:
        raise ConfigError(
            f"override {text!r}: the list has no element {step!r}",
            rule=f"an index from 0 to {len(container) - 1}, or a type",
            received=f"the types {', '.join(named)}",
            fix=nearest(step, named),
        )
    raise ConfigError(
        f"override {text!r}: the list has no index {step!r}",
        rule=f"an index from 0 to {len(container) - 1}" if container else "the list is empty",
    )


def _type_of(element: Any) -> str | None:
    """Return the type of an element of a list of typed values, written in full or as its name."""
    name = element.get("type") if isinstance(element, Mapping) else element
    return name if isinstance(name, str) else None
