"""Validation of names for new classes and modules, and their spelling in both forms."""

from __future__ import annotations

import ast
import importlib.util
import keyword
import re
import sys
from dataclasses import dataclass
from importlib.resources import files

from visiongarden.errors import UserError
from visiongarden.kinds import KINDS

_PACKAGES = (
    *("layers", "blocks", "backbones", "decoders", "heads", "losses", "assigners", "postprocess"),
    *("transforms", "tasks", "metrics", "training", "exporters"),
)
_MAX_LENGTH = 32
_BASES = [base.partition(":")[2] for kind in KINDS.values() for base in kind.bases]
_BASE_CLASSES = ("Block", "Detector", "Part", *_BASES)


@dataclass(frozen=True)
class NameForms:
    """Name in the forms of a class and of a module.

    Attributes:
        class_name: CamelCase form, such as "GatedUnit".
        module: snake_case form, such as "gated_unit".
    """

    class_name: str
    module: str


def name_forms(name: str) -> NameForms:
    """Convert a name to its class and module forms.

    Args:
        name: Name in CamelCase, snake_case or with dashes.

    Returns:
        The name in both forms.

    Raises:
        UserError: If the name is not a valid identifier, is too long, is a Python keyword, or is
            already the name of a base class or component of visiongarden.
    """
    text = name.replace("-", "_")
    camel = "".join(word[:1].upper() + word[1:] for word in text.split("_"))
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text).lower()
    suggestion = _suggestion(name)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", text) or text.endswith("_") or "__" in text:
        raise UserError(
            f"{name!r} is not a valid name for a class or a module",
            rule="letters, digits and single underscores, starting with a letter",
            fix=suggestion or "GatedUnit",
        )
    if len(text) > _MAX_LENGTH:
        raise UserError(f"the name {text!r} is longer than {_MAX_LENGTH} characters", fix=text[:16])
    if keyword.iskeyword(snake) or keyword.iskeyword(text) or keyword.iskeyword(camel):
        raise UserError(f"{name!r} is a Python keyword", fix=f"My{camel}")
    if camel in _BASE_CLASSES:
        raise UserError(f"{camel} is the name of a base class of visiongarden", fix=f"My{camel}")
    for package in _PACKAGES:
        if camel in _public(package):
            raise UserError(
                f"the name {camel} is already used in visiongarden.{package}",
                rule="a unique name, because recipes refer to classes by name",
                fix=f"My{camel}",
            )
    return NameForms(camel, snake)


def reject_known_module(name: str) -> None:
    """Raise if `import name` would find an existing module.

    Args:
        name: Name of the new module.

    Raises:
        UserError: If a module of Python or of an installed package has this name.
    """
    known = name in sys.stdlib_module_names or name in sys.builtin_module_names
    if not known and name not in sys.modules:
        try:
            known = importlib.util.find_spec(name) is not None
        except (ImportError, ValueError):
            known = False
    if known or name in sys.modules:
        raise UserError(
            f"the name {name!r} is already used: `import {name}` finds another module",
            rule="a name that no other importable module has",
            fix=f"my_{name}",
        )


def _suggestion(name: str) -> str:
    return "_".join(re.findall(r"[A-Za-z0-9]+", name)).lstrip("0123456789_")


def _public(package: str) -> set[str]:
    """Return the names in `__all__` of a package.

    They are read from its source, because importing it would start a backend.
    """
    tree = ast.parse(files("visiongarden").joinpath(package, "__init__.py").read_text("utf-8"))
    return {
        str(ast.literal_eval(item))
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)
        for item in node.value.elts
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)
    }
