"""Restoring the compile state of a model file: optimizer, loss and metrics in Keras's format."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from visiongarden.models.serializable import unregistered

OPTIMIZER = "optimizer"
"""HDF5 group of a weights file that holds the optimizer's variables."""


def restore_compiled(path: Path, model: keras.Model, config: Any, file: h5py.File) -> None:
    """Compile a loaded model with the saved settings, and restore its optimizer's state.

    Args:
        path: Path of the model file, for the warning.
        model: The loaded model.
        config: The `compile_config` of the model's `config.json`.
        file: The opened weights file.

    Warns:
        UserWarning: If the compile state cannot be restored. The model is then left uncompiled,
            as `keras.saving.load_model` does.
    """
    if not isinstance(config, dict) or not config:
        return
    reason = next((f"{name} is not registered" for name in unregistered(config)), None)
    if reason is None:
        try:
            # `compile_from_config` also builds the optimizer, whose variables are then assigned.
            model.compile_from_config(config)
            # A model with a custom compile() may have no optimizer.
            _fill(getattr(model, OPTIMIZER, None), file)
        except (ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
            reason = " ".join(str(error).split())[:200]
    if reason is not None:
        model.compiled = False
        warnings.warn(
            f"{path}: the model could not be compiled as it was saved, and has no optimizer: "
            f"{reason}; call model.compile() before model.fit()",
            stacklevel=4,
        )


def _fill(optimizer: Any, file: h5py.File) -> None:
    stored = file.get(f"{OPTIMIZER}/vars")
    if optimizer is None or stored is None:
        return
    # Keras stores the optimizer's variables by position. A mismatch in number or shape means that
    # the optimizer or the order of the weights has changed.
    variables = optimizer.variables
    if len(stored) == len(type(optimizer).from_config(optimizer.get_config()).variables):
        # The model was saved before its first step, when the optimizer had no state of the weights,
        # which is created at the end of the list.
        variables = variables[: len(stored)]
    if len(stored) != len(variables):
        raise ValueError(
            f"the file has {len(stored)} optimizer variables, expected {len(variables)}"
        )
    for index, variable in enumerate(variables):
        array = stored[str(index)]
        if tuple(array.shape) != tuple(variable.shape):
            raise ValueError(
                f"optimizer variable {index} has shape {array.shape}, expected {variable.shape}"
            )
        variable.assign(np.asarray(array[()]))
