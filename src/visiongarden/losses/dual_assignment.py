"""Loss of a head with one-to-many and one-to-one branches: YOLOv10, section 3.1."""

from __future__ import annotations

from typing import ClassVar

from pydantic import PositiveInt

from visiongarden.assigners import TaskAligned
from visiongarden.config import Value
from visiongarden.losses.anchor_free import AnchorFreeLoss
from visiongarden.types import ImageSize, RawPredictions, Tensor


class DualAssignmentLoss(Value):
    """Anchor-free loss of both pairs of branches, with equal weight.

    Consistent dual assignment (Wang et al. 2024, equation 2): both assigners use the same alpha and
    beta, so that the single cell of the one-to-one branches is the best of the many.

    Attributes:
        num_classes: number of classes.
        bins: number of values of each distance's distribution.
        many: assigner of the one-to-many branches; that of the one-to-one branches differs only in
            `top_k`, which is 1.
    """

    terms: ClassVar[tuple[str, ...]] = (
        *("many_box", "many_class", "many_dfl"),
        *("box", "class", "dfl"),
    )
    num_classes: PositiveInt
    bins: PositiveInt = 16
    many: TaskAligned = TaskAligned()

    def __call__(
        self, raw: RawPredictions, boxes: Tensor, classes: Tensor, image_size: ImageSize
    ) -> dict[str, Tensor]:
        """Return the weighted terms, whose sum is the loss.

        Args:
            raw: level -> {"boxes", "classes", "many_boxes", "many_classes"}, as in
                `AnchorFreeLoss`.
            boxes: (batch, m, 4), xyxy, pixels of the network's input.
            classes: (batch, m) int32; -1 pads.
            image_size: (height, width) of the network's input.

        Returns:
            term -> scalar.
        """
        found: dict[str, Tensor] = {}
        for prefix, assigner in (("many_", self.many), ("", self.many.replace(top_k=1))):
            loss = AnchorFreeLoss(num_classes=self.num_classes, bins=self.bins, assigner=assigner)
            own = {
                level: {name: tensors[prefix + name] for name in ("boxes", "classes")}
                for level, tensors in raw.items()
            }
            terms = loss(own, boxes, classes, image_size)
            found |= {prefix + name: value for name, value in terms.items()}
        return found
