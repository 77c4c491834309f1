"""YAML in and out: only data, no surprises, and errors that name line and column."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from visiongarden.config.value import Value
from visiongarden.errors import ConfigError
from visiongarden.storage import atomic_write

MOST_BYTES = 256 * 1024
"""Largest text that is read: a recipe has a few kilobytes."""

MOST_DEPTH = 40
"""Deepest nesting that is read."""

MOST_NODES = 20_000
"""Most values that are read, an alias counted each time it is used."""

# YAML 1.2's core schema, not 1.1: `no`, `on`, `1:30` and `2024-01-01` are text, `1e-3` a number.
_SCALARS: dict[str, tuple[str, list[str]]] = {
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+0123456789."),
    ),
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "merge": (r"<<", ["<"]),
}


def load_yaml(path_or_text: str | Path) -> dict[str, Any]:
    """Reads one YAML mapping.

    Args:
        path_or_text: a `Path`, or one line that ends with .yaml or .yml, is a file; other strings
            are the YAML itself.

    Returns:
        Plain dicts, lists, strings, numbers, booleans and None. Empty input gives `{}`.

    Raises:
        ConfigError: no such file, too large or too deep, not YAML, not a mapping, a key twice, a
            tag (`!x`), or a reference (`${x}`): files hold values, and nothing in them is run.
    """
    name, text = _read(path_or_text)
    data = _load(text, name)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(
            f"{name} holds no fields", rule="a mapping, `name: value`", received=f"{data!r:.80}"
        )
    return data


def load_scalar(text: str, name: str) -> Any:
    """The value that a piece of YAML spells: `"50"` → 50, `"[p3, p4]"` → a list of two strings.

    Args:
        text: the YAML.
        name: where it comes from, for messages.
    """
    return _load(text, name)


def dump_yaml(value: Value | Mapping[str, Any]) -> str:
    """YAML text from which `load_yaml` gives the same dict; fields keep their order.

    Raises:
        ConfigError: the dict holds what YAML cannot, or text with `${`, which is not read back.
    """
    data = value.to_dict() if isinstance(value, Value) else dict(value)
    try:
        text: str = yaml.dump(
            data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100,
            default_flow_style=None,
        )  # fmt: skip
    except yaml.YAMLError as error:
        raise ConfigError(
            "cannot be written as YAML",
            rule="dicts, lists, strings, numbers, booleans and None",
            received=str(error),
        ) from None
    load_yaml(text)
    return text


def save_yaml(path: str | Path, value: Value | Mapping[str, Any]) -> None:
    """Writes `dump_yaml(value)`; a file of that name is replaced at once or not at all."""
    atomic_write(path, dump_yaml(value))


def _read(path_or_text: str | Path) -> tuple[str, str]:
    is_file = isinstance(path_or_text, Path) or (
        "\n" not in path_or_text and path_or_text.strip().lower().endswith((".yaml", ".yml"))
    )
    if not is_file:
        text = str(path_or_text)
        _refuse_large(len(text), "text")
        return "text", text
    path = Path(path_or_text)
    if path.is_fifo():  # nobody may write into it, and reading would never end
        raise ConfigError(f"cannot read {path}: it is a pipe", rule="a file")
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read {path}: {reason}") from None
    _refuse_large(len(raw), str(path))
    try:
        return str(path), raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 text") from None


def _refuse_large(size: int, name: str) -> None:
    if size > MOST_BYTES:
        raise ConfigError(f"{name} is too large for YAML", rule=f"at most {MOST_BYTES // 1024} KiB")


def _load(text: str, name: str) -> Any:
    loader = None
    try:
        loader = _Loader(text)
        return _unshared(loader.get_single_data())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise ConfigError(f"{place}: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"{name}:{line}: character {error.character!r:.20} is not allowed"
        ) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits
        raise ConfigError(f"{name} is not YAML: {str(error).splitlines()[0]}") from None
    finally:
        if loader is not None:
            loader.dispose()


def _unshared(data: Any) -> Any:
    """A copy in which an alias is its own object, so that changing one place changes only it."""
    if isinstance(data, dict):
        return {key: _unshared(item) for key, item in data.items()}
    if isinstance(data, list):
        return [_unshared(item) for item in data]
    return data


def _fault(mark: yaml.Mark, text: str) -> yaml.MarkedYAMLError:
    return yaml.composer.ComposerError(problem=text, problem_mark=mark)


class _Loader(yaml.SafeLoader):
    """The safe loader, with what a recipe does not need taken out and with limits."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own attribute)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Builds one node; counts depth, and size with aliases written out."""
        event = self.peek_event()
        if getattr(event, "tag", None) is not None:
            raise _fault(event.start_mark, "tags such as !x are not supported: write plain values")
        if self._depth == MOST_DEPTH:
            raise _fault(event.start_mark, f"nested more than {MOST_DEPTH} deep")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if not isinstance(event, yaml.AliasEvent):
            self._sizes[id(node)] = self._size(node)
        elif id(node) not in self._sizes:
            raise _fault(event.start_mark, f"alias *{event.anchor} stands inside what it names")
        if self._sizes[id(node)] > MOST_NODES:
            raise _fault(event.start_mark, f"more than {MOST_NODES} values, aliases written out")
        return node

    def _size(self, node: yaml.Node) -> int:
        if isinstance(node, yaml.MappingNode):
            _refuse_second_key(node)
            return 1 + sum(self._sizes[id(child)] for pair in node.value for child in pair)
        if isinstance(node, yaml.SequenceNode):
            return 1 + sum(self._sizes[id(child)] for child in node.value)
        if "${" in node.value:
            text = "references such as ${name} are not supported: write the value"
            raise _fault(node.start_mark, text)
        return 1


def _refuse_second_key(node: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _fault(key.start_mark, "a key is a name, not a list or a mapping")
        line = key.start_mark.line + 1
        if key.value in lines:
            text = f"key {key.value!r} stands twice; first in line {lines[key.value]}"
            raise _fault(key.start_mark, text)
        lines[key.value] = line


class _Dumper(yaml.SafeDumper):
    """Quotes text that either YAML 1.1 or our loader would take for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never writes `&id001`: a value used twice is written twice."""
        return True

    def represent_text(self, text: str) -> yaml.Node:
        """Escapes the line breaks that only Unicode knows, which a reader would make spaces."""
        style = '"' if re.search("[\x85\u2028\u2029]", text) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _Dumper.represent_text)
for _kind, (_pattern, _first) in _SCALARS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_kind}", re.compile(rf"(?:{_pattern})\Z"), _first
        )
