"""Reading `.keras` and `.weights.h5` files without building their model."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from visiongarden.data.preprocessing import Preprocessing
from visiongarden.errors import ConfigError, ModelFileError, UserError
from visiongarden.models.files import MANIFEST, json_member
from visiongarden.weights.sources.bytes import check_spans, crcs, mapped, span_of
from visiongarden.weights.sources.hdf5 import Array, arrays_in
from visiongarden.weights.sources.keras_names import variable_names
from visiongarden.weights.sources.stored import Source, Stored

_WEIGHTS, _CONFIG = "model.weights.h5", "config.json"


@contextmanager
def open_weights_h5(path: Path, layout: str) -> Iterator[Source]:
    """Open a `.weights.h5` file, which names the layers and numbers their weights, or a `.h5` file.

    Those of Keras 2, weights or whole models, name the weights as well.

    Args:
        path: Path of the file.
        layout: Not used; the layout is Keras's.

    Raises:
        UserError: If the file is not a valid weights file.
    """
    data = mapped(path)
    yield Source(str(path), tuple(_numbered(arrays_in(path, data, 0, len(data)), {})))


@contextmanager
def open_keras(path: Path, layout: str) -> Iterator[Source]:
    """Open a `.keras` file.

    If visiongarden wrote the file, its manifest contains the paths of the weights. Otherwise their
    names are taken from the config where possible. The classes of the model need not be registered.

    Args:
        path: Path of the file.
        layout: Not used; the layout is Keras's.

    Raises:
        ModelFileError: If the file is not a complete `.keras` archive, or is damaged.
        UserError: If the weights in the archive are invalid.
    """
    data = mapped(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            weights = archive.getinfo(_WEIGHTS)
            span = span_of(data, weights)
            manifest = json_member(path, archive, MANIFEST) if MANIFEST in names else None
            config = json_member(path, archive, _CONFIG)
    except UserError:
        raise
    except Exception as error:  # A damaged archive makes zipfile raise errors of many types.
        raise ModelFileError(
            f"{path} is not a complete model file",
            rule=f"a .keras archive with {_WEIGHTS} and {_CONFIG}",
            received=str(error).strip("'\""),
            fix="copy the file again if it is truncated",
        ) from error
    if span is None:
        raise ModelFileError(
            f"{path}: {_WEIGHTS} is compressed",
            rule="an uncompressed member, as Keras writes it, so that weights are read in place",
            fix=f'keras.saving.load_model("{path}").save("{path.with_stem(path.stem + "_2")}")',
        )
    arrays = arrays_in(path, data, span.start, span.size, named=manifest is None)
    if manifest is not None:
        found = _by_manifest(path, manifest, arrays, _class_names(config))
        yield replace(found, preprocessing=_preprocessing(config))
    else:
        numbered = tuple(_numbered(arrays, variable_names(config)))
        yield Source(str(path), numbered, verify=lambda: check_spans(path, data, [span]))


def _class_names(config: Any) -> tuple[str, ...] | None:
    """Return the class names in a model's config, or None."""
    for key in ("config", "class_map", "names"):
        config = config.get(key) if isinstance(config, dict) else None
    if not isinstance(config, list) or not all(isinstance(name, str) for name in config):
        return None
    return tuple(config)


def _preprocessing(config: Any) -> Preprocessing | None:
    """Return the preprocessing in a model's config, or None."""
    for key in ("config", "preprocessing"):
        config = config.get(key) if isinstance(config, dict) else None
    try:
        return None if config is None else Preprocessing.from_dict(config)
    except ConfigError:  # the weights can be read all the same
        return None


def _by_manifest(
    path: Path, manifest: Any, arrays: list[Array], class_names: tuple[str, ...] | None
) -> Source:
    """Find the array of each path by the shape and checksum in the manifest.

    Unlike the numbers in the file, this does not depend on any order of layers or weights.
    """
    entries = manifest.get("weights") if isinstance(manifest, dict) else None
    if not isinstance(entries, dict) or not all(map(_is_entry, entries.values())):
        raise ModelFileError(f"{path}: {MANIFEST} does not list the weights")
    by_content: dict[Any, list[Array]] = defaultdict(list)
    for array, crc in zip(arrays, crcs([array.read() for array in arrays]), strict=True):
        by_content[(tuple(array.shape), crc)].append(array)
    found, missing = [], []
    for name, (shape, dtype, crc) in entries.items():
        same = by_content.get((tuple(shape), crc), [])
        # If several arrays have equal values, any of them can be used.
        if same and same[0].dtype == dtype:
            found.append(Stored(name, tuple(shape), dtype, same[0].read))
        else:
            missing.append(name)
    if missing:
        raise ModelFileError(
            f"{path} is damaged: {len(missing)} of {len(entries)} weights "
            "differ from the saved ones",
            rule="the shape and checksum that each weight had when it was saved",
            received=", ".join(missing[:3]),
            fix="copy the file again from its source, or save the model again",
        )
    return Source(str(path), tuple(found), class_names=class_names)


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, list)
        and len(entry) == 3
        and isinstance(entry[0], list)
        and all(type(side) is int and side >= 0 for side in entry[0])
        and isinstance(entry[1], str)
        and type(entry[2]) is int
    )


_KERNEL = ("kernel", "bias")


def _is_kernel(shapes: dict[int, tuple[int, ...]]) -> bool:
    """Return whether the two weights of a layer can only be a kernel and its bias."""
    kernel, bias = shapes.get(0, ()), shapes.get(1, ())
    return len(bias) == 1 and len(kernel) in (2, 4) and bias[0] == kernel[-1]


def _numbered(arrays: list[Array], names: dict[str, tuple[str, ...]]) -> Iterator[Stored]:
    """Yield arrays under the names of their layers.

    The last segment is the name of the weight if the config determines it, otherwise its number.
    """
    siblings: dict[str, dict[int, tuple[int, ...]]] = defaultdict(dict)
    for array in arrays:
        if array.key in ("0", "1") and array.siblings == 2:
            siblings[array.layer][int(array.key)] = tuple(array.shape)
    names = {layer: _KERNEL for layer, shapes in siblings.items() if _is_kernel(shapes)} | names
    for array in arrays:
        position = int(array.key) if array.key.isdecimal() and len(array.key) < 6 else None
        layer_names = names.get(array.layer, ())
        known = position is not None and len(layer_names) == array.siblings > position
        yield Stored(
            f"{array.layer}/{layer_names[position] if known else array.key}".lstrip("/"),  # type: ignore[index]
            tuple(array.shape),
            array.dtype,
            array.read,
            position=position,
            siblings=array.siblings,
        )
