"""`Loss`: base class of the losses of heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from keras import ops

from visiongarden.config import Concise
from visiongarden.types import HeadContext, RawPredictions, Targets, Tensor, Term


class Loss(Concise):
    """Base class of losses: raw predictions and targets to named terms; a field of a head.

    What a loss needs to know about its head, such as anchors, it reads from `context.head`.

    Attributes:
        terms: names of the terms, in the order in which they are shown.
        targets: names of the targets that it needs; others may be there as well.
        head_fields: fields that a head must have for this loss.
        shared_count: whether all terms have the same count, the same tensor; gradients that are
            accumulated over batches then take a single sum, and one pass backward, for all terms.

    Example:
        >>> @vg.register(package="garden")
        ... class Count(vg.losses.Loss):
        ...     terms = targets = ("count",)
        ...     gain: float = 1.0
        ...
        ...     def __call__(self, raw, targets, context):
        ...         (level,) = raw.values()
        ...         error = keras.ops.abs(level["count"] - targets["count"])
        ...         total = self.gain * keras.ops.sum(error)
        ...         images = keras.ops.sum(keras.ops.ones_like(error))
        ...         return {"count": vg.types.Term(total, images)}
        >>> raw, targets = {"p5": {"count": np.array([3.0, 5.0])}}, {"count": np.array([4.0, 4.0])}
        >>> {n: float(t.total / t.count) for n, t in Count()(raw, targets, None).items()}
        {'count': 1.0}
    """

    terms: ClassVar[tuple[str, ...]]
    targets: ClassVar[tuple[str, ...]] = ()
    head_fields: ClassVar[tuple[str, ...]] = ()
    shared_count: ClassVar[bool] = False

    def __call__(
        self, raw: RawPredictions, targets: Targets, context: HeadContext
    ) -> dict[str, Term]:
        """Return the weighted terms.

        Args:
            raw: raw predictions of the head.
            targets: arrays by name, see `visiongarden.types.Targets`.
            context: the head, the image size and the levels.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `__call__`")


def quotients(terms: Mapping[str, Term]) -> dict[str, Tensor]:
    """Return each term divided by its count, or by 1 if the count is smaller.

    Example:
        >>> terms = {"box": vg.types.Term(6.0, 4.0), "class": vg.types.Term(0.5, 0.0)}
        >>> {name: float(value) for name, value in vg.losses.quotients(terms).items()}
        {'box': 1.5, 'class': 0.5}
    """
    return {name: term.total / ops.maximum(term.count, 1.0) for name, term in terms.items()}
