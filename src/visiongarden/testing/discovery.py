"""Which classes of a module are there to be checked, and the check of all of them."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

from visiongarden import registry
from visiongarden.errors import UserError, nearest
from visiongarden.parts import Part
from visiongarden.testing.checking import check_many
from visiongarden.testing.explain import told
from visiongarden.testing.report import Report


def discover(target: str) -> list[type]:
    """The layers, parts and models that a module defines; the module is imported, and so is run.

    Registered classes of the module and of its submodules that it imports; also public layers that
    nothing derives from and that are not registered, which is then their fault.

    Args:
        target: `package.module`, or `package.module:Name` for one class.

    Raises:
        UserError: the module does not import, has no such class, or defines nothing to check.

    Example:
        >>> discover("visiongarden.blocks.spp")
        [<class 'visiongarden.blocks.spp.SPP'>, <class 'visiongarden.blocks.spp.SPPF'>]
    """
    name, colon, wanted = target.partition(":")
    module = _imported(name)
    found = _classes(name)
    if colon:
        return [_one(module, wanted, found)]
    if not found:
        raise UserError(
            f"{name} defines no layer, part or model",
            rule="a registered class that the module, or a module below it, defines",
            fix='put @vg.register(package="my_project") above the class',
        )
    return found


def check_module(
    target: str, *, backends: Sequence[str] | None = None, skip: Sequence[str] = ()
) -> list[Report]:
    """Checks every class that `discover` finds, with one fresh process a backend.

    Args:
        target: as of `discover`.
        backends: as of `check`; "all" takes those that are installed.
        skip: as of `check`.
    """
    if backends == "all":
        from visiongarden.testing.fresh import installed

        backends = installed()
    return check_many(discover(target), backends=backends, skip=skip)


def _imported(name: str) -> ModuleType:
    if not name or not all(step.isidentifier() for step in name.split(".")):
        fix = name.removesuffix(".py").strip("./").replace("/", ".")
        raise UserError(
            f"{name!r} is no module",
            rule="a name as in `import my_project.blocks`, not a file",
            fix=fix if fix and all(step.isidentifier() for step in fix.split(".")) else None,
        )
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and name.startswith(str(error.name))
        raise UserError(
            f"{name} does not import: {told(error)}",
            rule="a module that Python finds from the working directory, and that runs",
            received=f"working directory {Path.cwd()}",
            fix="start in the folder that holds the package"
            if missing
            else f"python -c 'import {name}'",
        ) from error


def _classes(name: str) -> list[type]:
    modules = [m for n, m in list(sys.modules.items()) if n == name or n.startswith(f"{name}.")]
    found: dict[type, None] = {}
    for module in modules:
        for value in list(vars(module).values()):
            if _is_checkable(value) and value.__module__ == module.__name__:
                found[value] = None
    return sorted(found, key=lambda cls: (cls.__module__, _line(cls)))


def _is_checkable(value: Any) -> bool:
    if not isinstance(value, type) or not issubclass(value, (keras.Layer, Part)):
        return False
    known = registry.key_of(value) or keras.saving.get_registered_name(value) != value.__name__
    # A base that others derive from is not there to be built.
    leaf = not value.__subclasses__() and not value.__name__.startswith("_")
    return bool(known) or leaf


def _line(cls: type) -> int:
    try:
        return inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):
        return 0


def _one(module: ModuleType, name: str, found: list[type]) -> type:
    cls = getattr(module, name, None)
    if isinstance(cls, type) and issubclass(cls, (keras.Layer, Part)):
        return cls
    names = [cls.__name__ for cls in found]
    raise UserError(
        f"{module.__name__} has no layer, part or model {name!r}",
        fix=nearest(name, names) if names else f"define a class {name} there",
    )
