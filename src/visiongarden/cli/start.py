"""Preparation of every command: start the backend, then import the user's modules."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from visiongarden.backends.garbage import gc_paused
from visiongarden.errors import UserError


def start(modules: list[str] | None = None, *, verbose: bool = False) -> None:
    """Start Keras without its console output, then import the user's modules.

    Args:
        modules: Names of modules. The working directory is searched too, as by `python -m`.
        verbose: Whether to print what Keras and its backend print when they start.

    Raises:
        UserError: The backend is not installed, or a module cannot be imported.
    """
    # TensorFlow logs messages for its own developers by default. It reads the level once, when it
    # is imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if verbose else "3")
    _start_backend(verbose)
    if not verbose:
        # After the import, because absl requires its own class of logger, which it creates then.
        for name in ("absl", "tensorflow", "jax"):
            logging.getLogger(name).setLevel(logging.ERROR)
    import_modules(modules)


def import_modules(modules: list[str] | None) -> None:
    """Import the user's modules, which may register readers and other classes.

    Args:
        modules: Names of modules. The working directory is searched too, as by `python -m`.

    Raises:
        UserError: A module cannot be imported.
    """
    if modules and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    for name in modules or []:
        try:
            importlib.import_module(name)
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"module {name} cannot be imported: {type(error).__name__}: {error}",
                rule="a module on Python's path or in the working directory",
                received=f"working directory {Path.cwd()}",
                fix=f"--import {name.partition(':')[0]}"
                if ":" in name
                else "run the command in the folder that contains the module"
                if isinstance(error, ModuleNotFoundError)
                else f"python -c 'import {name}'",
            ) from error


def _start_backend(verbose: bool) -> None:
    try:
        with nullcontext() if verbose else _stderr_held_back(), _imports_frozen():
            importlib.import_module("keras")
    except ImportError as error:
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        raise UserError(
            f"Keras cannot start its backend {backend}: {error}",
            rule="KERAS_BACKEND names an installed backend: tensorflow, jax or torch",
            fix=f'pip install "visiongarden[{backend}]"',
        ) from error


@contextmanager
def _imports_frozen() -> Iterator[None]:
    """Pause the garbage collector, and exempt all objects made inside from later collections.

    While modules create objects, Python repeatedly searches all of them and finds no garbage: a
    fifth to a quarter of the import time of a backend, measured, and part of the time of everything
    that follows.
    """
    with gc_paused():
        yield
        # What was imported lives until the program ends.
        gc.freeze()


@contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Hold back what libraries write to stderr while they are imported; print it on failure.

    Redirects the file descriptor, because libraries written in C++ do not write to `sys.stderr`.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(terminal, 2)
            captured.seek(0)
            sys.stderr.write(captured.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
