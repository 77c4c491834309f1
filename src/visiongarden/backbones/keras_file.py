"""Opening networks of Keras in files, whose layers must be Keras's or registered."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras

from visiongarden.errors import ModelFileError, UserError
from visiongarden.storage import parse_json

MAX_CONFIG = 16 * 2**20
"""Maximum size of the config of a network in bytes."""


def open_network(path: Path) -> keras.Model:
    """Load a `.keras` file, or a model of Keras 2 (`.h5`), whose layers are known.

    No code in the file is executed.

    Raises:
        ModelFileError: The file is not complete, or contains layers that are not registered.
    """
    try:
        if path.suffix.lower() == ".h5":
            config = _config_of_keras_2(path)
        else:
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


def _config_of_keras_2(path: Path) -> Any:
    """Return the config of a model, in which classes without a module are Keras's."""
    with h5py.File(path, "r") as file:
        text = file.attrs.get("model_config")
    if not isinstance(text, str | bytes):
        raise ModelFileError(
            f"{path} contains weights alone",
            rule="a model that save() wrote, with its config",
            fix=f'model.save("{path.stem}.keras")',
        )
    config = parse_json(text.encode() if isinstance(text, str) else text, path, ModelFileError)
    stack = [config]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            name = item.get("class_name")
            if isinstance(name, str) and "module" not in item and name in _of_keras():
                item["module"] = "keras"
            stack += item.values()
        elif isinstance(item, list):
            stack += item
    return config


def _of_keras() -> set[str]:
    """Return the names of the public classes that a config of Keras 2 may contain."""
    modules = (keras.layers, keras.initializers, keras.regularizers, keras.constraints)
    return {"Functional", "Model", "Sequential"}.union(*map(vars, modules))


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
