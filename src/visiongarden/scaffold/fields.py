"""Fields of a component: names, types and defaults from the code, descriptions from docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MultipleOf
from pydantic.fields import FieldInfo

from visiongarden.config import Concise, Typed
from visiongarden.config.keras_signature import parameters_of

_SECTIONS = ("Attributes:", "Args:", "Arguments:")
_ENTRY = re.compile(r"(\s*)\*{0,2}(\w+(?:, ?\w+)*)(?: \([^)]*\))?:\s*(.*)")
_MISSING = inspect.Parameter.empty


@dataclass(frozen=True)
class FieldEntry:
    """A field of a component, or a parameter of its constructor.

    Attributes:
        name: Name.
        type: Type and limits as text; "" if the code does not state it.
        default: Default as text; None if the field is required.
        description: What the documentation states about it.
    """

    name: str
    type: str
    default: str | None
    description: str


def first_line(value: Any) -> str:
    """Return the first line of the documentation of a class or function itself."""
    # Not that of a base class, which describes something else.
    return inspect.cleandoc(value.__doc__ or "").partition("\n")[0]


def of_typed(cls: type[Typed]) -> Iterator[FieldEntry]:
    """Yield the fields of a typed value, required ones first."""
    texts = documented(cls)
    names = cls.field_order() if issubclass(cls, Concise) else list(cls.model_fields)
    for name in names:
        info = cls.model_fields[name]
        default = None if info.is_required() else repr(info.get_default(call_default_factory=True))
        kind = " ".join([type_text(info.annotation), *_limits(info.metadata)])
        yield FieldEntry(name, kind, default, texts.get(name, ""))


def of_values(cls: type) -> Iterator[FieldEntry]:
    """Yield the parameters of the constructor of a class, with those of its base classes."""
    texts, annotations = documented(cls), _annotations(cls)
    for name, default in parameters_of(cls).defaults.items():
        annotation = annotations.get(name, _MISSING)
        yield _parameter(name, annotation, default, texts)


def of_function(function: Callable[..., Any]) -> Iterator[FieldEntry]:
    """Yield the parameters of a function."""
    texts = _entries(function.__doc__)
    for parameter in inspect.signature(function).parameters.values():
        yield _parameter(parameter.name, parameter.annotation, parameter.default, texts)


def _parameter(name: str, annotation: Any, default: Any, texts: dict[str, str]) -> FieldEntry:
    is_required = default is _MISSING
    kind = type_text(annotation)
    if not kind and not is_required and default is not None:
        kind = type(default).__name__
    return FieldEntry(name, kind, None if is_required else repr(default), texts.get(name, ""))


def _annotations(cls: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in cls.__mro__:
        if "__init__" in vars(each) and each is not object:
            parameters = inspect.signature(vars(each)["__init__"]).parameters.values()
            found = {p.name: p.annotation for p in parameters} | found
    return found


def type_text(annotation: Any) -> str:
    """Return an annotation as text, without the modules of its names: "tuple[int > 0, ...]"."""
    if annotation is _MISSING or annotation is None:
        return "" if annotation is _MISSING else "None"
    if isinstance(annotation, list):  # the parameters of a Callable
        return f"[{', '.join(map(type_text, annotation))}]"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return " ".join([type_text(arguments[0]), *_limits(arguments[1:])])
    if origin is Literal:
        return " | ".join(map(repr, arguments))
    if origin in (Union, UnionType):
        return " | ".join(map(type_text, arguments))
    if origin is not None and arguments:
        return f"{type_text(origin)}[{', '.join(map(type_text, arguments))}]"
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"Literal\[([^\]]*)\]", lambda found: found[1].replace(", ", " | "), text)
    text = re.sub(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])", "", text)
    return {"Ellipsis": "...", "NoneType": "None"}.get(text, text)


def _limits(metadata: Iterable[Any]) -> Iterator[str]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _limits(item.metadata)
        elif isinstance(item, Gt):
            yield f"> {item.gt}"
        elif isinstance(item, Ge):
            yield f">= {item.ge}"
        elif isinstance(item, Lt):
            yield f"< {item.lt}"
        elif isinstance(item, Le):
            yield f"<= {item.le}"
        elif isinstance(item, MultipleOf) and item.multiple_of != 1:
            yield f"multiple of {item.multiple_of}"


def documented(cls: type) -> dict[str, str]:
    """Return the descriptions of fields in the docstrings of a class and its base classes."""
    found: dict[str, str] = {}
    for each in cls.__mro__:
        own = _entries(vars(each).get("__doc__"))
        init = vars(each).get("__init__")
        own |= _entries(init.__doc__) if inspect.isfunction(init) else {}
        found = own | found
    return found


def _entries(doc: str | None) -> dict[str, str]:
    """Return the entries, `name: text`, of the sections of a docstring that describe fields."""
    found: dict[str, list[str]] = {}
    inside, level = False, 0
    names: list[str] = []
    for line in inspect.cleandoc(doc or "").splitlines():
        if line and not line[0].isspace():
            inside, level, names = line.strip() in _SECTIONS, 0, []
        elif inside and line.strip():
            match = _ENTRY.fullmatch(line)
            level = level or len(line) - len(line.lstrip())
            if match and len(match[1]) == level:
                names = [name.strip() for name in match[2].split(",")]
                found |= {name: [match[3]] for name in names}
            else:
                for name in names:
                    found[name].append(line.strip())
    return {name: " ".join(part for part in lines if part) for name, lines in found.items()}
