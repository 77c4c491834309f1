"""Loss of a head with one-to-many and one-to-one branches: YOLOv10, section 3.1."""

from __future__ import annotations

from typing import ClassVar

from visiongarden.losses.anchor_free import AnchorFreeLoss
from visiongarden.registry import register
from visiongarden.types import HeadContext, RawPredictions, Targets, Term


@register
class DualAssignmentLoss(AnchorFreeLoss):
    """Anchor-free loss of both pairs of branches, with equal weight.

    Consistent dual assignment (Wang et al. 2024, equation 2): both assigners use the same alpha and
    beta, so that the single cell of the one-to-one branches is the best of the many. The assigner
    of the head is that of the one-to-many branches; that of the one-to-one branches differs only in
    `top_k`, which is 1.

    Example:
        >>> vg.heads.DualAssignment(num_classes=3, loss={"dfl_gain": 1})
        DualAssignment(num_classes=3, loss=DualAssignmentLoss(dfl_gain=1.0))
    """

    terms: ClassVar[tuple[str, ...]] = (
        *("many_box", "many_class", "many_dfl"),
        *("box", "class", "dfl"),
    )

    def __call__(
        self, raw: RawPredictions, targets: Targets, context: HeadContext
    ) -> dict[str, Term]:
        """Return the weighted terms.

        Args:
            raw: level -> {"boxes", "classes", "many_boxes", "many_classes"}, as in
                `AnchorFreeLoss`.
            targets: "boxes" and "classes", as in `AnchorFreeLoss`.
            context: the head, the image size and the levels.
        """
        many = context.head.chosen_assigner()
        found: dict[str, Term] = {}
        for prefix, assigner in (("many_", many), ("", many.replace(top_k=1))):
            own = {
                level: {name: tensors[prefix + name] for name in ("boxes", "classes")}
                for level, tensors in raw.items()
            }
            terms = self.with_assigner(own, targets, context, assigner)
            found |= {prefix + name: value for name, value in terms.items()}
        return found
