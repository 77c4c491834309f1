"""What every command does before its work: starts the backend, imports the person's modules."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from visiongarden.backends.garbage import uncollected
from visiongarden.errors import UserError


def start(modules: list[str] | None = None) -> None:
    """Starts Keras quietly, then imports modules of the person's own.

    Args:
        modules: names; the working directory counts, as for `python -m`.

    Raises:
        UserError: the backend is not installed, or a module cannot be imported.
    """
    _start_backend()
    if modules and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    for name in modules or []:
        try:
            importlib.import_module(name)
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"--import {name} failed: {type(error).__name__}: {error}",
                rule="a module that Python finds, also in the working directory",
                received=f"working directory {Path.cwd()}",
            ) from error


def _start_backend() -> None:
    try:
        with _without_greetings(), _without_collecting():
            importlib.import_module("keras")
    except ImportError as error:
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        raise UserError(
            f"Keras's backend {backend} does not start: {error}",
            rule="one of tensorflow, jax and torch is installed, and KERAS_BACKEND names it",
            fix=f'pip install "visiongarden[{backend}]"',
        ) from error


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Leaves what is imported to the program's end out of the search for garbage.

    Python looks through all objects again and again while modules make them, and finds nothing: a
    fifth to a quarter of a backend's import, measured, and some of all that follows.
    """
    with uncollected():
        yield
        gc.freeze()


@contextmanager
def _without_greetings() -> Iterator[None]:
    """Holds back what libraries write to the terminal while they load; shows it if they fail."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(terminal, 2)
            held.seek(0)
            sys.stderr.write(held.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
