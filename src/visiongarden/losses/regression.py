"""Loss of a regression head."""

from __future__ import annotations

from typing import ClassVar

from keras import ops
from pydantic import NonNegativeFloat, PositiveFloat

from visiongarden.errors import UserError
from visiongarden.losses.loss import Loss
from visiongarden.losses.smooth_l1_loss import smooth_l1
from visiongarden.ops import wide
from visiongarden.registry import register
from visiongarden.types import HeadContext, RawPredictions, Targets, Term


@register
class RegressionLoss(Loss):
    """Smooth L1 loss of values in units of their standard deviation, averaged over known values.

    Unknown values, NaN, have no gradient.

    Attributes:
        beta: error in standard deviations above which the loss is linear, so that wrong labels do
            not dominate it.
        gains: factor of the loss of each value; 0 ignores a value; None: all 1.

    Example:
        >>> head = vg.heads.Regression(
        ...     names=("x", "y"), units=("m", "m"), means=(1.0, 0.0), scales=(2.0, 1.0)
        ... )
        >>> raw = {"p5": {"values": np.array([[0.5, 9.0]], "float32")}}
        >>> targets = {"values": np.array([[3.0, np.nan]], "float32")}  # (3 - 1) / 2 is 1
        >>> context = vg.types.HeadContext(head, (64, 64), None)
        >>> term = vg.losses.RegressionLoss()(raw, targets, context)["value"]
        >>> float(term.total), float(term.count)
        (0.125, 1.0)
    """

    terms: ClassVar[tuple[str, ...]] = ("value",)
    targets: ClassVar[tuple[str, ...]] = ("values",)
    head_fields: ClassVar[tuple[str, ...]] = ("means", "scales")
    beta: PositiveFloat = 1.0
    gains: tuple[NonNegativeFloat, ...] | None = None

    def __call__(
        self, raw: RawPredictions, targets: Targets, context: HeadContext
    ) -> dict[str, Term]:
        """Return the loss as its only term.

        Args:
            raw: level -> {"values": (batch, k)}, standardized values, one level.
            targets: "values" (batch, k) float, in their units; NaN is unknown.
            context: the head, the image size and the levels.

        Raises:
            UserError: the number of gains is not that of the values.
        """
        (level,) = raw.values()
        found = ops.cast(level["values"], wide())
        given = ops.cast(targets["values"], wide())
        known = ops.logical_not(ops.isnan(given))
        # Replaced before any arithmetic: NaN times 0 is NaN, also in a gradient.
        true = ops.where(known, given, ops.zeros_like(given))
        means, scales = (
            ops.convert_to_tensor([values], wide())
            for values in (context.head.means, context.head.scales)
        )
        weights = ops.cast(known, wide())
        if self.gains is not None:
            if len(self.gains) != len(context.head.means):
                raise UserError(
                    f"the loss has {len(self.gains)} gains",
                    rule=f"{len(context.head.means)}, one for each value",
                )
            weights = weights * ops.convert_to_tensor([self.gains], wide())
        losses = smooth_l1((true - means) / scales, found, self.beta)
        count = ops.sum(ops.cast(known, wide()))
        return {"value": Term(ops.sum(losses * weights), count)}
