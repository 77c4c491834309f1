"""Matching the weights of a source to the weights of a target, without copying them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import keras

from visiongarden.errors import UserError, option
from visiongarden.graphs.keras_model import keras_graph
from visiongarden.models import Joined
from visiongarden.weights.class_rows import class_rows
from visiongarden.weights.counted import shifted
from visiongarden.weights.live import Owned, by_layer_names, owners
from visiongarden.weights.pair import Pair, size_of
from visiongarden.weights.recognize import RulesArgument, SourceGraph, recognize
from visiongarden.weights.rename import Rename, renamed, selected
from visiongarden.weights.report import BODY, Mismatch, Moved, TransferReport, Weight, within
from visiongarden.weights.resolve import Target, layer_of
from visiongarden.weights.rules import Rules
from visiongarden.weights.sources import Source, Stored


@dataclass(frozen=True)
class Match:
    """The result of matching a source to a target.

    Attributes:
        pairs: The pairs to copy.
        report: The report of all weights.
        only_in_source: Weights of the source without a counterpart.
        only_in_target: Weights of the target without a counterpart.
        rules: Rules of a published checkpoint that the source follows, or None.
    """

    pairs: tuple[Pair, ...]
    report: TransferReport
    only_in_source: tuple[Stored, ...]
    only_in_target: tuple[Owned, ...]
    rules: Rules | None = None


def match(
    source: Source,
    target: Any,
    rename: Rename | None,
    rows: str = "name",
    only: str | Iterable[str] | None = None,
    rules: RulesArgument = "auto",
) -> Match:
    """Match the weights of a source to the weights of a target by path.

    Args:
        source: The opened source.
        target: A built model or layer.
        rename: Rules or function that map source names to target names.
        rows: "name" or "position"; see `class_rows`.
        only: Patterns of the target's paths to copy; None copies all.
        rules: Rules of a published checkpoint, or "auto"; see `recognize`.

    Raises:
        ConfigError: If there are no such rules.
        UserError: If a rule of `rename` or a pattern of `only` matches no weight, or two weights of
            the source match one weight of the target.
    """
    own = owners(target)
    wanted = frozenset(own) if only is None else selected(own, only)
    new_names = renamed([stored.name for stored in source.weights], rename)
    graph = None if source.graph is None else SourceGraph(source.graph, source.epsilon)
    sides = _target(source, target, own, new_names)
    found = recognize(source.weights, new_names, sides, rules, graph)
    classes = class_rows(source.class_names, target, rows, _published_classes(found.rules))
    skipped = [p for p in found.resolved.pairs if p in wanted and classes.skips(p)]
    pairs = {
        path: replace(each, rows=classes.of(path))
        for path, each in found.resolved.pairs.items()
        if path in wanted and path not in skipped
    }
    _check_parts(found.rules, target, pairs)
    left = (*found.resolved.left, *(found.resolved.pairs[path].stored for path in skipped))
    fitting = tuple(each for each in pairs.values() if each.fits())
    report = TransferReport(
        source=source.label,
        target=f"{type(target).__name__} {target.name}",
        copied=tuple(_moved(each) for each in fitting if not each.was_renamed),
        renamed=tuple(_moved(each) for each in fitting if each.was_renamed),
        differs=tuple(_mismatch(each) for each in pairs.values() if not each.fits()),
        only_in_source=tuple(Weight(stored.name, stored.parameters) for stored in left),
        only_in_target=tuple(
            Weight(path, size_of(owned.variable))
            for path, owned in own.items()
            if path in wanted and path not in pairs
        ),
        excluded=tuple(path for path in own if path not in wanted),
        ignored=(*source.ignored, *found.ignored),
        by_position=found.resolved.by_position,
        counted=found.resolved.counted,
        # Rows of another shape were not copied, and are listed as such.
        classes=classes.note
        if any(p in classes.layouts for p in (*(each.owned.path for each in fitting), *skipped))
        else "",
        parts=(*BODY, "head") if isinstance(target, Joined) else (),
        rules="" if found.rules is None else found.rules.name,
    )
    return Match(
        fitting,
        report,
        left,
        tuple(owned for path, owned in own.items() if path in wanted and path not in pairs),
        found.rules,
    )


def _target(source: Source, target: Any, own: dict[str, Owned], names: dict[str, str]) -> Target:
    nested: dict[str, tuple[str, ...]] = {}
    if any(stored.position is not None for stored in source.weights):
        nested = by_layer_names(target)
    ambiguous = shifted(target, nested or _layers(own), _layers(names.values()))
    backbone = target.parts.backbone if isinstance(target, Joined) else None
    return Target(own, nested, ambiguous, backbone, lambda: keras_graph(target))


def _check_parts(rules: Rules | None, target: Any, paths: Iterable[str]) -> None:
    """Raise an error if weights would be copied to a part that uses them in another way."""
    if rules is None or not isinstance(target, Joined):
        return
    decoder, head = target.parts.decoder, target.parts.head
    for name, part, fields in (
        ("decoder", decoder, rules.unsuited_decoder(decoder)),
        ("head", head, rules.unsuited_head(head)),
    ):
        if fields and any(within(path, (name,)) for path in paths):
            raise UserError(
                f"the {name} computes something else than that of {rules.source or rules.name}, "
                "although their weights have the same shapes",
                rule=", ".join(f"{field}={value!r}" for field, value in fields.items()),
                received=f"{part}",
                fix=f"{part.replace(**fields)}; or leave it out: {option('only', 'backbone')}",
            )


def _published_classes(rules: Rules | None) -> str:
    return "" if rules is None else rules.classes


def _layers(names: Iterable[str]) -> dict[str, None]:
    return dict.fromkeys(map(layer_of, names))


def _moved(pair: Pair) -> Moved:
    stored = pair.stored
    copied = pair.copied()
    return Moved(
        stored.name,
        pair.owned.path,
        copied,
        pair.conversion(),
        fresh=size_of(pair.owned.variable) - copied,
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
        parameters=size_of(variable),
        source_parameters=stored.parameters,
    )


def _description(shape: Any, dtype: str) -> str:
    return f"{' × '.join(map(str, shape)) or 'scalar'} {dtype}"
