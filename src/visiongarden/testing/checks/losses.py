"""Checks of losses of heads: terms, padding, sums over batches, and a gradient for each output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import keras
import numpy as np
from keras import ops

from visiongarden.backends.gradients import Compiled, value_and_gradients
from visiongarden.losses import Loss, quotients
from visiongarden.parts import Head
from visiongarden.parts.target_inputs import with_features
from visiongarden.testing.arrays import Shaped, by_key, is_float, leaves, numpy_leaves, packed
from visiongarden.testing.explain import advice_for, describe
from visiongarden.testing.report import Finding, failed, passed
from visiongarden.testing.subject import Subject
from visiongarden.testing.targets import empty
from visiongarden.types import HeadContext, Term

_PADDING = 3


def context_of(subject: Subject) -> HeadContext:
    """Return the context of the head under test."""
    return HeadContext(cast(Head, subject.part), subject.image_size, subject.features)


def tensors(targets: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return targets as tensors of the backend."""
    return {name: ops.convert_to_tensor(value) for name, value in targets.items()}


def raw_of(subject: Subject, targets: Mapping[str, np.ndarray], layer: Any = None) -> Any:
    """Return the raw predictions that a loss receives in training.

    A head that takes targets samples regions with an object by them.

    Args:
        subject: Head under test.
        targets: Targets of the head's task.
        layer: Model of the head; None: that with random weights, whose outputs are kept.
    """
    names = cast(Head, subject.part).target_inputs
    if layer is None and not names:
        return subject.inference
    if layer is None and subject.raw_in_training is not None:
        return subject.raw_in_training
    model = subject.main if layer is None else layer
    if not names:
        return subject.call(model)
    (features,) = subject.tensors()
    raw = model(with_features(features, tensors(targets), names), training=True)
    if layer is None:
        subject.raw_in_training = raw
    return raw


def check_loss(subject: Subject, loss: Loss, targets: dict[str, np.ndarray]) -> Finding:
    """Check the loss of a head with its raw predictions.

    It returns finite scalar terms, also for images without objects, where a division by the number
    of positives would give NaN; rows that pad have no effect; the terms of a batch are the sums of
    those of its images; and each raw prediction has a gradient.

    Args:
        subject: Head under test.
        loss: Loss to check.
        targets: Targets of the head's task.
    """
    context = context_of(subject)
    try:
        terms = loss(raw_of(subject, targets), tensors(targets), context)
    except Exception as error:
        advice = "it is called as loss(raw, targets, context), with the targets "
        advice += f"{', '.join(targets)}, and returns {{term: Term(total, count)}}"
        return failed(f"the loss fails: {describe(error)}", advice_for(error, advice))
    wrong = (
        wrong_terms(loss, terms)
        or not_finite(subject, loss, targets)
        or not_padded(subject, loss, targets, terms)
        or not_a_sum(subject, loss, targets, terms)
    )
    return failed(*wrong) if wrong else gradient_of_each(subject, loss, targets, sorted(terms))


def not_finite(
    subject: Subject, loss: Loss, targets: dict[str, np.ndarray]
) -> tuple[str, str] | None:
    """Return evidence and advice if the loss is not finite for images without objects."""
    nothing = empty(cast(Head, subject.part), targets)
    if nothing is None:
        return None
    raw = raw_of(subject, targets)
    values = quotients(loss(raw, tensors(nothing), context_of(subject)))
    if all(np.isfinite(a).all() for a in numpy_leaves(values)):
        return None
    return (
        "the loss is not finite for images without objects",
        "return Term(total, count), which is divided by at least 1",
    )


def not_padded(
    subject: Subject, loss: Loss, targets: dict[str, np.ndarray], terms: Mapping[str, Term]
) -> tuple[str, str] | None:
    """Return evidence and advice if rows of the class -1, which pad, change the terms."""
    classes = targets.get("classes")
    if classes is None or classes.ndim != 2:
        return None
    padded = {}
    for name, value in targets.items():
        if value.shape[:2] == classes.shape:
            # The other arrays are those of a real object: the class decides.
            more = np.repeat(value[:, :1], _PADDING, axis=1)
            value = np.concatenate([value, more], axis=1)
        padded[name] = value
    padded["classes"][:, -_PADDING:] = -1
    again = loss(raw_of(subject, targets), tensors(padded), context_of(subject))
    for name, term in terms.items():
        before, after = (np.array(numpy_leaves(list(t))) for t in (term, again[name]))
        if not np.allclose(before, after, rtol=1e-3, atol=1e-5):
            return (
                f"{_PADDING} rows of the class -1 change the term {name!r} from {_both(before)} to "
                f"{_both(after)}",
                'multiply by ops.cast(targets["classes"] >= 0, "float32"): the class -1 pads',
            )
    return None


def not_a_sum(
    subject: Subject, loss: Loss, targets: dict[str, np.ndarray], terms: Mapping[str, Term]
) -> tuple[str, str] | None:
    """Return evidence and advice if the terms of a batch are not the sums of those of its images.

    A total that is divided by the count of the local batch is wrong on several devices.
    """
    batch = len(leaves(subject.arguments)[0])
    if any(len(value) != batch for value in targets.values()):
        return None
    sums, whole_raw = dict.fromkeys(terms, np.zeros(2)), raw_of(subject, targets)
    for image in range(batch):
        raw = keras.tree.map_structure(lambda x, at=image: x[at : at + 1], whole_raw)
        own = {name: value[image : image + 1] for name, value in targets.items()}
        for name, term in loss(raw, tensors(own), context_of(subject)).items():
            sums[name] = sums[name] + np.array(numpy_leaves(list(term)))
    for name, term in terms.items():
        whole = np.array(numpy_leaves(list(term)))
        if not np.allclose(whole, sums[name], rtol=1e-3, atol=1e-5):
            return (
                f"the term {name!r} of a batch is {_both(whole)}, and the sum of those of its "
                f"images {_both(sums[name])}",
                "return the sum over the batch as total and its divisor as count, undivided",
            )
    return None


