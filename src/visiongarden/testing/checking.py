"""`check` runs a series of named checks on a component.

The tables below list the checks in the order in which they run. Each table has its own
prerequisites (see `_in_process`), so that one error does not fail every later check as well.
"""

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
from visiongarden.testing.component_checking import check_component, is_component
from visiongarden.testing.component_checking import names as component_checks
from visiongarden.testing.examples import examples_of
from visiongarden.testing.explain import advice_for, describe
from visiongarden.testing.report import Finding, Report, failed, skipped
from visiongarden.testing.subject import Subject

_WITHOUT_PREREQUISITES: dict[str, Callable[[Subject], Finding]] = {
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
"""Checks for parts; all but `fields_used` apply to heads only."""
CHECKS = (*_WITHOUT_PREREQUISITES, *_RUNNING, *_TRACING, *_REPEATABLE, *_PARTS, *fresh.NAMES)
"""Names of all checks of layers, parts and models, in the order in which they run."""


def check_one(
    source: Any,
    inputs: Any = None,
    *,
    config: dict[str, Any] | None = None,
    backends: Sequence[str] | None = None,
    skip: Sequence[str] = (),
    **arguments: Any,
) -> Report:
    """Check one component: a layer, block, part, model, or a component of another kind.

    Args:
        source: Class or instance to check. For a class, missing required constructor arguments and
            missing inputs are guessed from names, annotations and trial calls. A class can state
            them itself with the attribute `examples = {"config": {...}, "inputs": (2, 16, 24, 8),
            "skip": [...]}`.
        inputs: Array, shape including the batch axis, `FeatureSpec`, or a list or dict of these. A
            list is spread over the arguments of `call` if `call` takes several tensors. The path of
            a dataset for a reader.
        config: Constructor arguments as a dict. Use it for arguments whose names collide with
            parameters of this function.
        backends: Backends on which fresh processes reopen the saved model. None uses the current
            backend, "all" every installed one, and `()` starts no process.
        skip: Names of checks to skip.
        **arguments: Constructor arguments.

    Returns:
        A report with one finding per check. Bugs in `source` are reported as findings and never
        raised.

    Raises:
        UserError: If `source` is no component, if a constructor argument
            cannot be guessed, if the inputs have the wrong rank, or if a check or backend does not
            exist.

    Example:
        >>> check_one(vg.blocks.Residual, (2, 16, 24, 8), filters=8).ok
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
    """Check several components with one fresh process per backend.

    Starting a process and importing a backend takes seconds, so checking many classes in one call
    is much faster than calling `check` for each.

    Args:
        items: Classes, instances, or dicts with the keys `source`, `inputs` and `config`.
        backends: Backends of the fresh processes, as in `check_one`.
        skip: Names of checks to skip.
        keep_going: If True, a class that cannot be constructed (for example because an argument
            cannot be guessed) gets a report with the single failed finding `arguments`, and the
            remaining items are checked. If False, the error is raised.

    Returns:
        One report per item, in the order of `items`.

    Raises:
        UserError: As in `check`; errors about single items only if `keep_going` is False.
    """
    wanted = _known_backends(backends)
    _known_checks(skip)
    with _unfiltered_keras(), fresh.FreshProcesses(wanted, skip) as processes:
        pending = []
        finished: dict[int, Report] = {}
        for position, item in enumerate(items):
            given = item if isinstance(item, dict) else {"source": item}
            try:
                if is_component(given["source"]):
                    finished[position] = check_component(
                        given["source"], given.get("config"), skip, given.get("inputs")
                    )
                    continue
                subject = Subject(given["source"], given.get("inputs"), given.get("config"))
            except UserError as error:
                if not keep_going:
                    raise
                finished[position] = _rejection(given["source"], error)
                continue
            own = [*skip, *examples_of(subject.cls).get("skip", ())]
            findings = list(_in_process(subject, own))
            traced = all(f.status == "passed" for f in findings if f.check in ("runs", "traces"))
            job = processes.add(subject) if traced else None
            pending.append((subject, own, findings, job))
        processes.run()
        made = iter(
            Report(subject.cls.__name__, (*found, *_of_processes(processes, job, own, _run(found))))
            for subject, own, found, job in pending
        )
        count = len(pending) + len(finished)
        return [finished[i] if i in finished else next(made) for i in range(count)]


def _rejection(source: Any, error: UserError) -> Report:
    """Return the report of a class that could not be constructed."""
    is_class = isinstance(source, type)
    name = source.__name__ if is_class else type(source).__name__
    finding = failed(
        " ".join(error.what.split()), error.fix or "specify the constructor arguments and inputs"
    )
    return Report(name, (finding.named("arguments"),))


def assert_valid(source: Any, inputs: Any = None, **options: Any) -> None:
    """Check a component of any kind and raise if any check fails.

    Args:
        source: Class or instance to check, as in `check_one`.
        inputs: Inputs, as in `check_one`.
        **options: Further arguments of `check`, including constructor arguments.

    Raises:
        AssertionError: If a check fails. The message lists every failed check with its evidence
            and advice.
    """
    report = check_one(source, inputs, **options)
    if not report.ok:
        raise AssertionError(str(report))


def _in_process(subject: Subject, skip: Sequence[str]) -> Iterator[Finding]:
    """Run the checks that need no other process and yield their findings.

    If `runs` fails, the checks that depend on it are omitted. If another prerequisite fails, the
    dependent checks are reported as skipped.
    """
    failures: set[str] = set()
    reported: set[str] = set()
    groups: tuple[tuple[dict[str, Callable[[Subject], Finding]], tuple[str, ...]], ...] = (
        (_WITHOUT_PREREQUISITES, ()),
        (_RUNNING, ("runs",)),
        (_TRACING, ("runs", "traces")),
        (_REPEATABLE, ("runs", "repeatable")),
        (_of_role(subject), ("runs", "traces")),
    )
    for checks, needs in groups:
        for name, function in checks.items():
            if name in skip and name != "runs":
                continue
            failed_need = next((need for need in needs if need in failures), None)
            if failed_need == "runs":
                continue
            if failed_need is not None:
                finding = skipped(f"`{failed_need}` fails")
            else:
                finding = _safely(function, subject)
            if finding.status == "failed":
                # Several checks often meet the same exception; it is reported only once.
                if finding.evidence in reported:
                    continue
                failures.add(name)
                reported.add(finding.evidence)
            yield finding.named(name)


def _of_role(subject: Subject) -> dict[str, Callable[[Subject], Finding]]:
    """Return the part checks that apply to the subject's role; none for layers and models."""
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
        return failed(describe(error), advice_for(error, "fix the code that raises this error"))


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
    available = fresh.installed()
    for name in names:
        if name not in available:
            raise UserError(f"the backend {name!r} is not installed", fix=nearest(name, available))
    return names


def _known_checks(skip: Sequence[str]) -> None:
    known = (*CHECKS, *component_checks())
    for name in skip:
        if name not in known:
            raise UserError(f"{name!r} is not the name of a check", fix=nearest(name, known))


@contextmanager
def _unfiltered_keras() -> Iterator[None]:
    """Disable Keras's traceback filtering and all warnings within the context."""
    # Filtered tracebacks lack the frame of the user's file that the findings name.
    before = keras.config.is_traceback_filtering_enabled()
    keras.config.disable_traceback_filtering()
    try:
        # Everything that Keras warns about here is covered by a check.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if before:
            keras.config.enable_traceback_filtering()
