"""Checks of decodings: names and values of the arrays, and that they are part of a graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import keras
import numpy as np

from visiongarden.testing.arrays import numpy_leaves
from visiongarden.testing.checks import heads, losses, values
from visiongarden.testing.explain import describe
from visiongarden.testing.head_search import first_that_runs
from visiongarden.testing.report import Finding, failed, passed
from visiongarden.testing.value_subject import ValueSubject


class DecodingSubject(ValueSubject):
    """A decoding under test, with a head that it fits."""

    @cached_property
    def found(self) -> tuple[Any, dict[str, Any], Any]:
        """The head under test, targets, and the decoded arrays."""
        return first_that_runs(self, "decoding", lambda head, _: self.run(head, head.inference))

    def run(self, head: Any, raw: Any) -> Any:
        """Decode raw predictions of a head."""
        return self.value(raw, losses.context_of(head))


def runs(subject: DecodingSubject) -> Finding:
    """Check names, shapes and value ranges of the arrays."""
    return heads.decode(subject.found[0])


def batch_independence(subject: DecodingSubject) -> Finding:
    """Check that the arrays of an image do not depend on the other images."""
    head, _, whole = subject.found
    raw = keras.tree.map_structure(lambda x: x[1:2], head.inference)
    alone = subject.run(head, raw)
    for name in sorted(alone):
        one, both = numpy_leaves([alone[name], whole[name]])
        if one.shape[1:] != both.shape[1:] or not np.allclose(
            one[0], both[1], rtol=1e-3, atol=1e-4
        ):
            return failed(
                f"the array {name!r} of an image changes with the other images of the batch",
                "keep the batch as the first axis, and compute with the axes after it",
            )
    return passed("each image for itself")


def in_graph(subject: DecodingSubject) -> Finding:
    """Check that the decoding is part of a graph, which an exported file contains."""
    head, _, _ = subject.found
    symbols = keras.tree.map_structure(
        lambda x: keras.KerasTensor((None, *x.shape[1:]), dtype="float32"), head.inference
    )
    try:
        found = subject.run(head, symbols)
    except Exception as error:
        return failed(
            f"the decoding does not run on symbolic tensors: {describe(error)}",
            "use keras.ops throughout, and ops.shape(x)[0] for the batch, whose size is unknown",
        )
    shapes = {name: tuple(value.shape) for name, value in found.items()}
    return passed(", ".join(f"{name} {shape}" for name, shape in shapes.items()))


CHECKS: dict[str, Callable[[Any], Finding]] = {
    "registered": values.registered,
    "round_trip": values.round_trip,
    "runs": runs,
    "batch_independence": batch_independence,
    "in_graph": in_graph,
}
"""Checks of a decoding by name, in the order in which they run."""
