"""Matching the weights of a source to the weights of a target, without copying them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from visiongarden.errors import UserError
from visiongarden.models import Joined
from visiongarden.weights.class_rows import Rows, class_rows
from visiongarden.weights.counted import shifted
from visiongarden.weights.live import Owned, by_layer_names, owners
from visiongarden.weights.rename import Rename, renamed, selected
from visiongarden.weights.report import BODY, Mismatch, Moved, TransferReport, Weight
from visiongarden.weights.sources import Source, Stored
from visiongarden.weights.torch_names import as_keras, keras_path


@dataclass(frozen=True)
class Pair:
    """A weight of the source and the weight of the target to copy it to.

    Attributes:
        stored: The weight of the source.
        owned: The weight of the target.
        was_renamed: Whether a rule of `rename` changed the name.
        convert: Function that converts the array to Keras's axis order; None if the axis order of
            the layer is not known.
        rows: Rows to copy, for a class output whose classes differ; None copies all elements.
    """

    stored: Stored
    owned: Owned
    was_renamed: bool
    convert: Callable[[Any], Any] | None
    rows: Rows | None = None

    def shape(self) -> tuple[int, ...] | None:
        """Return the shape in the target's axis order, or None if it is not known."""
        if self.convert is None:
            return None
        try:
            # A broadcast scalar has the shape without the memory, so that the array is not read.
            placeholder = np.broadcast_to(np.zeros((), np.int8), self.stored.shape)
            return tuple(self.convert(placeholder).shape)
        except ValueError:
            return None

    def conversion(self) -> str:
        """Return the conversion of the dtype, such as "float16 → float32", or "" if none."""
        dtype = str(keras.backend.standardize_dtype(self.owned.variable.dtype))
        return "" if dtype == self.stored.dtype else f"{self.stored.dtype} → {dtype}"

    def fits(self) -> bool:
        """Return whether the shapes agree, and the dtypes are equal or both floating point."""
        dtype = str(keras.backend.standardize_dtype(self.owned.variable.dtype))
        same_kind = dtype == self.stored.dtype or (
            "float" in dtype and "float" in self.stored.dtype
        )
        shape, wanted = self.shape(), tuple(self.owned.variable.shape)
        if self.rows is not None and shape is not None:
            return same_kind and shape == (*wanted[:-1], self.rows.source_size)
        return same_kind and shape == wanted

    def copied(self) -> int:
        """Return the number of elements to copy."""
        whole = _size(self.owned.variable)
        if self.rows is None:
            return whole
        return whole // int(self.owned.variable.shape[-1]) * len(self.rows.to)


@dataclass(frozen=True)
class Match:
    """The result of matching a source to a target.

    Attributes:
        pairs: The pairs to copy.
        report: The report of all weights.
        only_in_source: Weights of the source without a counterpart.
        only_in_target: Weights of the target without a counterpart.
    """

    pairs: tuple[Pair, ...]
    report: TransferReport
    only_in_source: tuple[Stored, ...]
    only_in_target: tuple[Owned, ...]


