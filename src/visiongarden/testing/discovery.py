"""Discovery of the components of a module, and the check of them."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

from visiongarden import registry
from visiongarden.errors import UserError, nearest
from visiongarden.testing.checking import check_many, check_one
from visiongarden.testing.component_checking import kind_of
from visiongarden.testing.explain import describe
from visiongarden.testing.report import ModuleReport, Report


def discover(target: str) -> list[Any]:
    """List the components that a module defines: classes of all kinds, and activations.

    The module is imported, and its code runs. The result contains the registered classes of the
    module and of the submodules that it imports. It also contains unregistered classes that are
    public and have no subclasses; the check `registered` then fails for them.

    Args:
        target: `package.module`, or `package.module:Name` for one class.

    Returns:
        Classes sorted by module and by line of their definition.

    Raises:
        UserError: If the module cannot be imported, has no class of that name, or defines nothing
            to check.

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
            f"{name} defines no component",
            rule="a registered class defined in the module or in one of its submodules",
            fix='put @vg.register(package="my_project") above the class',
        )
    return found


def check(
    target: Any,
    inputs: Any = None,
    *,
    config: Mapping[str, Any] | None = None,
    backends: Sequence[str] | None = None,
    skip: Sequence[str] = (),
    **arguments: Any,
) -> Report | ModuleReport:
    """Check a component, or all that a module defines.

    Args:
        target: Class or instance to check, or `package.module` or `package.module:Name`, which is
            imported. For a class, missing required constructor arguments and missing inputs are
            guessed from names, annotations and trial calls. A class can state them itself with the
            attribute `examples = {"config": {...}, "inputs": (2, 16, 24, 8), "skip": [...]}`.
        inputs: Array, shape including the batch axis, `FeatureSpec`, or a list or dict of these. A
            list is spread over the arguments of `call` if `call` takes several tensors.
        config: Constructor arguments as a dict. Use it for arguments whose names collide with
            parameters of this function.
        backends: Backends on which fresh processes reopen the saved model. None uses the current
            backend, "all" every installed one, and `()` starts no process.
        skip: Names of checks to skip.
        **arguments: Constructor arguments.

    Returns:
        A report with one finding per check; for a module, one report per class. Bugs are reported
        as findings and never raised.

    Raises:
        UserError: If the target is no component, if a constructor argument
            cannot be guessed, if the inputs have the wrong rank, or if a check or backend does not
            exist.

    Example:
        >>> vg.check(vg.blocks.Residual, (2, 16, 24, 8), filters=8, backends=()).ok
        True
    """
    options: dict[str, Any] = {"backends": backends, "skip": skip}
    given = dict(config or {}) | arguments
    if not isinstance(target, str):
        return check_one(target, inputs, config=given, **options)
    reports = check_module(target, inputs=inputs, config=given, **options)
    return reports[0] if ":" in target else ModuleReport(target, tuple(reports))


def check_module(
    target: str,
    *,
    backends: Sequence[str] | None = None,
    skip: Sequence[str] = (),
    inputs: Any = None,
    config: Mapping[str, Any] | None = None,
) -> list[Report]:
    """Check every class that `discover` finds, with one fresh process per backend.

    A class that cannot be constructed, for example because an argument cannot be guessed, gets a
    report with the failed finding `arguments`; the other classes are still checked.

    Args:
        target: `package.module`, or `package.module:Name`, as in `discover`.
        backends: Backends of the fresh processes, as in `check_one`.
        skip: Names of checks to skip.
        inputs: Inputs for every class, as in `check_one`.
        config: Constructor arguments. Each class receives those that its constructor accepts.

    Returns:
        One report per class, in the order of `discover`.

    Raises:
        UserError: If `discover` fails, or if no class accepts one of the arguments in `config`.
    """
    classes = discover(target)
    arguments = dict(config or {})
    accepted = {
        cls: {n: v for n, v in arguments.items() if n in _parameters(cls)} for cls in classes
    }
    for name in arguments:
        if not any(name in own for own in accepted.values()):
            known = sorted({parameter for cls in classes for parameter in _parameters(cls)})
            raise UserError(
                f"no class in {target} has a constructor argument {name!r}",
                fix=nearest(name, known),
            )
    items = [{"source": cls, "inputs": inputs, "config": accepted[cls]} for cls in classes]
    return check_many(items, backends=backends, skip=skip, keep_going=True)


def _parameters(cls: type) -> list[str]:
    return list(inspect.signature(cls).parameters)


def _imported(name: str) -> ModuleType:
    """Import a module; turn every error on the way into a `UserError`."""
    is_file = name.endswith(".py") or "/" in name
    if is_file or not all(step.isidentifier() for step in name.split(".")):
        fix = name.removesuffix(".py").strip("./").replace("/", ".")
        raise UserError(
            f"{name!r} is not a module name",
            rule="the dotted name of a module, such as my_project.blocks, not a file",
            fix=fix if fix and all(step.isidentifier() for step in fix.split(".")) else None,
        )
    # An installed command does not search the working directory, as `python -m` does.
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and name.startswith(str(error.name))
        raise UserError(
            f"the module {name} cannot be imported: {describe(error)}",
            rule="a module that Python can import from the working directory",
            received=f"working directory {Path.cwd()}",
            fix="run the command in the folder that contains the package"
            if missing
            else f"python -c 'import {name}'",
        ) from error


def _classes(name: str) -> list[Any]:
    modules = [m for n, m in list(sys.modules.items()) if n == name or n.startswith(f"{name}.")]
    found: dict[Any, None] = {}
    for module in modules:
        for value in list(vars(module).values()):
            if _is_checkable(value) and value.__module__ == module.__name__:
                found[value] = None
    return sorted(found, key=lambda cls: (cls.__module__, _line(cls)))


def _is_checkable(value: Any) -> bool:
    """Return whether a value is a registered component, or a public one without subclasses."""
    if inspect.isfunction(value):
        return kind_of(value) is not None
    if not isinstance(value, type) or kind_of(value) is None:
        return False
    known = registry.key_of(value) or keras.saving.get_registered_name(value) != value.__name__
    # An unregistered class with subclasses is a base class, which is not meant to be built.
    leaf = not value.__subclasses__() and not value.__name__.startswith("_")
    # Any class may have the methods of a metric.
    return bool(known) or (leaf and kind_of(value) != "metric")


def _line(cls: Any) -> int:
    try:
        return inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):
        return 0


def _one(module: ModuleType, name: str, found: list[Any]) -> Any:
    # The name comes from the user.
    cls = getattr(module, name, None)
    if cls is not None and kind_of(cls) is not None:
        return cls
    names = [cls.__name__ for cls in found]
    raise UserError(
        f"{module.__name__} defines no component named {name!r}",
        fix=nearest(name, names) if names else f"define a class {name} there",
    )
