"""`transfer`: weights go from one model to another by path, all that were decided or none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from visiongarden.errors import UserError, option
from visiongarden.models import load
from visiongarden.weights.match import Match, Pair, match
from visiongarden.weights.propose import proposed
from visiongarden.weights.rename import Rename
from visiongarden.weights.report import BODY, TransferReport, within
from visiongarden.weights.sources import open_source


def transfer(
    source: Any,
    target: keras.Model,
    rename: Rename | None = None,
    at_least: float = 0.9,
    layout: str = "auto",
    class_rows: str = "name",
) -> TransferReport:
    """Copies weights into `target` by path, never by position; nothing changes where it fails.

    A PyTorch source's names and axes become Keras's: "stem.conv.weight" (out, in, height, width)
    goes to "stem/conv/kernel" (height, width, in, out), "weight" and "running_mean" of a norm to
    "gamma" and "moving_mean". A weights file of Keras (`.weights.h5`, or a `.keras` file of another
    program) names layers and numbers the weights in each; such a weight is found by the names of
    its layer, and the report says so. Layers without a name of their own, which Keras counts up
    ("conv2d_3"), are matched only where both sides have the same of them side by side.

    Where both sides name their classes, each class's row of the class outputs goes to the class of
    its name; new classes keep the target's numbers. Class outputs are left out, and the report says
    so, where a side does not name its classes, or the two have no name in common.

    Args:
        source: a `.keras`, `.weights.h5`, `.safetensors`, `.pt` or `.pth` file, a live model, or a
            mapping name -> array. Files run no code, and the source's classes are not needed.
        target: a built model or layer.
        rename: `{"model.0": "backbone/stem", "**/bn": "**/norm"}`: rules for the start of a
            source's name, in whole steps, applied one after the other; or a function name -> name.
        at_least: least share of the parameters of backbone and decoder that must be copied, 0 to
            1; of a target that is not made of parts, of all its parameters.
        layout: whose names and axes the source has, "keras" or "torch"; "auto" decides by name.
        class_rows: "name" as above, or "position": row i goes to row i, whatever the names are.

    Raises:
        UserError: the source does not open or is damaged, a rename fits nothing, or fewer
            parameters than `at_least` would be copied; names the largest that are missing.

    Example:
        >>> report = transfer("cells.keras", model, at_least=0.8)
        >>> report.share_of_target
        0.97
    """
    if not 0 <= at_least <= 1:
        raise UserError(
            f"{option('at_least', at_least)} is no share",
            rule="0 to 1",
            fix=option("at_least", 0.9),
        )
    with open_source(source, layout) as opened:
        found = match(opened, target, rename, class_rows)
        _refuse_less(found, at_least)
        opened.verify()
        for pair in found.pairs:
            _refuse_overflow(pair)
        for pair in found.pairs:
            pair.owned.variable.assign(_values(pair))
    return found.report


def transfer_file(
    source: str | Path,
    target: str | Path,
    output: str | Path,
    rename: Rename | None = None,
    at_least: float = 0.9,
    layout: str = "auto",
    class_rows: str = "name",
) -> TransferReport:
    """As `transfer`, from file to file: opens `target`, and saves it with its new weights.

    Args:
        source: a file of weights.
        target: a `.keras` file whose model takes them.
        output: the `.keras` file to write.
        rename: as in `transfer`.
        at_least: as in `transfer`.
        layout: as in `transfer`.
        class_rows: as in `transfer`.

    Raises:
        UserError: as `transfer`; `output` is not written then.
    """
    output = Path(output)
    if output.suffix != ".keras":
        raise UserError(
            f"cannot save a model as {output}",
            rule="the name ends in .keras",
            fix=option("output", str(output.with_suffix(".keras"))),
        )
    model = load(target)
    report = transfer(Path(source), model, rename, at_least, layout, class_rows)
    model.save(output)
    return report


def _values(pair: Pair) -> Any:
    values = pair.convert(pair.stored.read())  # type: ignore[misc]
    if pair.rows is not None:
        own = np.array(keras.ops.convert_to_numpy(keras.ops.cast(pair.owned.variable, "float32")))
        own[..., pair.rows.to] = np.asarray(values, np.float32)[..., pair.rows.from_]
        return own
    # JAX may keep the memory that it is given, which here is a file or an array of the caller's.
    return np.array(values) if keras.backend.backend() == "jax" else values


def _refuse_overflow(pair: Pair) -> None:
    """Raises where a number of the source is too large for a float16 of the target."""
    if not pair.conversion().endswith("→ float16"):
        return
    values = np.asarray(pair.stored.read()).astype(np.float64)
    beyond = np.isfinite(values) & (np.abs(values) > np.finfo(np.float16).max)
    if beyond.any():
        raise UserError(
            f"{pair.stored.name} does not fit into the float16 of {pair.owned.path}",
            rule="numbers up to 65504",
            received=f"{values.flat[np.argmax(beyond)]:g}",
            fix='a target whose weights are float32: dtype="mixed_float16" keeps them so',
        )


def _refuse_less(found: Match, at_least: float) -> None:
    report = found.report
    share = report.coverage
    if share >= at_least and report.paths:
        return
    counts = BODY if report.parts and report.paths else ()
    missing = [
        (m.parameters, m.path, f"{m.path} ({m.received}, wanted {m.wanted})")
        for m in report.differs
    ]
    missing += [(weight.parameters, weight.path, weight.path) for weight in report.only_in_target]
    missing = [each for each in missing if not counts or within(each[1], counts)]
    largest = [text for *_, text in sorted(missing, key=lambda each: (-each[0], each[2]))[:3]]
    over = [weight.path for weight in report.only_in_source]
    offers = f"; the source has besides: {', '.join(over[:3])}" if over else ""
    more = f" and {len(missing) - 3} more" if missing[3:] else ""
    what = "backbone and decoder" if counts else "parameters"
    raise UserError(
        f"only {share:.1%} of {report.target}'s {what} "
        f"would come from {report.source}; nothing was changed",
        rule=f"at least {at_least:.1%}" if report.paths else "at least one weight",
        received=f"missing: {', '.join(largest)}{more}{offers}",
        fix=_fix(found),
    )


def _fix(found: Match) -> str:
    rename = proposed(found.left, found.open)
    if rename:
        return _rename(rename)
    if found.report.counted:
        return (
            f"names for layers such as that of {found.report.counted[0]}: Keras counted it up, and "
            "the two sides count differently, so that equal names are not the same layer"
        )
    if not found.report.paths:
        return f"rename the weights, as {_rename({'model.0': 'backbone/stem'})}"
    share = np.floor(found.report.coverage * 100) / 100
    return option("at_least", float(share))


def _rename(rules: Mapping[str, str]) -> str:
    if option("rename") == "rename":
        return option("rename", dict(rules))
    return " ".join(option("rename", f"{old}={new}") for old, new in rules.items())
