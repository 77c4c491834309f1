"""Checks of a head's loss and decoding: both must run and interpret raw predictions alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import numpy as np
from keras import ops

from visiongarden.backends.gradients import Compiled
from visiongarden.errors import UserError
from visiongarden.parts import Head
from visiongarden.tasks import Match
from visiongarden.testing.arrays import leaves, numpy_leaves, packed
from visiongarden.testing.checks import losses
from visiongarden.testing.examples import examples_of
from visiongarden.testing.explain import advice_for, describe
from visiongarden.testing.report import Finding, failed, passed, skipped, warned
from visiongarden.testing.subject import Subject
from visiongarden.testing.targets import matches, targets_for, task_of_head

T = TypeVar("T")

_UNKNOWN = (
    "there are no test targets for task {0!r}; set examples = {{'targets': {{...}}}} in the class"
)
_ROUNDS = ((150, 0.1), (200, 0.5), (200, 2.0), (150, 0.1))
"""(steps, learning rate) of each round of fitting raw predictions.

Most heads need only the first round. Rounds continue until the decoded results match.
"""


def loss(subject: Subject) -> Finding:
    """Check that the loss runs and has a gradient for every raw prediction; see `check_loss`."""
    head = _head(subject)
    chosen = _chosen(head.chosen_loss)
    if chosen is None:
        return warned(
            "the head has no loss, so it cannot be trained", "loss: vg.losses.Loss = MyLoss()"
        )
    targets = _targets(subject, head)
    if targets is None:
        return skipped(_UNKNOWN.format(head.task))
    return losses.check_loss(subject, chosen, targets)


def decode(subject: Subject) -> Finding:
    """Check that the decoding returns valid results.

    All values must be finite, scores in 0 to 1 with one column per class, and boxes (x1, y1, x2,
    y2) with x1 <= x2 and y1 <= y2.
    """
    head = _head(subject)
    decoding = _chosen(head.chosen_decoding)
    if decoding is None:
        return warned(
            "the head has no decoding, so it cannot be used for predictions",
            "decoding: vg.postprocess.Decoding = MyDecoding()",
        )
    try:
        found = decoding(subject.inference, losses.context_of(subject))
    except Exception as error:
        advice = "implement __call__(self, raw, context), which returns {name: tensor}"
        return failed(f"the decoding fails: {describe(error)}", advice_for(error, advice))
    if wrong := _wrong_names(head, found):
        return failed(*wrong)
    arrays = _numpy(found)
    if wrong := _wrong_arrays(head, arrays, subject):
        return failed(*wrong)
    return passed(", ".join(f"{name} {array.shape}" for name, array in arrays.items()))


def loss_decode(subject: Subject) -> Finding:
    """Check that loss and decoding agree.

    Raw predictions are fitted to targets by minimizing the loss and must then decode to these
    targets. A head whose loss and decoding use different box formats or units fails.
    """
    head = _head(subject)
    targets = _targets(subject, head)
    if targets is None or examples_of(type(head)).get("targets") is not None:
        return skipped(
            _UNKNOWN.format(head.task) if targets is None else "the class provides its own targets"
        )
    chosen, decoding = _chosen(head.chosen_loss), _chosen(head.chosen_decoding)
    if chosen is None or decoding is None:
        return skipped(f"the head has no {'loss' if chosen is None else 'decoding'}")
    try:
        found, before, after = _fitted(subject, head, chosen, decoding, targets)
    except Exception as error:
        return skipped(f"the loss or the decoding fails: {type(error).__name__}")
    if not found:
        return skipped(f"the task {head.task!r} does not compare what is decoded with its targets")
    learned = [match for match in found if match.learned]
    if not learned:
        return warned(
            f"nothing is detected after fitting raw predictions to {found[0].expected} (loss "
            f"{before:.3g} -> {after:.3g})",
            "make the loss raise the score of the target's class, and the decoding return it",
        )
    wrong = [match for match in learned if not match.correct]
    if wrong:
        return failed(
            f"raw predictions fitted to {wrong[0].expected} decode to {wrong[0].got}",
            "loss and decoding must interpret raw predictions alike"
            + (f": {wrong[0].advice}" if wrong[0].advice else ""),
        )
    return passed(f"{len(learned)} of {len(found)} fitted targets decode to themselves")


def _chosen(choose: Callable[[], T]) -> T | None:
    """Return the loss or the decoding of a head, or None."""
    try:
        return choose()
    except UserError:
        return None


def _head(subject: Subject) -> Head:
    return cast(Head, subject.part)


def _targets(subject: Subject, head: Head) -> dict[str, np.ndarray] | None:
    batch = len(leaves(subject.arguments)[0])
    return targets_for(head, list(subject.features), subject.image_size, batch)


def _fitted(
    subject: Subject, head: Head, validate: Any, decoding: Any, targets: dict[str, np.ndarray]
) -> tuple[list[Match], float, float]:
    """Fit raw predictions to targets; return the decoded matches and the loss before and after."""
    # The compiled loss contains the constants of these raw predictions; others are initial values.
    raw = losses.raw_of(subject, targets)
    initial = numpy_leaves(losses.raw_of(subject, targets, subject.second_instance[0]))
    run = losses.compiled(subject, validate, targets)
    places = losses.moving(subject, raw)
    arrays = [initial[place].copy() for place in places]
    first, _ = run(arrays)
    found: list[Match] = []
    last = first
    for steps, size in _ROUNDS:
        last = _adam(run, arrays, steps, size)
        fitted = leaves(raw)
        for place, array in zip(places, arrays, strict=True):
            fitted[place] = ops.convert_to_tensor(array)
        decoded = decoding(packed(raw, fitted), losses.context_of(subject))
        found = matches(head, targets, _numpy(decoded))
        if all(match.learned and match.correct for match in found):
            break
    return found, first, last


def _adam(run: Compiled, arrays: list[np.ndarray], steps: int, size: float) -> float:
    """Minimize in place with Adam (Kingma and Ba, 2015, Algorithm 1) and return the last value.

    The decay rates are 0.9 and 0.99.
    """
    value = 0.0
    first = [np.zeros_like(a) for a in arrays]
    second = [np.zeros_like(a) for a in arrays]
    for step in range(1, steps + 1):
        value, found = run(arrays)
        for array, gradient, m, v in zip(arrays, found, first, second, strict=True):
            if gradient is None:
                continue
            m += 0.1 * (gradient - m)
            v += 0.01 * (gradient**2 - v)
            scale = np.sqrt(v / (1 - 0.99**step)) + 1e-8
            array -= size * m / (1 - 0.9**step) / scale
    return value


def _numpy(found: Mapping[str, Any]) -> dict[str, np.ndarray]:
    names = sorted(found)
    arrays = numpy_leaves([found[name] for name in names])
    return dict(zip(names, arrays, strict=True))


def _wrong_names(head: Head, found: Any) -> tuple[str, str] | None:
    """Return evidence and advice if a decoding does not return a dict with its outputs."""
    if not isinstance(found, Mapping):
        return (
            f"the decoding returns an object of type {type(found).__name__}, not a dict",
            'return a dict: {"boxes": …, "scores": …} for detection, {"scores": …} otherwise',
        )
    declared = head.chosen_decoding().outputs
    if set(found) != set(declared):
        return (
            f"the decoding declares the outputs {sorted(declared)}, but returns {sorted(found)}",
            f"outputs: ClassVar[tuple[str, ...]] = {tuple(sorted(found))}",
        )
    task = task_of_head(head)
    needed = () if task is None else task.needed_outputs(declared)
    missing = [name for name in needed if name not in found]
    if missing:
        return (
            f"the decoding does not return {', '.join(missing)}",
            f"the task {head.task} needs the outputs {', '.join(needed)}",
        )
    return None


def _wrong_arrays(
    head: Head, arrays: Mapping[str, np.ndarray], subject: Subject
) -> tuple[str, str] | None:
    """Return evidence and advice if decoded arrays have wrong shapes or value ranges."""
    batch = len(leaves(subject.arguments)[0])
    if not arrays or any(a.ndim < 2 or a.shape[0] != batch for a in arrays.values()):
        shapes = ", ".join(str(a.shape) for a in arrays.values())
        return (
            f"a batch of {batch} images is decoded to {shapes or 'no arrays'}",
            "keep the batch as the first axis",
        )
    if not all(np.isfinite(a).all() for a in arrays.values()):
        return (
            "the decoding returns values that are not finite",
            "bound the arguments of exponentials",
        )
    task = task_of_head(head)
    return None if task is None else task.invalid_outputs(head, arrays, subject.image_size)
