"""Digest of a class's source: changes with its code, not with comments, docstrings or layout."""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_LIBRARIES = ("visiongarden", "keras", "tensorflow", "torch", "jax", "pydantic", "builtins", "abc")
"""Packages whose classes have a version instead; parsing our own would take longer than opening."""
_MOST_SOURCE = 4 * 2**20


def is_custom(cls: type) -> bool:
    """Whether a class is the user's own."""
    return cls.__module__.partition(".")[0] not in _LIBRARIES


@functools.cache
def source_digest(cls: type) -> str | None:
    """Digest of the class, of its own bases, and of what they use of their modules.

    None where a source is not to be found, as of a class typed into an interpreter.
    """
    digest = hashlib.sha256()
    for each in cls.__mro__:
        if is_custom(each):
            text = _text_of(each)
            if text is None:
                return None
            digest.update(text.encode())
    return digest.hexdigest()[:16]


def _text_of(cls: type) -> str | None:
    tree = _module(cls.__module__)
    found = None if tree is None else _find(tree, cls.__qualname__.split("."))
    if tree is None or found is None:
        return None
    return "\n".join(_canonical(node) for node in _with_used(tree, found))


@functools.cache
def _module(name: str) -> ast.Module | None:
    file = getattr(sys.modules.get(name), "__file__", None)
    try:
        path = Path(file or "")
        if path.suffix != ".py" or path.stat().st_size > _MOST_SOURCE:
            return None
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None


def _find(node: Any, steps: list[str]) -> Any:
    """The definition of that qualified name; the last one, where a name is defined twice."""
    for step in steps:
        if step == "<locals>":
            continue
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        inside = [n for n in ast.walk(node) if isinstance(n, kinds) and n.name == step]
        if not inside:
            return None
        node = inside[-1]
    return node


def _with_used(tree: ast.Module, found: Any) -> list[Any]:
    """The definition, and the functions, classes and constants of its module that it uses."""
    defined: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            # A decorated class is a registered one, as a rule, which has a digest of its own.
            if not (isinstance(node, ast.ClassDef) and node.decorator_list):
                defined[node.name] = node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined |= {t.id: node for t in targets if isinstance(t, ast.Name)}
    used, left = [found], [found]
    while left:
        for name in _names(left.pop()):
            other = defined.get(name)
            if other is not None and all(other is not each for each in used):
                used.append(other)
                left.append(other)
    return used


def _names(node: Any) -> Iterator[str]:
    seen = dict.fromkeys(n.id for n in ast.walk(node) if isinstance(n, ast.Name))
    return iter(seen)


def _canonical(value: Any) -> str:
    """The tree as text: without empty fields, which versions of Python write differently."""
    if isinstance(value, list):
        return f"[{','.join(map(_canonical, value))}]"
    if not isinstance(value, ast.AST):
        return repr(value)
    fields = []
    for name, field in ast.iter_fields(value):
        if name == "body" and isinstance(field, list) and _has_docstring(value):
            field = field[1:]
        if name not in ("type_comment", "kind", "ctx") and field not in (None, []):
            fields.append(f"{name}={_canonical(field)}")
    return f"{type(value).__name__}({','.join(fields)})"


def _has_docstring(node: Any) -> bool:
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None