def _both(term: np.ndarray) -> str:
    return f"{term[0]:.4g} / {term[1]:.4g}"


def wrong_terms(validate: Loss, terms: Any) -> tuple[str, str] | None:
    """Return evidence and advice if the loss does not return a dict of finite scalars."""
    if not isinstance(terms, Mapping) or not terms:
        return (
            f"the loss returns an object of type {type(terms).__name__}, not a dict",
            'return a dict: {"box": Term(total, count), "class": Term(total, count)}',
        )
    for name, term in terms.items():
        if not isinstance(term, Term):
            return (
                f"the term {name!r} is a {type(term).__name__}, not a Term",
                "return Term(total, count): the sum over the batch, and what it is divided by",
            )
        for value in term:
            if isinstance(value, Shaped) and len(value.shape):
                return f"the term {name!r} has shape {tuple(value.shape)}", "reduce it to a scalar"
    values = dict(zip(sorted(terms), numpy_leaves({n: terms[n].total for n in sorted(terms)})))  # noqa: B905
    bad = [name for name, value in values.items() if not np.isfinite(value).all()]
    if bad:
        return (
            f"the term {bad[0]!r} is {values[bad[0]]}",
            "avoid logarithms, roots and divisions at 0",
        )
    if set(validate.terms) != set(terms):
        return (
            f"the loss declares the terms {sorted(validate.terms)}, but returns {sorted(terms)}",
            f"terms = {tuple(terms)!r}",
        )
    return None


def gradient_of_each(
    subject: Subject, validate: Any, targets: dict[str, np.ndarray], terms: list[str]
) -> Finding:
    """Check that each raw prediction has a finite gradient that is nonzero somewhere."""
    raw = raw_of(subject, targets)
    names = _names(raw)
    run = compiled(subject, validate, targets)
    start = numpy_leaves(raw)
    places = moving(subject, raw)
    names, start = [names[place] for place in places], [start[place] for place in places]
    moved = dict.fromkeys(names, False)
    linked = dict.fromkeys(names, False)
    # The gradient may be zero at one point only, so the loss is also evaluated at perturbed
    # predictions.
    rng = np.random.default_rng(0)
    for spread in (0.0, 0.5, 2.0):
        noise = [spread * rng.normal(size=a.shape).astype(a.dtype) for a in start]
        _, found = run([a + more for a, more in zip(start, noise, strict=True)])
        for name, gradient in zip(names, found, strict=True):
            if gradient is None:
                continue
            linked[name] = True
            if not np.isfinite(gradient).all():
                return failed(
                    f"the gradient of the loss for {name} is not finite",
                    "avoid logarithms, roots and divisions at 0",
                )
            moved[name] = moved[name] or bool(gradient.any())
    # On a level without positives, box terms have zero gradients. They count as used if the same
    # prediction has a gradient on another level.
    same = {name: any(moved[n] for n in names if _kind(n) == _kind(name)) for name in names}
    idle = [n for n in names if not moved[n] and not (linked[n] and same[n])]
    if idle:
        return failed(
            f"the loss does not depend on the raw prediction {', '.join(idle[:4])}",
            "use each output of wire() in a term of the loss, or do not return it",
        )
    return passed(f"terms {', '.join(terms)}; a gradient for each of {len(names)} raw predictions")


def moving(subject: Subject, raw: Any) -> list[int]:
    """Return the positions of the raw predictions that a loss differentiates, in flat order.

    Integers, and what the head declares as constant, are not.

    Args:
        subject: Head under test.
        raw: Its raw predictions.
    """
    fixed = cast(Head, subject.part).constants
    pairs = enumerate(zip(_names(raw), leaves(raw), strict=True))
    return [place for place, (name, x) in pairs if is_float(x) and _kind(name) not in fixed]


def _kind(name: str) -> str:
    """Return the name of a raw prediction without its level."""
    return name.rpartition("/")[2]


def _names(raw: Any) -> list[str]:
    return ["/".join(map(str, path)) for path, _ in keras.tree.flatten_with_path(by_key(raw))]


def compiled(subject: Subject, validate: Any, targets: dict[str, np.ndarray]) -> Compiled:
    """Return the loss of raw predictions with its gradients, compiled once for both checks."""
    if subject.compiled_loss is not None:
        return cast(Compiled, subject.compiled_loss)
    raw = raw_of(subject, targets)
    flat = leaves(raw)
    positions = moving(subject, raw)
    context, given = context_of(subject), tensors(targets)

    def total(tensors: list[Any]) -> Any:
        full = list(flat)
        for position, tensor in zip(positions, tensors, strict=True):
            full[position] = tensor
        terms = validate(packed(raw, full), given, context)
        return sum(ops.cast(term, "float32") for term in quotients(terms).values())

    subject.compiled_loss = value_and_gradients(total)
    return cast(Compiled, subject.compiled_loss)