def match(
    source: Source,
    target: Any,
    rename: Rename | None,
    rows: str = "name",
    only: str | Iterable[str] | None = None,
) -> Match:
    """Match the weights of a source to the weights of a target by path.

    Args:
        source: The opened source.
        target: A built model or layer.
        rename: Rules or function that map source names to target names.
        rows: "name" or "position"; see `class_rows`.
        only: Patterns of the target's paths to copy; None copies all.

    Raises:
        UserError: If a rule of `rename` or a pattern of `only` matches no weight, or two weights of
            the source match one weight of the target.
    """
    own = owners(target)
    wanted = frozenset(own) if only is None else selected(own, only)
    classes = class_rows(source.class_names, target, rows)
    nested: dict[str, tuple[str, ...]] = {}
    if any(stored.position is not None for stored in source.weights):
        nested = by_layer_names(target)
    new_names = renamed([stored.name for stored in source.weights], rename)
    ambiguous = shifted(target, nested or _layers(own), _layers(new_names.values()))
    pairs: dict[str, Pair] = {}
    only_in_source, by_position, counted = [], [], []
    class_outputs = 0
    for stored in source.weights:
        name = new_names[stored.name]
        path, is_by_position = _path(stored, name, own, nested)
        # A rename expresses what the user knows about a layer, so it overrides the ambiguity.
        if path is not None and name == stored.name and _layer(name) in ambiguous:
            counted.append(path)
            path = None
        if path is not None and path not in wanted:
            continue
        class_outputs += path in classes.layouts
        if path is None or classes.skips(path):
            only_in_source.append(stored)
            continue
        if path in pairs:
            raise UserError(
                f"two weights of the source match {path}",
                rule="one weight of the source for each weight of the target",
                received=f"{pairs[path].stored.name} and {stored.name}",
                fix="use rename rules that give them different names",
            )
        pairs[path] = replace(pair(stored, own[path], name != stored.name), rows=classes.of(path))
        if is_by_position:
            by_position.append(path)
    fitting = tuple(each for each in pairs.values() if each.fits())
    report = TransferReport(
        source=source.label,
        target=f"{type(target).__name__} {target.name}",
        copied=tuple(_moved(each) for each in fitting if not each.was_renamed),
        renamed=tuple(_moved(each) for each in fitting if each.was_renamed),
        differs=tuple(_mismatch(each) for each in pairs.values() if not each.fits()),
        only_in_source=tuple(Weight(stored.name, stored.parameters) for stored in only_in_source),
        only_in_target=tuple(
            Weight(path, _size(owned.variable))
            for path, owned in own.items()
            if path in wanted and path not in pairs
        ),
        excluded=tuple(path for path in own if path not in wanted),
        ignored=source.ignored,
        by_position=tuple(by_position),
        counted=tuple(counted),
        classes=classes.note if class_outputs else "",
        parts=(*BODY, "head") if isinstance(target, Joined) else (),
    )
    return Match(
        fitting,
        report,
        tuple(only_in_source),
        tuple(owned for path, owned in own.items() if path in wanted and path not in pairs),
    )


def pair(stored: Stored, owned: Owned, was_renamed: bool) -> Pair:
    """Pair two weights, with the conversion from the source's axis order to Keras's."""
    convert = as_keras(owned.path, owned.layer) if stored.torch else (lambda array: array)
    return Pair(stored, owned, was_renamed, convert)


def _path(
    stored: Stored, name: str, own: dict[str, Owned], nested: dict[str, tuple[str, ...]]
) -> tuple[str | None, bool]:
    """Return the target's path for a name, and whether it was matched by position in its layer."""
    if stored.torch:
        path = keras_path(name, own)
        return (path if path in own else None), False
    path = name if "/" in name else name.replace(".", "/")
    if stored.position is None:
        return (path if path in own else None), False
    layer, _, leaf = path.rpartition("/")
    weights = nested.get(layer, ())
    if not leaf.isdecimal():
        # The name of the weight is known from the file's config. The file spells the names of the
        # nested layers, which may differ from the path.
        same = [each for each in weights if each.rpartition("/")[2] == leaf]
        return (same[0] if len(same) == 1 else None), False
    if len(weights) != stored.siblings or stored.position >= len(weights):
        return None, False
    return weights[stored.position], True


def _layer(name: str) -> str:
    """Return the path of a weight's layer; the name may be separated by slashes or by dots."""
    path = name if "/" in name else name.replace(".", "/")
    return path.rpartition("/")[0]


def _layers(names: Iterable[str]) -> dict[str, None]:
    return dict.fromkeys(map(_layer, names))


def _moved(pair: Pair) -> Moved:
    stored = pair.stored
    copied = pair.copied()
    return Moved(
        stored.name,
        pair.owned.path,
        copied,
        pair.conversion(),
        fresh=_size(pair.owned.variable) - copied,
        unused=stored.parameters - copied,
    )


def _mismatch(pair: Pair) -> Mismatch:
    stored, variable = pair.stored, pair.owned.variable
    shape = pair.shape()
    received = _description(stored.shape if shape is None else shape, stored.dtype)
    if pair.convert is None:
        received += (
            f" in PyTorch's axis order, which is not known for {type(pair.owned.layer).__name__}"
        )
    return Mismatch(
        source=stored.name,
        path=pair.owned.path,
        received=received,
        wanted=_description(variable.shape, keras.backend.standardize_dtype(variable.dtype)),
        parameters=_size(variable),
        source_parameters=stored.parameters,
    )


def _description(shape: Any, dtype: str) -> str:
    return f"{' × '.join(map(str, shape)) or 'scalar'} {dtype}"


def _size(variable: Any) -> int:
    return int(np.prod(variable.shape, dtype=np.int64))
