"""Opening networks of Keras in files, whose layers must be Keras's or registered."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from visiongarden.errors import ModelFileError, UserError
from visiongarden.storage import parse_json

MAX_CONFIG = 16 * 2**20
"""Maximum size of the config of a network in bytes."""


def open_network(path: Path) -> keras.Model:
    """Load a `.keras` file whose layers are known; no code in it is executed.

    Raises:
        ModelFileError: The file is not complete, or contains layers that are not registered.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            config = _config_in(path, archive)
        check_classes(config, str(path))
        model: keras.Model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except UserError:
        raise
    except Exception as error:  # zipfile, h5py and Keras raise errors of many types
        raise ModelFileError(
            f"{path} cannot be opened as a Keras model",
            rule="a complete .keras file of a functional model",
            received=" ".join(str(error).split())[:200],
            fix=f'keras.saving.load_model(path).save("{path.stem}.keras")',
        ) from error
    return model


def _config_in(path: Path, archive: zipfile.ZipFile) -> Any:
    info = archive.getinfo("config.json")
    if info.file_size > MAX_CONFIG:
        raise ModelFileError(
            f"the config of {path} is too large",
            rule=f"at most {MAX_CONFIG:,} bytes",
            received=f"{info.file_size:,} bytes",
        )
    return parse_json(archive.read(info), path, ModelFileError)


def check_classes(config: Any, name: str) -> None:
    """Raise an error if a config contains layers that are neither Keras's nor registered."""
    known = keras.saving.get_custom_objects()
    unknown = sorted({each for each in _classes(config) if each not in known})
    if unknown:
        raise ModelFileError(
            f"{name} contains layers that are not registered: {', '.join(unknown[:5])}",
            rule="layers of Keras, or of modules that are imported; no code in a file is executed",
            fix="import the module that registers them, or replace them by layers of Keras",
        )


def _classes(config: Any) -> Iterator[str]:
    """Yield the registered names of classes that are not Keras's, and those that contain code."""
    stack = [config]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            name = item.get("class_name")
            if isinstance(name, str):
                is_keras = str(item.get("module", "")).split(".")[0] in ("keras", "builtins")
                registered = item.get("registered_name")
                if name in ("Lambda", "__lambda__", "TFSMLayer"):
                    yield name
                elif not is_keras and not name.startswith("__"):
                    yield str(registered or name)
            stack += item.values()
        elif isinstance(item, list):
            stack += item
