"""Import what a recipe names as `module:name`, and find the name of an object.

Only a transform that is run imports; a recipe, model file or dataset that is read never does.
"""

from __future__ import annotations

import importlib
import operator
import re
import sys
import types
from pathlib import Path
from typing import Any

from visiongarden.errors import ConfigError, UserError, nearest

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def checked_name(text: str) -> str:
    """Return the text if it has the form `module:name`.

    Raises:
        ConfigError: it has another form.
    """
    if _NAME.fullmatch(text):
        return text
    module, _, name = text.rpartition(":") if ":" in text else text.rpartition(".")
    module = module.removesuffix(".py").strip("./").replace("/", ".")
    fix = f"{module}:{name}"
    raise ConfigError(
        f"{text!r} is not a valid name of a Python object",
        rule="module:name, such as my_package.aug:darken",
        fix=fix if _NAME.fullmatch(fix) else "my_package.aug:darken",
    )


def imported(name: str, what: str) -> Any:
    """Import the module and return the object that `module:name` names.

    Args:
        name: name from `checked_name`.
        what: what is imported, for errors, such as "function".

    Raises:
        UserError: the module cannot be imported or has no such name.
    """
    module_name, _, path = name.partition(":")
    module = _module(module_name, name, what)
    try:
        return operator.attrgetter(path)(module)
    except AttributeError:
        names = [n for n in vars(module) if not n.startswith("_")]
        missing = nearest(path, names) if names else f"define {path} in {module_name}"
        raise UserError(
            f"the {what} {name!r} cannot be imported: {module_name} has no name {path!r}",
            rule="module:name of an object that the module defines",
            received=str(module.__file__ or module_name),
            fix=missing,
        ) from None


def _module(module: str, name: str, what: str) -> types.ModuleType:
    # An installed command does not search the working directory, as `python -m` does.
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(module)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and module.startswith(str(error.name))
        raise UserError(
            f"the {what} {name!r} cannot be imported: {type(error).__name__}: {error}",
            rule="a module that Python can import from the working directory",
            received=f"working directory {Path.cwd()}",
            fix="start from the folder that contains the package"
            if missing
            else f"python -c 'import {module}'  # and correct the error",
        ) from error


def name_of(value: Any, what: str) -> str:
    """Return `module:name` of a function or class, with which `imported` finds it again.

    Raises:
        ConfigError: it has no such name, as a lambda or a function inside a function.
    """
    if isinstance(value, types.FunctionType | types.BuiltinFunctionType | type):
        name = f"{value.__module__}:{value.__qualname__}"
        module = sys.modules.get(value.__module__)
        if _NAME.fullmatch(name) and module is not None:
            try:
                if operator.attrgetter(value.__qualname__)(module) is value:
                    return name
            except AttributeError:
                pass
    raise ConfigError(
        f"the {what} {value!r:.80} cannot be saved",
        rule="a function at the top level of a module, so that it has a name; no lambda, and no "
        "function inside a function",
        fix="def change(image, rng): ...  # in my_package/aug.py; then my_package.aug:change",
    )
