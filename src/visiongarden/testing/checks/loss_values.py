"""Checks of a loss alone: that of a whole head, or one of scores, boxes or regions."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np
from keras import ops

from visiongarden.backends.gradients import value_and_gradients
from visiongarden.losses import BoxLoss, RegionLoss, ScoreLoss
from visiongarden.testing.arrays import numpy_leaves
from visiongarden.testing.checks import losses, values
from visiongarden.testing.head_search import first_that_runs
from visiongarden.testing.report import Finding, failed, passed
from visiongarden.testing.value_subject import ValueSubject

_ROUNDING = 1e-5


def float32(numbers: Any) -> np.ndarray:
    """Return an array of float32."""
    return np.asarray(numbers, np.float32)


class LossSubject(ValueSubject):
    """A loss under test, with a head that it fits."""

    @cached_property
    def found(self) -> tuple[Any, dict[str, Any], Any]:
        """The head under test, targets, and the terms."""
        return first_that_runs(
            self,
            "loss",
            lambda head, targets: self.value(
                losses.raw_of(head, targets), losses.tensors(targets), losses.context_of(head)
            ),
        )


def runs(subject: LossSubject) -> Finding:
    """Check that the loss returns the terms that it declares, as finite scalars."""
    head, _, terms = subject.found
    wrong = losses.wrong_terms(subject.value, terms)
    return failed(*wrong) if wrong else passed(f"{', '.join(terms)} of {head.cls.__name__}")


def no_objects(subject: LossSubject) -> Finding:
    """Check that the loss is finite for images without objects."""
    head, targets, _ = subject.found
    wrong = losses.not_finite(head, subject.value, targets)
    return failed(*wrong) if wrong else passed("finite without objects")


def padding(subject: LossSubject) -> Finding:
    """Check that rows of the class -1 have no effect."""
    wrong = losses.not_padded(subject.found[0], subject.value, *subject.found[1:])
    return failed(*wrong) if wrong else passed("rows that pad have no effect")


def sums(subject: LossSubject) -> Finding:
    """Check that the terms of a batch are the sums of those of its images."""
    wrong = losses.not_a_sum(subject.found[0], subject.value, *subject.found[1:])
    return failed(*wrong) if wrong else passed("sums over the images of a batch")


def gradients(subject: LossSubject) -> Finding:
    """Check that each raw prediction has a finite gradient."""
    head, targets, terms = subject.found
    return losses.gradient_of_each(head, subject.value, targets, sorted(terms))


def score_shape(subject: ValueSubject) -> Finding:
    """Check that a loss of scores returns one value of 0 or more for each element."""
    targets, logits = _scores()
    return _elements(_numpy(_call(subject, targets, logits)), logits.shape)


def box_shape(subject: ValueSubject) -> Finding:
    """Check that a loss of boxes returns one value of 0 or more for each box."""
    true, found = _boxes()
    return _elements(_numpy(_call(subject, true, found)), true.shape[:-1])


def region_shape(subject: ValueSubject) -> Finding:
    """Check that a loss of regions returns one value of 0 or more for each image."""
    true, found, weights = _regions()
    return _elements(_numpy(_call(subject, true, found, weights)), true.shape[:1])


def elementwise(subject: ValueSubject) -> Finding:
    """Check that the loss of an element does not depend on the other elements."""
    pair = _boxes() if isinstance(subject.value, BoxLoss) else _scores()
    whole = _numpy(_call(subject, *pair))
    alone = np.concatenate([_numpy(_call(subject, *(a[i : i + 1] for a in pair))) for i in (0, 1)])
    if np.allclose(whole[:2], alone, rtol=1e-4, atol=_ROUNDING):
        return passed("each element for itself")
    return failed(
        "the loss of an element changes with the elements beside it",
        "return the loss of each element, neither summed nor averaged nor divided",
    )


def score_prefers(subject: ValueSubject) -> Finding:
    """Check that right scores have a smaller loss than wrong ones."""
    logits = float32([-6, 6])
    for target, word in ((1.0, "object"), (0.0, "background")):
        low, high = _numpy(_call(subject, np.full(2, target, np.float32), logits))
        right, wrong = (high, low) if target else (low, high)
        if not right < wrong:
            return failed(
                f"for {word}, the loss of the right score is {right:.3g}, of the wrong one "
                f"{wrong:.3g}",
                "the arguments are (targets, logits); logits are before the sigmoid",
            )
    return passed("right scores have the smaller loss")


def box_prefers(subject: ValueSubject) -> Finding:
    """Check that a box in the right place has a smaller loss than one beside it."""
    true = float32([[10, 10, 30, 40]] * 2)
    same, other = _numpy(_call(subject, true, true + float32([[0], [12]])))
    if same < other:
        return passed("the right box has the smaller loss")
    return failed(
        f"the loss of the right box is {same:.3g}, of another one {other:.3g}",
        "return 0 for equal boxes, and more for others",
    )


def region_prefers(subject: ValueSubject) -> Finding:
    """Check that right regions have a smaller loss, and that ignored pixels have no effect."""
    true, _, weights = _regions()
    right, wrong = (_numpy(_call(subject, true, float32(p), weights)) for p in (true, 1 - true))
    if not (right < wrong).all():
        return failed(
            f"the loss of the right region is {right[0]:.3g}, of the opposite one {wrong[0]:.3g}",
            "the arguments are (targets, probabilities, weights)",
        )
    changed = np.where(weights[..., None] > 0, true, 1 - true).astype(np.float32)
    if not np.allclose(_numpy(_call(subject, true, changed, weights)), right, atol=_ROUNDING):
        return failed(
            "pixels of weight 0 change the loss", "multiply by weights[..., None] before the sums"
        )
    return passed("the right region has the smaller loss; ignored pixels have none")


def finite(subject: ValueSubject) -> Finding:
    """Check that the loss and its gradient are finite for extreme predictions, and not all zero."""
    fixed, moving, more = _extremes(subject.value)
    found = _numpy(_call(subject, fixed, moving, *more))
    # One compilation for all cases.
    run = value_and_gradients(partial(_total, subject.value, fixed, more))
    gradient = run([moving])[1][0]
    for name, values_ in (("loss", found), ("gradient", gradient)):
        wrong: Any = [] if values_ is None else np.argwhere(~np.isfinite(values_))
        if len(wrong):
            at = int(wrong[0][0])
            return failed(
                f"the {name} is not finite for {_short(moving[at])} with the target "
                f"{_short(fixed[at])}",
                "bound the arguments of logarithms, roots, powers and divisions: "
                "ops.maximum(x, 1e-6)",
            )
    if gradient is None or not gradient.any():
        return failed("the predictions have no gradient", "use keras.ops, and no rounding")
    return passed("finite for extreme predictions")


def _total(loss: Any, fixed: np.ndarray, more: tuple[Any, ...], given: list[Any]) -> Any:
    found = loss(ops.convert_to_tensor(fixed), given[0], *map(ops.convert_to_tensor, more))
    return ops.sum(ops.cast(found, "float32"))


def _extremes(loss: Any) -> tuple[np.ndarray, np.ndarray, tuple[Any, ...]]:
    """Return targets, predictions, and further arguments of a loss."""
    if isinstance(loss, ScoreLoss):
        logits = [-60, -1, 0, 1, 60]
        return np.repeat(float32([0, 0.5, 1]), len(logits)), float32(3 * logits), ()
    if isinstance(loss, BoxLoss):
        others = ([10, 10, 30, 40], [100, 100, 120, 140], [20, 20, 20, 20], [12, 9, 31, 44])
        return float32([[10, 10, 30, 40]] * len(others)), float32(others), ()
    true, found, weights = _regions()
    nothing = np.zeros_like(true)
    cases = [(true, found), (nothing, found), (nothing, nothing), (true, nothing), (true, true)]
    fixed, moving = (np.concatenate(side) for side in zip(*cases, strict=True))
    return fixed, moving, (np.concatenate([weights] * len(cases)),)


def _elements(found: np.ndarray, shape: tuple[int, ...]) -> Finding:
    if found.shape != tuple(shape):
        return failed(
            f"the loss has the shape {found.shape}, not {tuple(shape)}",
            "return one value for each element; the loss of the head adds them",
        )
    if not np.isfinite(found).all() or found.min() < -_ROUNDING:
        return failed(f"the loss has the value {found.min():.3g}", "return values of 0 or more")
    return passed(f"{found.shape}, {found.min():.3g} to {found.max():.3g}")


def _scores() -> tuple[np.ndarray, np.ndarray]:
    logits = np.linspace(-4, 4, 24, dtype=np.float32).reshape(2, 12)
    targets = np.zeros_like(logits)
    targets[0, ::3], targets[1, ::4] = 1, 0.6
    return targets, logits


def _boxes() -> tuple[np.ndarray, np.ndarray]:
    true = float32([[10, 10, 30, 40], [0, 0, 5, 5], [7, 3, 9, 30]])
    return true, true + float32([[1, 0, 3, 2], [40, 40, 40, 40], [0, 0, 0, 0]])


def _regions() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    true = np.eye(3, dtype=np.float32)[rng.integers(0, 3, (2, 20))]
    found = rng.dirichlet(np.ones(3), (2, 20)).astype(np.float32)
    weights = np.ones((2, 20), np.float32)
    weights[:, :4] = 0
    return true, found, weights


def _call(subject: ValueSubject, *arrays: np.ndarray) -> Any:
    """Call the loss as training does, with tensors."""
    return subject.value(*map(ops.convert_to_tensor, arrays))


def _numpy(found: Any) -> np.ndarray:
    return numpy_leaves([found])[0]


def _short(values_: np.ndarray) -> str:
    return f"{values_.ravel()[:4].round(2).tolist()}"


_COMMON: dict[str, Callable[[Any], Finding]] = {
    "registered": values.registered,
    "round_trip": values.round_trip,
}
_OF_SCORES = _COMMON | {
    "runs": score_shape,
    "elementwise": elementwise,
    "prefers_target": score_prefers,
    "finite": finite,
}
_OF_BOXES = _OF_SCORES | {"runs": box_shape, "prefers_target": box_prefers}
_OF_REGIONS = _COMMON | {
    "runs": region_shape,
    "prefers_target": region_prefers,
    "finite": finite,
}
_OF_HEADS = _COMMON | {
    "runs": runs,
    "no_objects": no_objects,
    "padding": padding,
    "sums": sums,
    "gradients": gradients,
}


def checks_of(loss: Any) -> dict[str, Callable[[Any], Finding]]:
    """Return the checks of a loss by name, in the order in which they run."""
    if isinstance(loss, ScoreLoss):
        return _OF_SCORES
    if isinstance(loss, BoxLoss):
        return _OF_BOXES
    return _OF_REGIONS if isinstance(loss, RegionLoss) else _OF_HEADS
