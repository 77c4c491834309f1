"""Digest of a class's source code, which ignores comments, docstrings and formatting."""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_LIBRARIES = ("visiongarden", "keras", "tensorflow", "torch", "jax", "pydantic", "builtins", "abc")
"""Packages whose classes are not digested.

Their code changes only with the version of the package, and parsing it would take longer than
opening the model file.
"""
_MAX_SOURCE = 4 * 2**20


def is_custom(cls: type) -> bool:
    """Return whether a class is defined outside of visiongarden and the libraries it builds on."""
    return cls.__module__.partition(".")[0] not in _LIBRARIES


@functools.cache
def source_digest(cls: type) -> str | None:
    """Return a digest of the source code that determines how a custom class behaves.

    It covers the class, its custom base classes, and the functions, classes and constants of their
    modules that they refer to.

    Returns:
        Sixteen hexadecimal digits, or None if a source file is not available, for example for a
        class that was entered in an interactive session.
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


def module_file(name: str) -> str | None:
    """Return the file of an imported module; None if the module is built in or not imported."""
    # Modules of Python itself, and namespaces, have no file.
    return getattr(sys.modules.get(name), "__file__", None)


@functools.cache
def _module(name: str) -> ast.Module | None:
    file = module_file(name)
    try:
        path = Path(file or "")
        if path.suffix != ".py" or path.stat().st_size > _MAX_SOURCE:
            return None
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None


def _find(node: Any, steps: list[str]) -> Any:
    """Return the definition with a qualified name; the last one if the name is defined twice."""
    for step in steps:
        if step == "<locals>":  # part of the qualified name of a class defined in a function
            continue
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        inside = [n for n in ast.walk(node) if isinstance(n, kinds) and n.name == step]
        if not inside:
            return None
        node = inside[-1]
    return node


def _with_used(tree: ast.Module, found: Any) -> list[Any]:
    """Return a definition and those of its module that it uses, directly or indirectly."""
    defined: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            # Decorated classes are usually registered ones, which have a separate digest.
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
    """Return a syntax tree as text that does not depend on the version of Python.

    Empty fields are omitted, because Python versions differ in which of them they have. `ast.dump`
    would include docstrings and, depending on the version, empty fields.
    """
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
