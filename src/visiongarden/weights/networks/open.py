"""`network_of`: the network of a source, where it can be had."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import keras

from visiongarden.backbones.keras_file import open_network
from visiongarden.errors import UserError
from visiongarden.models import load
from visiongarden.models.files import MANIFEST
from visiongarden.weights.networks.keras_network import keras_network
from visiongarden.weights.networks.network import Network
from visiongarden.weights.networks.onnx_runtime import onnx_network
from visiongarden.weights.networks.torch_module import torch_network
from visiongarden.weights.sources import open_source
from visiongarden.weights.sources.stored import is_module

_RUN = ".onnx, .keras, a model in .h5, a Keras model or a PyTorch module in memory"


def network_of(source: Any) -> Network:
    """Return the network of a source of weights.

    Args:
        source: As in `transfer`.

    Raises:
        UserError: The source contains weights alone, or its network cannot be opened.
    """
    if isinstance(source, keras.Model):
        return keras_network(source, f"{type(source).__name__} {source.name}")
    if is_module(source):
        return torch_network(source)
    path = Path(source) if isinstance(source, str | Path) else None
    if path is not None and path.suffix.lower() == ".onnx":
        return onnx_network(path)
    if path is not None and path.suffix.lower() == ".keras":
        opened = load(path) if _is_of_visiongarden(path) else open_network(path)
        return keras_network(opened, str(path))
    if path is not None and path.suffix.lower() == ".h5" and not path.name.endswith(".weights.h5"):
        # Links to other files and filters that load libraries are refused before Keras reads it.
        with open_source(path):
            pass
        return keras_network(open_network(path), str(path))
    raise _without_network(type(source).__name__ if path is None else str(path), path)


def _is_of_visiongarden(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return MANIFEST in archive.namelist()
    except (OSError, zipfile.BadZipFile):  # reported by the function that opens the model
        return False


def _without_network(label: str, path: Path | None) -> UserError:
    """Return the error of a source that cannot be run."""
    is_torch = path is not None and path.suffix.lower() in (".pt", ".pth", ".safetensors")
    return UserError(
        f"{label} contains weights alone, so that there is no network to compare with",
        rule=_RUN,
        received="names and tensors; the code of a PyTorch network is never in such a file, and "
        "is not run from a TorchScript file" if is_torch else "names and arrays",
        fix="in Python, pass the module itself: vg.transfer(module, model, prove=images); or "
        'export it: torch.onnx.export(module, (x,), "source.onnx")'
        if is_torch
        else "pass the model itself, or a .keras file of it",
    )  # fmt: skip
