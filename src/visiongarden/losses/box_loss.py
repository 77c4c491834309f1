"""`BoxLoss`: base class of losses of boxes, and those of the overlaps in `visiongarden.ops`."""

from __future__ import annotations

from keras import ops
from pydantic import PositiveFloat

from visiongarden.config import Concise
from visiongarden.losses.smooth_l1_loss import smooth_l1
from visiongarden.ops import ciou, diou, giou, iou, siou
from visiongarden.registry import register
from visiongarden.types import Tensor


class BoxLoss(Concise):
    """Base class of losses of predicted boxes; a subclass implements `__call__`.

    Example:
        >>> @vg.register(package="garden")
        ... class Corners(vg.losses.BoxLoss):
        ...     def __call__(self, targets, boxes):
        ...         return keras.ops.sum(keras.ops.abs(targets - boxes), axis=-1)
        >>> float(Corners()(np.array([0.0, 0, 2, 2]), np.array([1.0, 0, 2, 2])))
        1.0
    """

    def __call__(self, targets: Tensor, boxes: Tensor) -> Tensor:
        """Return the loss of each box.

        Args:
            targets: (..., 4), xyxy, pixels.
            boxes: (..., 4), predicted boxes, xyxy, pixels.

        Returns:
            (...), 0 or more.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `__call__`")


@register
class IoU(BoxLoss):
    """1 - IoU**power.

    Attributes:
        power: exponent of the IoU; 2 is the loss of YOLOX (Ge et al. 2021).

    Example:
        >>> a, b = np.array([0.0, 0, 2, 2], "float32"), np.array([1.0, 0, 3, 2], "float32")
        >>> round(float(vg.losses.IoU()(a, b)), 4)  # 1 - 2 / 6
        0.6667
    """

    power: PositiveFloat = 1.0

    def __call__(self, targets: Tensor, boxes: Tensor) -> Tensor:
        """Return the loss of each box."""
        overlap = iou(boxes, targets)
        if self.power == 2:
            return 1 - ops.square(overlap)  # finite gradient without overlap
        return 1 - (overlap if self.power == 1 else ops.power(overlap, self.power))


@register
class GIoU(BoxLoss):
    """1 - generalized IoU, see `visiongarden.ops.giou`.

    Example:
        >>> a, b = np.array([0.0, 0, 1, 1], "float32"), np.array([3.0, 0, 4, 1], "float32")
        >>> round(float(vg.losses.GIoU()(a, b)), 4)  # 1 + 2 / 4
        1.5
    """

    def __call__(self, targets: Tensor, boxes: Tensor) -> Tensor:
        """Return the loss of each box."""
        return 1 - giou(boxes, targets)


@register
class DIoU(BoxLoss):
    """1 - distance IoU, see `visiongarden.ops.diou`.

    Example:
        >>> a, b = np.array([0.0, 0, 1, 1], "float32"), np.array([3.0, 0, 4, 1], "float32")
        >>> round(float(vg.losses.DIoU()(a, b)), 4)  # 1 + 9 / 17
        1.5294
    """

    def __call__(self, targets: Tensor, boxes: Tensor) -> Tensor:
        """Return the loss of each box."""
        return 1 - diou(boxes, targets)


@register
class CIoU(BoxLoss):
    """1 - complete IoU, see `visiongarden.ops.ciou`.

    Example:
        >>> a, b = np.array([0.0, 0, 1, 1], "float32"), np.array([3.0, 0, 4, 1], "float32")
        >>> round(float(vg.losses.CIoU()(a, b)), 4)  # both boxes have the same shape
        1.5294
    """

    def __call__(self, targets: Tensor, boxes: Tensor) -> Tensor:
        """Return the loss of each box."""
        return 1 - ciou(boxes, targets)


@register
class SIoU(BoxLoss):
    """1 - SCYLLA IoU, see `visiongarden.ops.siou`.

    Example:
        >>> a = np.array([0.0, 0, 1, 1], "float32")
        >>> round(float(vg.losses.SIoU()(a, a)), 4)
        0.0
    """

    def __call__(self, targets: Tensor, boxes: Tensor) -> Tensor:
        """Return the loss of each box."""
        return 1 - siou(boxes, targets)


@register
class SmoothL1(BoxLoss):
    """Sum of the smooth L1 losses of the four sides, see `smooth_l1`.

    It grows with the size of the boxes, unlike losses of the overlap.

    Attributes:
        beta: difference in pixels at which the loss becomes linear.

    Example:
        >>> a, b = np.array([0.0, 0, 2, 2], "float32"), np.array([3.0, 0, 2, 2], "float32")
        >>> float(vg.losses.SmoothL1()(a, b))  # 3 - 1 / 2
        2.5
    """

    beta: PositiveFloat = 1.0

    def __call__(self, targets: Tensor, boxes: Tensor) -> Tensor:
        """Return the loss of each box."""
        return ops.sum(smooth_l1(targets, boxes, self.beta), axis=-1)
