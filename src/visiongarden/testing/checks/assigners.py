"""Checks of assigners: indices, weights, padding, repeatability and independence."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from visiongarden.backends.gradients import value_and_gradients
from visiongarden.testing.arrays import numpy_leaves
from visiongarden.testing.checks import values
from visiongarden.testing.report import Finding, failed, passed, warned
from visiongarden.testing.value_subject import ValueSubject
from visiongarden.types import BACKGROUND, IGNORED, Assignment, Candidates

_SIZE, _CLASSES, _PADDING = 64, 3, 3
_BOXES: np.ndarray = np.array(
    [
        [[4, 6, 30, 28], [34, 8, 60, 40], [10, 36, 26, 60]],
        [[20, 20, 44, 44], [2, 2, 14, 60], [40, 40, 62, 62]],
    ],
    np.float32,
)
_OBJECTS: np.ndarray = np.array([[0, 1, 2], [2, 1, 0]], np.int32)


def candidates() -> Candidates:
    """Return candidates of two images of 64 pixels: levels of stride 8 and 16, two anchors each.

    The predictions of the cells are their anchors, moved a little.
    """
    rng = np.random.default_rng(0)
    points, strides, anchors = [], [], []
    for stride in (8, 16):
        rows, columns = np.mgrid[: _SIZE // stride, : _SIZE // stride]
        centers = (np.stack([columns, rows], -1).reshape(-1, 1, 2) + 0.5) * stride
        points.append(np.repeat(centers, 2, axis=1).reshape(-1, 2))
        count = len(points[-1])
        strides.append(np.full(count, stride))
        anchors.append(
            np.tile([[2 * stride, 2 * stride], [2 * stride, 3 * stride]], (count // 2, 1))
        )
    point, stride_of, anchor = (
        np.concatenate(x).astype(np.float32) for x in (points, strides, anchors)
    )
    low, high = point - anchor / 2, point + anchor / 2
    boxes = np.concatenate([low, high], -1)[None] + rng.normal(0, 2, (2, len(point), 4))
    scores = rng.uniform(0.01, 0.99, (2, len(point), _CLASSES))
    return Candidates(
        ops.convert_to_tensor(scores.astype(np.float32)),
        ops.convert_to_tensor(boxes.astype(np.float32)),
        point,
        stride_of,
        anchor,
    )


def targets(boxes: np.ndarray = _BOXES, classes: np.ndarray = _OBJECTS) -> dict[str, Any]:
    """Return the targets of two images with three objects each, or others."""
    return {"boxes": ops.convert_to_tensor(boxes), "classes": ops.convert_to_tensor(classes)}


class Found(NamedTuple):
    """An assignment as arrays, see `Assignment`."""

    rows: np.ndarray
    weight: np.ndarray


class AssignerSubject(ValueSubject):
    """An assigner under test, with its assignment of three objects in each of two images."""

    @cached_property
    def candidates(self) -> Candidates:
        """The candidates."""
        return candidates()

    @cached_property
    def result(self) -> Found:
        """The assignment, as arrays."""
        return self.run(targets())

    def run(self, given: dict[str, Any], of: Candidates | None = None) -> Found:
        """Assign other objects or candidates."""
        return Found(*numpy_leaves(list(self.value(of or self.candidates, given))))


def runs(subject: AssignerSubject) -> Finding:
    """Check the type and the shapes of the result."""
    found = subject.value(subject.candidates, targets())
    if not isinstance(found, Assignment):
        return failed(
            f"the assigner returns {type(found).__name__}, not an Assignment",
            "return vg.types.Assignment(index, weight)",
        )
    index, weight = numpy_leaves(list(found))
    shape = tuple(subject.candidates.boxes.shape[:2])
    if index.shape != shape or weight.shape != shape:
        return failed(
            f"index and weight have the shapes {index.shape} and {weight.shape}, not {shape}",
            "return one index and one weight for each prediction of each image",
        )
    if index.dtype.kind not in "iu":
        return failed(f"index has the type {index.dtype}", 'ops.cast(index, "int32")')
    return passed(f"{shape}, {(index >= 0).sum()} positives")


def indices(subject: AssignerSubject) -> Finding:
    """Check that indices are rows of the targets, -1 or -2, and weights are 0 to 1 and finite."""
    index, weight = subject.result
    lowest = IGNORED if subject.cls.ignores else BACKGROUND
    bad = (index < lowest) | (index >= _OBJECTS.shape[1])
    if bad.any():
        value = int(index[bad][0])
        return failed(
            f"an index is {value}",
            "ignores: ClassVar[bool] = True, for an assigner that returns -2"
            if value == IGNORED
            else f"return the row of an object, 0 to {_OBJECTS.shape[1] - 1} here, or -1",
        )
    if not np.isfinite(weight).all() or weight.min() < 0 or weight.max() > 1 + 1e-5:
        return failed(
            f"weights range from {weight.min():.3g} to {weight.max():.3g}",
            "return weights of 0 to 1",
        )
    if (weight[index < 0] != 0).any():
        return failed(
            "a prediction without an object has a weight", "ops.where(index >= 0, weight, 0.0)"
        )
    return passed(f"{index.min()} to {index.max()}")


def padding(subject: AssignerSubject) -> Finding:
    """Check that rows of the class -1 are assigned to no prediction and change nothing."""
    # The boxes of the rows are those of real objects: the class decides.
    boxes = np.concatenate([_BOXES, _BOXES[:, ::-1] + 1], axis=1)
    classes = np.concatenate([_OBJECTS, np.full_like(_OBJECTS, -1)], axis=1)
    found = subject.run(targets(boxes, classes))
    if (found.rows >= _OBJECTS.shape[1]).any():
        return failed(
            "a row of the class -1, which pads, is assigned", 'use targets["classes"] >= 0'
        )
    same = np.array_equal(found.rows, subject.result.rows)
    if not same or not np.allclose(found.weight, subject.result.weight, atol=1e-5):
        return failed(
            "rows of the class -1, which pad, change the assignment",
            'leave out rows where targets["classes"] < 0, also in sums, maxima and numbers',
        )
    return passed("rows that pad change nothing")


def no_objects(subject: AssignerSubject) -> Finding:
    """Check that an image without objects has no positives."""
    found = subject.run(targets(_BOXES, np.full_like(_OBJECTS, -1)))
    if (found.rows >= 0).any() or not np.isfinite(found.weight).all() or found.weight.any():
        return failed("an image without objects has positives", 'use targets["classes"] >= 0')
    return passed("no positives")


def repeatable(subject: AssignerSubject) -> Finding:
    """Check that the result is the same each time."""
    again = subject.run(targets())
    if all(np.array_equal(one, other) for one, other in zip(subject.result, again, strict=True)):
        return passed("the same each time")
    return failed("two calls return different assignments", "use no random numbers")


def batch_independence(subject: AssignerSubject) -> Finding:
    """Check that the assignment of an image does not depend on the other images."""
    whole = subject.candidates
    for image in (0, 1):
        one = whole._replace(
            scores=whole.scores[image : image + 1], boxes=whole.boxes[image : image + 1]
        )
        rows = slice(image, image + 1)
        found = subject.run(targets(_BOXES[rows], _OBJECTS[rows]), one)
        if not np.array_equal(found.rows[0], subject.result.rows[image]):
            return failed(
                "the assignment of an image changes with the other images of the batch",
                "compute sums and maxima of each image, over the axes after the first",
            )
    return passed("each image for itself")


def objects_assigned(subject: AssignerSubject) -> Finding:
    """Check that each object is assigned to a prediction."""
    missing = [
        f"object {row} of image {image}"
        for image, index in enumerate(subject.result.rows)
        for row in range(_OBJECTS.shape[1])
        if row not in index
    ]
    if len(missing) == _OBJECTS.size:
        return failed("no object is assigned", "return the row of the object for its predictions")
    if missing:
        return warned(
            f"{', '.join(missing)}: no prediction learns it", "assign the best one at least"
        )
    return passed(f"{_OBJECTS.size} objects")


def max_positives(subject: AssignerSubject) -> Finding:
    """Check that no image has more positives than `max_positives` returns."""
    limit = subject.value.max_positives(_OBJECTS.shape[1], subject.candidates)
    count = int((subject.result.rows >= 0).sum(axis=1).max())
    if count > limit:
        return failed(
            f"an image has {count} positives, but max_positives returns {limit}",
            "return the largest number of positives: a loss ignores the others",
        )
    return passed(f"{count} of at most {limit}")


def no_gradient(subject: AssignerSubject) -> Finding:
    """Check that no gradient passes through the assignment."""
    fixed = subject.candidates

    def total(given: list[Any]) -> Any:
        found = subject.value(fixed._replace(scores=given[0], boxes=given[1]), targets())
        # The second sum gives the function a gradient in any case.
        return ops.sum(found.weight) + 0.0 * (ops.sum(given[0]) + ops.sum(given[1]))

    _, gradients = value_and_gradients(total)(numpy_leaves([fixed.scores, fixed.boxes]))
    if any(gradient is not None and gradient.any() for gradient in gradients):
        return failed("a gradient passes through the weights", "weight = ops.stop_gradient(weight)")
    return passed("no gradient")


CHECKS: dict[str, Callable[[AssignerSubject], Finding]] = {
    "registered": values.registered,
    "round_trip": values.round_trip,
    "runs": runs,
    "indices": indices,
    "repeatable": repeatable,
    "padding": padding,
    "no_objects": no_objects,
    "batch_independence": batch_independence,
    "objects_assigned": objects_assigned,
    "max_positives": max_positives,
    "no_gradient": no_gradient,
}
"""Checks of an assigner by name, in the order in which they run."""
