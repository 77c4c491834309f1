"""Compile state in model files: optimizer, loss and metrics, as Keras keeps them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

OPTIMIZER = "optimizer"
"""Group of the optimizer's arrays in a weights file."""


def restore_compiled(path: Path, model: keras.Model, config: Any, file: h5py.File) -> None:
    """Compiles a model as it was when the file was written, with its optimizer's state.

    Warns:
        UserWarning: it cannot be; the model is then not compiled, as Keras does it.
    """
    if not isinstance(config, dict) or not config:
        return
    reason = next((f"{name} is not registered" for name in _not_registered(config)), None)
    if reason is None:
        try:
            model.compile_from_config(config)
            _fill(getattr(model, OPTIMIZER, None), file)
        except (ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
            reason = " ".join(str(error).split())[:200]
    if reason is not None:
        model.compiled = False
        warnings.warn(
            f"{path}: the model is not compiled as it was saved, and has no optimizer: {reason}; "
            "call model.compile() before model.fit()",
            stacklevel=4,
        )


def _fill(optimizer: Any, file: h5py.File) -> None:
    stored = file.get(f"{OPTIMIZER}/vars")
    if optimizer is None or stored is None:
        return
    variables = optimizer.variables
    if len(stored) != len(variables):
        raise ValueError(f"{len(stored)} arrays of the optimizer, not {len(variables)}")
    for index, variable in enumerate(variables):
        array = stored[str(index)]
        if tuple(array.shape) != tuple(variable.shape):
            raise ValueError(f"array {index} of the optimizer has shape {array.shape}")
        variable.assign(np.asarray(array[()]))


def _not_registered(value: Any) -> Iterator[str]:
    """Classes and functions of a config that Keras would have to import a module for."""
    if isinstance(value, dict):
        module, key = value.get("module"), value.get("registered_name")
        known = module in (None, "builtins") or str(module).partition(".")[0] == "keras"
        if not known and keras.saving.get_registered_object(str(key)) is None:
            yield str(key or module)
        for item in value.values():
            yield from _not_registered(item)
    elif isinstance(value, list):
        for item in value:
            yield from _not_registered(item)
