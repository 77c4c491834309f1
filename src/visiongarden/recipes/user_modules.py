"""`user_modules`: what another process has to import before it trains a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from visiongarden.errors import UserError
from visiongarden.registry import registered
from visiongarden.tasks import Task


def user_modules(recipe: Mapping[str, Any]) -> list[str]:
    """Return the modules that define the custom classes and functions of a recipe.

    Args:
        recipe: Fields of the recipe.

    Raises:
        UserError: A class or a function that the recipe names is defined where no module can be
            imported, in a script or a notebook.
    """
    names = set(_names_in(recipe))
    found = {name.partition(":")[0] for name in names if ":" in name}
    for name, module in _named(names, recipe.get("task")):
        if module.partition(".")[0] in ("visiongarden", "keras"):
            continue
        if module == "__main__":
            raise UserError(
                f"{name} is defined in a script or a notebook",
                rule="a module that other processes can import",
                fix="move it into a separate module, and import this module",
            )
        found.add(module)
    return sorted(found)


def _named(names: set[str], task: Any) -> Iterator[tuple[str, str]]:
    """Yield name and module of the registered classes and functions that a recipe names."""
    known = registered()
    for entry in known.values():
        if {entry.key, entry.key.split(">")[-1]} & names:
            yield entry.cls.__name__, entry.module
    for key, registered_with_keras in keras.saving.get_custom_objects().items():
        if key in names and key not in known:
            yield registered_with_keras.__name__, registered_with_keras.__module__
    if task is not None:
        found = Task.find(task)
        yield found.__name__, found.__module__


def _names_in(value: Any) -> Iterator[str]:
    """Yield what may name a class or a function: types, and keys such as `my_project>relu`."""
    if isinstance(value, Mapping):
        if isinstance(value.get("type"), str):
            yield value["type"]
        for each in value.values():
            yield from _names_in(each)
    elif isinstance(value, str):
        if ">" in value:
            yield value
    elif isinstance(value, Sequence):
        for each in value:
            yield from _names_in(each)
