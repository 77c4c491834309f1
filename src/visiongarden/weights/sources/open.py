"""`open_source`: opening any source of weights with the reader for its type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import keras

from visiongarden.errors import UserError, option
from visiongarden.models.kinds import WithPreprocessing
from visiongarden.storage import check_file
from visiongarden.weights.class_rows import class_names_of
from visiongarden.weights.live import named_weights
from visiongarden.weights.sources.keras_files import open_keras, open_weights_h5
from visiongarden.weights.sources.npz_file import open_npz
from visiongarden.weights.sources.onnx_file import open_onnx
from visiongarden.weights.sources.safetensors_file import open_safetensors
from visiongarden.weights.sources.state_dicts import state_dict_in
from visiongarden.weights.sources.stored import Source, from_array, from_variable, is_module
from visiongarden.weights.sources.torch_file import open_torch
from visiongarden.weights.torch_names import IGNORED, looks_like_torch

_READERS = {
    ".keras": open_keras,
    ".h5": open_weights_h5,
    ".safetensors": open_safetensors,
    ".pt": open_torch,
    ".pth": open_torch,
    ".tar": open_torch,  # model_best.pth.tar
    ".ckpt": open_torch,
    ".bin": open_torch,
    ".onnx": open_onnx,
    ".npz": open_npz,
}
LAYOUTS = ("auto", "keras", "torch")


@contextmanager
def open_source(
    source: Any, layout: str = "auto", state_dict: str | None = None
) -> Iterator[Source]:
    """Open a source of weights without reading the arrays.

    Args:
        source: A path, a model or layer, a module of PyTorch, or a mapping from names to arrays.
        layout: Naming and axis order of the arrays, "keras" or "torch"; "auto" decides by each
            name.
        state_dict: Name of the state dict in a checkpoint of PyTorch that contains several.

    Yields:
        The source, whose arrays can be read until the context ends.

    Raises:
        UserError: If the source is of an unsupported type, or a file is invalid.
    """
    if layout not in LAYOUTS:
        raise UserError(f"unknown layout {layout!r}", rule=f"one of {', '.join(LAYOUTS)}")
    if isinstance(source, (str, Path)):
        path = Path(source)
        reader = _reader(path)
        if layout == "torch" and reader in (open_keras, open_weights_h5):
            raise UserError(
                f"{path} is a Keras file, so its layout is not that of PyTorch",
                rule="layout keras or auto",
                fix=option("layout", "auto"),
            )
        if reader is open_torch:
            with open_torch(path, layout, state_dict) as opened:
                yield opened
            return
        _check_named(state_dict, str(path))
        with reader(path, layout) as opened:
            yield opened
    elif is_module(source) and not isinstance(source, keras.Layer):
        _check_named(state_dict, type(source).__name__)
        yield replace(_from_mapping(source.state_dict(), "torch"), label=type(source).__name__)
    elif isinstance(source, Mapping):
        yield _from_mapping(_arrays_in(source, state_dict), layout)
    elif isinstance(source, keras.Layer):
        _check_named(state_dict, type(source).__name__)
        weights = (from_variable(name, w) for name, w in named_weights(source).items())
        yield Source(
            f"{type(source).__name__} {source.name}",
            tuple(weights),
            class_names=class_names_of(source),
            preprocessing=source.preprocessing if isinstance(source, WithPreprocessing) else None,
        )
    else:
        raise UserError(
            f"{type(source).__name__} is not a source of weights",
            rule="a file, a model, or a mapping from names to arrays",
            fix="transfer(model, target); for a part: part.as_model()",
        )


def _reader(path: Path) -> Any:
    check_file(path, "weights file", tuple(_READERS))
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(
            f"{path} is not a weights file of a known type",
            rule=f"a name that ends in one of {', '.join(_READERS)}",
            fix="correct the suffix, or pass a mapping from names to arrays in Python",
        )
    return reader


@runtime_checkable
class _Shaped(Protocol):
    """Array of any library."""

    @property
    def shape(self) -> Any: ...


def _check_named(state_dict: str | None, label: str) -> None:
    if state_dict is not None:
        raise UserError(
            f"{label} contains no state dicts with names",
            rule="a checkpoint of PyTorch that contains several state dicts",
            received=option("state_dict", state_dict),
            fix="leave out state_dict",
        )


def _arrays_in(source: Mapping[str, Any], state_dict: str | None) -> Mapping[str, Any]:
    """Return a mapping to arrays, or the one within a checkpoint that PyTorch loaded."""
    if state_dict is None and not any(isinstance(value, Mapping) for value in source.values()):
        return source
    return state_dict_in(source, lambda value: isinstance(value, _Shaped), "mapping", state_dict)


def _from_mapping(arrays: Mapping[str, Any], layout: str) -> Source:
    found, ignored = [], []
    for name, array in arrays.items():
        if not isinstance(name, str) or not isinstance(array, _Shaped):
            raise UserError(
                f"{name!r} of the mapping is not an array",
                rule="a mapping from names to arrays",
                received=type(array).__name__,
            )
        if name.rsplit(".", 1)[-1] in IGNORED:
            ignored.append(name)
        else:
            # Decided for each name, because a mapping may contain weights of both libraries.
            torch = looks_like_torch(name) if layout == "auto" else layout == "torch"
            found.append(from_array(name, array, torch))
    return Source("mapping", tuple(found), tuple(ignored))
