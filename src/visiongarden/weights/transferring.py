"""`transfer`: copying weights from a file or model to a model by path, completely or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from visiongarden.errors import UserError, option
from visiongarden.models import load
from visiongarden.weights.match import Match, Pair, match
from visiongarden.weights.propose import proposed
from visiongarden.weights.proving import copy_and_prove
from visiongarden.weights.recognize import RulesArgument, rules_of_names
from visiongarden.weights.rename import Rename
from visiongarden.weights.report import BODY, TransferReport, within
from visiongarden.weights.rules import Rules
from visiongarden.weights.same_values import needed_values
from visiongarden.weights.sources import open_source


def transfer(
    source: Any,
    model: Any,
    *,
    output: str | Path | None = None,
    rules: RulesArgument = "auto",
    rename: Rename | None = None,
    only: str | Iterable[str] | None = None,
    min_coverage: float = 0.9,
    layout: str = "auto",
    class_rows: str = "name",
    state_dict: str | None = None,
    prove: Any = None,
    tolerance: float = 1e-4,
) -> TransferReport:
    """Copy weights into `model` by path, never by position.

    The model is not changed and no file is written if an error is raised.

    Names and axes of PyTorch weights are converted to those of Keras: "stem.conv.weight" of shape
    (out, in, height, width) becomes "stem/conv/kernel" of shape (height, width, in, out), and
    "weight" and "running_mean" of a batch normalization become "gamma" and "moving_mean".

    Files that Keras writes (`.weights.h5`, or a `.keras` file that visiongarden did not write)
    contain the names of layers, but only numbers for the weights within a layer. Such a weight is
    matched by the name of its layer and its position in the layer, and the report lists it. Layers
    with automatic names ("conv2d_3") are matched only if both sides have the same automatic names
    in the enclosing layer, because the numbers depend on the position in the model.

    If source and target both have class names, each class's row of the class outputs is copied to
    the class of the same name, and new classes keep the weights of the target. If one side has no
    class names, or they have no name in common, class outputs are not copied and the report
    contains a note.

    Args:
        source: A `.keras`, `.weights.h5`, `.safetensors`, `.npz`, `.onnx` or PyTorch file, a model,
            layer or PyTorch module, or a mapping from names to arrays. No code in a file is
            executed, and the classes of the source's layers are not needed.
        model: A built model or layer, or the path of a model file, which `output` then receives.
        output: Path of the model file (.keras) to write. None writes no file.
        rules: Rules of a published checkpoint: the name of shipped ones, a file (.yaml or .py) or
            `Rules`. "auto" recognizes the source by its names and shapes; None uses the names as
            they are. The rules set the preprocessing of the model if it is the default one.
        rename: Rules that replace the start of a source name by whole segments, applied in order
            before `rules`, such as `{"model.0": "backbone/stem", "layer{n}": "stage{n+1}"}`; or a
            function from name to name.
        only: Patterns of the model's paths to copy, such as "backbone" or "**/stem"; `*` matches
            one segment or a part of it, `**` one or more. The other weights are left unchanged.
        min_coverage: Minimum fraction of the parameters of backbone and decoder that must be
            copied, 0 to 1, of those that `only` selects. For a target that is not made of parts,
            the fraction of all parameters.
        layout: Naming and axis order of the source, "keras" or "torch"; "auto" decides by each
            name.
        class_rows: "name" to match rows of class outputs by class name, or "position" to copy row i
            to row i whatever the class names are.
        state_dict: Name of the state dict in a checkpoint of PyTorch that contains several, such as
            "ema" or "state.model".
        prove: Images on which source and target are run after the transfer: a file, a folder, or
            images as in `predict`, of which the first 64 are used. Each level of backbone and
            decoder and each raw output is compared with the value of the source that is nearest to
            it; see `TransferReport.proof`. Needs a source with a network: an ONNX file, a Keras
            model or its file, or a PyTorch module in memory.
        tolerance: Largest difference that `proof.passed` allows, in standard deviations.

    Returns:
        A report of all weights of both sides.

    Raises:
        ConfigError: If there are no such rules, or they are not valid.
        UserError: If the source cannot be opened, is damaged or contains NaN, a rule of `rename` or
            a pattern of `only` matches no weight, `output` does not end in ".keras", less than
            `min_coverage` would be copied, or a backbone would be copied to a model that
            preprocesses images in another way. If too little is copied, the message names the
            largest missing weights and the nearest rules.

    Example:
        >>> def build():
        ...     layers = [keras.Input((4,)), keras.layers.Dense(2, name="out")]
        ...     return keras.Sequential(layers, name="net")
        >>> report = vg.weights.transfer(build(), build())
        >>> [moved.parameters for moved in report.copied], report.share_of_target
        ([8, 2], 1.0)

        From a model file, if at least 80% of backbone and decoder can be copied:

        >>> report = vg.weights.transfer("cells.keras", model, min_coverage=0.8)  # doctest: +SKIP
    """
    if not 0 <= min_coverage <= 1:
        raise UserError(
            f"{option('min_coverage', min_coverage)} is not a fraction",
            rule="a number from 0 to 1",
            fix=option("min_coverage", 0.9),
        )
    output = None if output is None else _model_path(output)
    target = _opened(model, output)
    copy = partial(
        copy_weights, source, target, rename, only, min_coverage, layout, class_rows,
        rules=rules, state_dict=state_dict,
    )  # fmt: skip
    report = copy() if prove is None else copy_and_prove(copy, source, target, prove, tolerance)
    if output is not None:
        target.save(output)
    return report


def copy_weights(
    source: Any,
    target: Any,
    rename: Rename | None = None,
    only: str | Iterable[str] | None = None,
    min_coverage: float = 0.9,
    layout: str = "auto",
    class_rows: str = "name",
    counted: tuple[str, ...] = BODY,
    rules: RulesArgument = "auto",
    state_dict: str | None = None,
) -> TransferReport:
    """Copy weights into a built model as `transfer` does.

    Args:
        source: As in `transfer`.
        target: The built model or layer.
        rename: As in `transfer`.
        only: As in `transfer`.
        min_coverage: As in `transfer`, of the parts that `counted` names.
        layout: As in `transfer`.
        class_rows: As in `transfer`.
        counted: Parts whose parameters must be copied, for a target that is made of parts.
        rules: As in `transfer`.
        state_dict: As in `transfer`.

    Raises:
        UserError: As in `transfer`; the target is unchanged then.
    """
    with open_source(source, layout, state_dict) as opened:
        matched = match(opened, target, rename, class_rows, only, rules)
        _check_coverage(matched, min_coverage, counted)
        published = None if matched.rules is None else matched.rules.preprocessing
        values = needed_values(opened, target, matched.report.paths, published)
        opened.verify()
        # All checks run before the first assignment, so that a failure leaves the target unchanged.
        for pair in matched.pairs:
            _check_finite(pair)
            _check_overflow(pair)
        for pair in matched.pairs:
            pair.owned.variable.assign(_values(pair))
    report = matched.report
    if values is not None:
        target.set_preprocessing(values)
        report = replace(report, preprocessing=str(values))
    return report


def _opened(model: Any, output: Path | None) -> Any:
    if not isinstance(model, str | Path):
        if isinstance(model, keras.layers.Layer):
            return model
        raise UserError(
            f"model is of type {type(model).__name__}",
            rule="a built model or layer, or the path of a model file (.keras)",
        )
    if output is None:
        raise UserError(
            f"{option('output')} is missing, so the weights would be lost",
            rule=f"{option('output')} names the file to write when the model is a file",
            fix=option("output", "trained.keras"),
        )
    return load(model)


def _model_path(output: str | Path) -> Path:
    path = Path(output)
    if path.suffix != ".keras":
        raise UserError(
            f"cannot save a model as {path}",
            rule="a name that ends in .keras",
            fix=option("output", str(path.with_suffix(".keras"))),
        )
    return path


def _values(pair: Pair) -> Any:
    values = pair.convert(pair.stored.read())  # type: ignore[misc]
    if pair.rows is not None:
        merged = np.array(
            keras.ops.convert_to_numpy(keras.ops.cast(pair.owned.variable, "float32"))
        )
        merged[..., pair.rows.to] = np.asarray(values, np.float32)[..., pair.rows.from_]
        return merged
    # JAX may keep a reference to the memory, which here belongs to a file or to the caller.
    return np.array(values) if keras.backend.backend() == "jax" else values


def _check_finite(pair: Pair) -> None:
    """Raise an error if a weight of the source contains NaN or infinite values."""
    values = np.asarray(pair.stored.read())
    if values.dtype.kind not in "fV" or not values.size:
        return
    # The sum is NaN or infinite if a value is, and takes a fraction of the time.
    total = values.sum(dtype=np.float32) if values.dtype.itemsize <= 4 else values.sum()
    if np.isfinite(total) or np.isfinite(values).all():
        return
    raise UserError(
        f"{pair.stored.name} contains NaN or infinite values; nothing was changed",
        rule="finite weights",
        received=f"{np.count_nonzero(~np.isfinite(values)):,} of {values.size:,} values",
        fix="use a checkpoint from before the training diverged",
    )


def _check_overflow(pair: Pair) -> None:
    """Raise an error if a value of the source would overflow in a float16 weight of the target."""
    if not pair.conversion().endswith("→ float16"):
        return
    values = np.asarray(pair.stored.read()).astype(np.float64)
    overflows = np.isfinite(values) & (np.abs(values) > np.finfo(np.float16).max)
    if overflows.any():
        raise UserError(
            f"{pair.stored.name} overflows the float16 weight {pair.owned.path}",
            rule="values up to 65504",
            received=f"{values.flat[np.argmax(overflows)]:g}",
            fix='build the target with dtype="mixed_float16", which keeps weights in float32',
        )


def _check_coverage(matched: Match, min_coverage: float, counted: tuple[str, ...]) -> None:
    report = matched.report
    share = report.share_of_parts(counted)
    if share >= min_coverage and report.paths:
        return
    counts = counted if report.parts and report.paths else ()
    missing = [
        (m.parameters, m.path, f"{m.path} ({m.received}, expected {m.wanted})")
        for m in report.differs
    ]
    missing += [(weight.parameters, weight.path, weight.path) for weight in report.only_in_target]
    missing = [each for each in missing if not counts or within(each[1], counts)]
    largest = [text for *_, text in sorted(missing, key=lambda each: (-each[0], each[2]))[:3]]
    unused = [weight.path for weight in report.only_in_source]
    others = f"; only in the source: {', '.join(unused[:3])}" if unused else ""
    more = f" and {len(missing) - 3} more" if missing[3:] else ""
    what = " and ".join(counts) or "parameters"
    other = None if report.rules else rules_of_names(s.name for s in matched.only_in_source)
    raise UserError(
        f"only {share:.1%} of {report.target}'s {what} "
        f"would be copied from {report.source}; nothing was changed",
        rule=f"at least {min_coverage:.1%}" if report.paths else "at least one weight",
        received=f"missing: {', '.join(largest)}{more}{others}{_nearest(matched, other)}",
        fix=_fix(matched, share, other),
    )


def _nearest(matched: Match, other: tuple[Rules, float] | None) -> str:
    """Return which rules came nearest to the source, and how far they matched.

    Args:
        matched: Match, with rules or without.
        other: Rules of another network whose names are those of the source, as `rules_of_names`
            returns them, if there are no rules.
    """
    report = matched.report
    if report.rules:
        count, weights = len(report.paths), len(report.differs) + len(report.only_in_source)
        return f"; nearest rules: {report.rules}, which match {count} of {count + weights} weights"
    if other is None:
        return "; no shipped rules match more weights"
    rules, share = other
    needs = f", for the backbone {rules.backbone}" if rules.backbone else ""
    return f"; nearest rules: {rules.name}{needs}, which know {share:.0%} of these names"


def _fix(matched: Match, share: float, other: tuple[Rules, float] | None) -> str:
    if other is not None and other[0].backbone:
        return f"a model with the backbone {other[0].backbone}"
    rename = proposed(matched.only_in_source, matched.only_in_target)
    if rename:
        return _rename(rename)
    if matched.report.counted:
        return (
            f"name layers such as that of {matched.report.counted[0]}: it has an automatic name, "
            "which source and target number differently, so equal names may be different layers"
        )
    if not matched.report.paths:
        return f"rename the weights, for example {_rename({'model.0': 'backbone/stem'})}"
    return option("min_coverage", float(np.floor(share * 100) / 100))


def _rename(rules: Mapping[str, str]) -> str:
    if option("rename") == "rename":
        return option("rename", dict(rules))
    return " ".join(option("rename", f"{old}={new}") for old, new in rules.items())
