"""Loss of several heads: the terms of each, multiplied by its weight."""

from __future__ import annotations

from typing import Any, cast

from keras import ops
from pydantic import Field

from visiongarden.losses.class_columns import KNOWN
from visiongarden.losses.loss import Loss
from visiongarden.ops import wide
from visiongarden.registry import register
from visiongarden.types import HeadContext, RawPredictions, Targets, Term


@register
class CombinedLoss(Loss):
    """Weighted terms of several heads, such as "boxes/class" of the head "boxes".

    A head whose targets are not in a batch adds exactly 0.

    Attributes:
        losses: loss of each head, by the head's name.
        weights: factor of each head's terms, by the head's name.

    Example:
        >>> heads = {"kind": vg.heads.Classification(num_classes=3)}
        >>> vg.heads.CombinedHeads(heads=heads).chosen_loss().terms
        ('kind/class',)
    """

    losses: dict[str, Loss]
    weights: dict[str, float] = Field(default_factory=dict)

    @property
    def terms(self) -> tuple[str, ...]:  # type: ignore[override]  # a constant of other losses
        """Names of the terms, `head/term`."""
        return tuple(f"{name}/{term}" for name, loss in self.losses.items() for term in loss.terms)

    def __call__(
        self, raw: RawPredictions, targets: Targets, context: HeadContext
    ) -> dict[str, Term]:
        """Return the terms of all heads.

        Args:
            raw: head -> raw predictions of the head.
            targets: `head/target` -> array, such as "boxes/classes".
            context: the context of the combined heads.
        """
        found: dict[str, Term] = {}
        for name, loss in self.losses.items():
            own = own_targets(targets, name)
            weight = self.weights.get(name, 1.0)
            if not own.keys() - {KNOWN} or not set(loss.targets) <= own.keys():
                zero = ops.zeros((), wide())
                found |= {f"{name}/{term}": Term(zero, zero) for term in loss.terms}
                continue
            terms = loss(cast(Any, raw)[name], own, context.of_head(name))
            found |= {
                f"{name}/{term}": Term(weight * total, count)
                for term, (total, count) in terms.items()
            }
        return found


def own_targets(targets: Targets, name: str) -> dict[str, Any]:
    """Return the targets of one head by their own names.

    Args:
        targets: `head/target` -> array.
        name: name of the head.
    """
    start = f"{name}/"
    return {
        key.removeprefix(start): value for key, value in targets.items() if key.startswith(start)
    }
