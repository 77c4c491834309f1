"""Versions of Keras and of the backends for which the private names in use were tested.

A minor release may rename or change what is private without notice. `tests/backends` therefore
checks each assumption of `assumptions.py` on the installed versions; those that pass are listed
here. With any other version, ordinary paths replace the fast ones, which one warning reports.
"""

from __future__ import annotations

import functools
import importlib
import warnings

TESTED: dict[str, tuple[str, ...]] = {
    "keras": ("3.15",),
    "tensorflow": ("2.21",),
    "jax": ("0.10",),
    "torch": ("2.14", "2.13"),
}
"""Tested minor releases of each library; the last one is that of constraints.txt."""


class UntestedVersionWarning(UserWarning):
    """Warning that a library has a version for which the fast paths were not tested."""


def version_of(library: str) -> str:
    """Return the version of an imported library, or of one that this call imports."""
    return str(importlib.import_module(library).__version__)


@functools.cache
def is_tested(library: str) -> bool:
    """Return whether the minor release of a library is one of those that were tested."""
    return ".".join(version_of(library).split(".")[:2]) in TESTED[library]


@functools.cache
def warn_of_untested() -> None:
    """Warn of the untested ones among Keras and the backend in use, once in a process."""
    import keras

    libraries = {"keras", keras.backend.backend()} & TESTED.keys()
    found = [library for library in sorted(libraries) if not is_tested(library)]
    warnings.warn(
        f"visiongarden has not been tested with {names(found)}; ordinary code replaces its fast "
        f"paths. For the fast paths: {requirements(found)}",
        UntestedVersionWarning,
        stacklevel=3,
    )


def names(libraries: list[str]) -> str:
    """Return the names of libraries with their versions: "jax 0.11.0 and keras 3.16.0"."""
    return " and ".join(f"{library} {version_of(library)}" for library in libraries)


def requirements(libraries: list[str]) -> str:
    """Return the command that installs tested versions of libraries."""
    return "pip install " + " ".join(f'"{each}=={TESTED[each][-1]}.*"' for each in libraries)
