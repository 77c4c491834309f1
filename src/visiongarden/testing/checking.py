"""`check`: is a layer, block, part or model sound? Every check by name, in the order it runs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from visiongarden.errors import UserError, nearest
from visiongarden.testing import fresh
from visiongarden.testing.checks import (
    config,
    gradients,
    heads,
    inference,
    learning,
    names,
    parts,
    precision,
    randomness,
    shapes,
    state,
    statistics,
)
from visiongarden.testing.checks import training as training_checks
from visiongarden.testing.explain import advice_for, told
from visiongarden.testing.report import Finding, Report, failed, skipped
from visiongarden.testing.subject import Subject

_ALONE: dict[str, Callable[[Subject], Finding]] = {
    "registered": config.registered,
    "runs": inference.runs,
    "own_names": names.own_names,
    "config_complete": config.config_complete,
    "round_trip": config.round_trip,
}
_RUNNING: dict[str, Callable[[Subject], Finding]] = {
    "runs_from_config": config.runs_again,
    "traces": inference.traces,
    "variables_tracked": state.variables_tracked,
    "sublayers_apart": state.sublayers_apart,
    "sublayers_used": state.sublayers_used,
    "instances_apart": state.instances_apart,
    "stable_paths": names.stable_paths,
    "repeatable": inference.repeatable,
    "mixed_bfloat16": precision.mixed_bfloat16,
    "mixed_float16": precision.mixed_float16,
}
_TRACING: dict[str, Callable[[Subject], Finding]] = {
    "variables_before_call": state.variables_before_call,
    "static_shape": shapes.static_shape,
    "open_sides": shapes.open_sides,
    "broadcasting": shapes.broadcasting,
    "batch_independence": inference.batch_independence,
}
_REPEATABLE: dict[str, Callable[[Subject], Finding]] = {
    "training": training_checks.training,
    "statistics_updated": statistics.statistics_updated,
    "fresh_noise": randomness.fresh_noise,
    "input_gradient": gradients.input_gradient,
    "gradients": gradients.gradients,
    "learns": learning.learns,
}
_PARTS: dict[str, Callable[[Subject], Finding]] = {
    "fields_used": parts.fields_used,
    "loss": heads.loss,
    "decode": heads.decode,
    "loss_decode": heads.loss_decode,
}
"""Of parts only; the last three of heads."""
CHECKS = (*_ALONE, *_RUNNING, *_TRACING, *_REPEATABLE, *_PARTS, *fresh.NAMES)
"""Names of all checks."""


def check(
    source: Any,
    inputs: Any = None,
    *,
    config: dict[str, Any] | None = None,
    backends: Sequence[str] | None = None,
    skip: Sequence[str] = (),
    **arguments: Any,
) -> Report:
    """Checks a layer, a block, a part or a model.

    Args:
        source: a class or an instance. Of a class, required arguments that are not given are
            guessed, and so are inputs; or the class says them: `examples = {"config": {...},
            "inputs": (2, 16, 24, 8), "skip": [...]}`.
        inputs: array, shape with the batch first, FeatureSpec, or a list or dict of them. A list
            goes to several arguments of `call` where it has several.
        config: constructor arguments, also those that are named as a parameter here.
        backends: fresh processes run on these; None takes the running one, "all" those that are
            installed, `()` runs none.
        skip: names of checks to leave out.
        **arguments: constructor arguments.

    Returns:
        A finding for each check; a fault is a finding, never an exception.

    Raises:
        UserError: this is no layer, part or model; arguments cannot be guessed; the inputs have
            the wrong rank; no such check or backend.

    Example:
        >>> check(vg.blocks.Residual, (2, 16, 24, 8), filters=8).ok
        True
    """
    item = {"source": source, "inputs": inputs, "config": (config or {}) | arguments}
    return check_many([item], backends=backends, skip=skip)[0]


def check_many(
    items: Iterable[Any],
    *,
    backends: Sequence[str] | None = None,
    skip: Sequence[str] = (),
    keep_going: bool = False,
) -> list[Report]:
    """Checks several at the cost of one fresh process a backend.

    Args:
        items: classes, instances, or dicts of `source`, `inputs` and `config`.
        backends: as of `check`.
        skip: as of `check`.
        keep_going: whether a class that cannot be made, as its arguments cannot be guessed, gets a
            report with the finding `arguments`, and the others are checked; else it is an error.
    """
    wanted = _known_backends(backends)
    _known_checks(skip)
    with _watched_keras(), fresh.FreshProcesses(wanted, skip) as processes:
        pending = []
        refused: dict[int, Report] = {}
        for position, item in enumerate(items):
            given = item if isinstance(item, dict) else {"source": item}
            try:
                subject = Subject(given["source"], given.get("inputs"), given.get("config"))
            except UserError as error:
                if not keep_going:
                    raise
                refused[position] = _refusal(given["source"], error)
                continue
            own = [*skip, *getattr(subject.cls, "examples", {}).get("skip", ())]
            findings = list(_in_process(subject, own))
            traced = all(f.status == "passed" for f in findings if f.check in ("runs", "traces"))
            job = processes.add(subject) if traced else None
            pending.append((subject, own, findings, job))
        processes.run()
        made = iter(
            Report(subject.cls.__name__, (*found, *_of_processes(processes, job, own, _run(found))))
            for subject, own, found, job in pending
        )
        count = len(pending) + len(refused)
        return [refused[i] if i in refused else next(made) for i in range(count)]


def _refusal(source: Any, error: UserError) -> Report:
    """The report of a class that could not be made, so that the others are still checked."""
    name = getattr(source, "__name__", type(source).__name__)
    finding = failed(" ".join(error.what.split()), error.fix or "give arguments and inputs")
    return Report(name, (finding.named("arguments"),))


def assert_sound(source: Any, inputs: Any = None, **options: Any) -> None:
    """As `check`; raises an AssertionError that tells every check that failed.

    Args:
        source: as of `check`.
        inputs: as of `check`.
        **options: as of `check`.

    Raises:
        AssertionError: the findings that failed, with evidence and advice.
    """
    report = check(source, inputs, **options)
    if not report.ok:
        raise AssertionError(str(report))


def _in_process(subject: Subject, skip: Sequence[str]) -> Iterator[Finding]:
    """The findings; where it does not run, that one stands for all that could not be asked."""
    failures: set[str] = set()
    told_already: set[str] = set()
    groups: tuple[tuple[dict[str, Callable[[Subject], Finding]], tuple[str, ...]], ...] = (
        (_ALONE, ()),
        (_RUNNING, ("runs",)),
        (_TRACING, ("runs", "traces")),
        (_REPEATABLE, ("runs", "repeatable")),
        (_of_role(subject), ("runs", "traces")),
    )
    for checks, needs in groups:
        for name, function in checks.items():
            if name in skip and name != "runs":
                continue
            broken = next((need for need in needs if need in failures), None)
            if broken == "runs":
                continue
            if broken is not None:
                finding = skipped(f"`{broken}` fails")
            else:
                finding = _safely(function, subject)
            if finding.status == "failed":
                if finding.evidence in told_already:
                    continue
                failures.add(name)
                told_already.add(finding.evidence)
            yield finding.named(name)


def _of_role(subject: Subject) -> dict[str, Callable[[Subject], Finding]]:
    """The checks of parts that concern the subject's role."""
    if not subject.is_part:
        return {}
    role = type(subject.part).role
    return {
        name: check for name, check in _PARTS.items() if role == "head" or name == "fields_used"
    }


