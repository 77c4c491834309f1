"""Read and write YAML restricted to plain data, with errors that name line and column.

Recipes come from other people, so the loader refuses tags, references (`${x}`), repeated keys and
aliases that expand to very many values. Scalars follow YAML 1.2, where `no` is text. OmegaConf was
rejected: it resolves `${oc.env:HOME}` in a file into the reader's environment, reads `no`, `010`
and `1:30` as False, 8 and 90, and costs 74 ms of start-up time instead of 35 ms.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from visiongarden.config.value import Value
from visiongarden.errors import ConfigError
from visiongarden.storage import atomic_write

MAX_BYTES = 256 * 1024
"""Largest size of YAML text that is read; recipes have a few kilobytes."""

MAX_DEPTH = 40
"""Deepest nesting that is read; PyYAML composes nodes recursively."""

MAX_NODES = 20_000
"""Largest number of values that are read. An alias counts with all its values at each use, because
a few lines of nested aliases can stand for billions of values ("billion laughs")."""

# Scalars of YAML 1.2's core schema. PyYAML implements 1.1, which reads `no` as False, `1:30` as 90,
# `2024-01-01` as a date and `1e-3` as text. Each entry has a pattern and its first characters, by
# which PyYAML selects the patterns to try.
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
    """Read one YAML mapping.

    Args:
        path_or_text: a `Path`, or a string of one line that ends with .yaml or .yml, names a file.
            Any other string is YAML text.

    Returns:
        Dicts, lists, strings, numbers, booleans and None; `{}` for empty input.

    Raises:
        ConfigError: the file does not exist, or the text is not YAML, is not a mapping, is too
            large or too deeply nested, or has a repeated key, a tag (`!x`) or a reference (`${x}`).

    Example:
        >>> vg.config.load_yaml("levels: [p3, p4]")
        {'levels': ['p3', 'p4']}
    """
    name, text = _read(path_or_text)
    data = _load(text, name)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(
            f"{name} is not a mapping",
            rule="a mapping of fields, `name: value`",
            received=f"{data!r:.80}",
            fix="training: {epochs: 50}",
        )
    return data


def load_scalar(text: str, name: str) -> Any:
    """Parse one YAML value: `"50"` is the number 50, `"[p3, p4]"` a list of two strings.

    Args:
        text: YAML text.
        name: source of the text, for error messages.

    Raises:
        ConfigError: as `load_yaml`.
    """
    return _load(text, name)


def dump_scalar(value: Any) -> str:
    """Return a value as one line of YAML, which `load_scalar` reads: `[p3, p4]`.

    Args:
        value: number, text or `Value`, or a list, tuple or dict of such values; any other object is
            written as its text.
    """

    def plain(other: Any) -> Any:
        return other.to_dict() if isinstance(other, Value) else str(other)

    # JSON turns tuples into lists.
    data = json.loads(json.dumps(value, default=plain))
    text: str = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6,
        default_flow_style=True,
    )  # fmt: skip
    return text.removesuffix("\n").removesuffix("\n...")


def dump_yaml(value: Value | Mapping[str, Any]) -> str:
    """Return YAML text from which `load_yaml` reads the same dict, with the fields in their order.

    Raises:
        ConfigError: the dict contains objects that YAML cannot represent, or text with `${`, which
            `load_yaml` refuses.
    """
    data = value.to_dict() if isinstance(value, Value) else dict(value)
    try:
        text: str = yaml.dump(
            data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100,
            default_flow_style=None,
        )  # fmt: skip
    except yaml.YAMLError as error:
        raise ConfigError(
            "the value cannot be written as YAML",
            rule="dicts, lists, strings, numbers, booleans and None",
            received=str(error),
        ) from None
    load_yaml(text)  # raises where the text could not be read again
    return text


def save_yaml(path: str | Path, value: Value | Mapping[str, Any]) -> None:
    """Write `dump_yaml(value)` to a file atomically.

    Raises:
        ConfigError: as `dump_yaml`.
        OSError: the file cannot be written.
    """
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
    if path.is_fifo():  # opening a pipe blocks until another process writes into it
        raise ConfigError(f"cannot read {path}: it is a pipe", rule="a regular file")
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise ConfigError(f"cannot read {path}: {reason}", fix="check the path") from None
    _refuse_large(len(raw), str(path))
    try:
        return str(path), raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 text", fix="save the file as UTF-8") from None


def _refuse_large(size: int, name: str) -> None:
    if size > MAX_BYTES:
        raise ConfigError(f"{name} is too large for YAML", rule=f"at most {MAX_BYTES // 1024} KiB")


def _load(text: str, name: str) -> Any:
    loader = None
    try:
        loader = _Loader(text)
        return _unshared(loader.get_single_data())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise ConfigError(
            f"{place}: {error.problem or error.context}",
            rule="valid YAML",
            fix="correct the file at this position",
        ) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"{name}:{line}: character {error.character!r:.20} is not allowed"
        ) from None
    except (ValueError, RecursionError) as error:  # `int` refuses more than 4,300 digits
        raise ConfigError(f"{name} is not YAML: {str(error).splitlines()[0]}") from None
    finally:
        if loader is not None:
            loader.dispose()


def _unshared(data: Any) -> Any:
    """Copy the data so that aliases share no objects and an override changes one place only."""
    if isinstance(data, dict):
        return {key: _unshared(item) for key, item in data.items()}
    if isinstance(data, list):
        return [_unshared(item) for item in data]
    return data


def _error(mark: yaml.Mark, text: str) -> yaml.MarkedYAMLError:
    return yaml.composer.ComposerError(problem=text, problem_mark=mark)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without tags and references, with limits on size and depth."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own attribute)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose one node, checking its depth and its size with all aliases expanded."""
        event = self.peek_event()
        tagged = isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent)
        if tagged and event.tag is not None:
            raise _error(event.start_mark, "tags such as !x are not supported: write plain values")
        if self._depth == MAX_DEPTH:
            raise _error(event.start_mark, f"nested more than {MAX_DEPTH} levels deep")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if not isinstance(event, yaml.AliasEvent):
            self._sizes[id(node)] = self._size(node)
        elif id(node) not in self._sizes:  # the anchor's node is still being composed: a cycle
            raise _error(
                event.start_mark, f"alias *{event.anchor} refers to a value that contains it"
            )
        if self._sizes[id(node)] > MAX_NODES:
            raise _error(
                event.start_mark, f"more than {MAX_NODES} values with all aliases expanded"
            )
        return node

    def _size(self, node: yaml.Node) -> int:
        if isinstance(node, yaml.MappingNode):
            _refuse_duplicate_keys(node)
            return 1 + sum(self._sizes[id(child)] for pair in node.value for child in pair)
        if isinstance(node, yaml.SequenceNode):
            return 1 + sum(self._sizes[id(child)] for child in node.value)
        if "${" in node.value:
            text = "references such as ${name} are not supported: write the value"
            raise _error(node.start_mark, text)
        return 1


def _refuse_duplicate_keys(node: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _error(key.start_mark, "a key must be a name, not a list or a mapping")
        line = key.start_mark.line + 1
        if key.value in lines:
            text = f"duplicate key {key.value!r}; first defined in line {lines[key.value]}"
            raise _error(key.start_mark, text)
        lines[key.value] = line


class _Dumper(yaml.SafeDumper):
    """Safe dumper that quotes text which YAML 1.1 or `load_yaml` would read as another type."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write a value that is used twice in full, instead of an anchor `&id001` and an alias."""
        return True

    def represent_text(self, text: str) -> yaml.Node:
        """Quote text with Unicode's own line breaks, which YAML readers fold into spaces."""
        style = '"' if re.search("[\x85\u2028\u2029]", text) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _Dumper.represent_text)
for _kind, (_pattern, _first) in _SCALARS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_kind}", re.compile(rf"(?:{_pattern})\Z"), _first
        )