def _safely(function: Callable[[Subject], Finding], subject: Subject) -> Finding:
    try:
        return function(subject)
    except Exception as error:
        return failed(told(error), advice_for(error, "mend what this error names"))


def _run(findings: Sequence[Finding]) -> bool:
    return all(f.status == "passed" for f in findings if f.check == "runs")


def _of_processes(
    processes: fresh.FreshProcesses, job: Any, skip: Sequence[str], runs: bool
) -> list[Finding]:
    if job is None:
        found = []
        if runs:
            found = [skipped("`traces` fails").named(name) for name in fresh.NAMES]
    else:
        found = processes.findings(job)
    return [finding for finding in found if finding.check not in skip]


def _known_backends(backends: Sequence[str] | None) -> tuple[str, ...]:
    if backends is None:
        return (keras.backend.backend(),)
    if backends == "all":
        return fresh.installed()
    names = (backends,) if isinstance(backends, str) else tuple(backends)
    there = fresh.installed()
    for name in names:
        if name not in there:
            raise UserError(f"no backend {name!r} here", fix=nearest(name, there))
    return names


def _known_checks(skip: Sequence[str]) -> None:
    for name in skip:
        if name not in CHECKS:
            raise UserError(f"there is no check {name!r}", fix=nearest(name, CHECKS))


@contextmanager
def _watched_keras() -> Iterator[None]:
    """Inside, tracebacks are whole, so that they name a line of the person's file; none warns."""
    before = keras.config.is_traceback_filtering_enabled()
    keras.config.disable_traceback_filtering()
    try:
        # What Keras warns of has its own check.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if before:
            keras.config.enable_traceback_filtering()
