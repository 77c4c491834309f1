"""Masks from prototypes for detection heads: Bolya et al. 2019 (YOLACT, arXiv 1904.02689)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import keras
from pydantic import Field

from visiongarden.errors import ContractError
from visiongarden.heads.anchor_based import AnchorBased
from visiongarden.heads.anchor_free import AnchorFree
from visiongarden.heads.decoupled import Decoupled
from visiongarden.heads.prediction import Branch, SplitAnchors
from visiongarden.heads.retinanet import RetinaNetHead
from visiongarden.layers import ConvNormAct, Convolution, Upsampling
from visiongarden.losses import (
    AnchorBasedLoss,
    AnchorFreeLoss,
    DecoupledLoss,
    Loss,
    PrototypeMaskLoss,
    RetinaNetLoss,
)
from visiongarden.parts import Head
from visiongarden.parts.fields import Channels
from visiongarden.postprocess import (
    AnchorBasedDecoding,
    AnchorDeltaDecoding,
    AnchorFreeDecoding,
    Decoding,
    PointDecoding,
    PrototypeMaskDecoding,
)
from visiongarden.registry import register
from visiongarden.samples.mask_field import STRIDE
from visiongarden.types import FeatureMaps, FeatureSpec, RawPredictions, Tensor, stride_of

if TYPE_CHECKING:
    _Mixin = Head
else:
    # Not a head: its inherited fields would hide those of the detection head, such as `assigner`.
    _Mixin = object


class PrototypeMasks(_Mixin):
    """Mixin that adds masks to a detection head; it is the first of the base classes.

    A mask is a linear combination of prototypes, which the finest level predicts at a quarter of
    the image size; every prediction of a box has the coefficients.

    Attributes:
        prototypes: number of prototypes.
        mask_channels: channels of the convolutions before the prototypes; None: those of the
            finest level.

    Example:
        >>> @vg.register(package="garden")
        ... class DecoupledMasks(vg.heads.PrototypeMasks, vg.heads.Decoupled):
        ...     loss: vg.losses.Loss = vg.losses.PrototypeMaskLoss(
        ...         detection=vg.losses.DecoupledLoss()
        ...     )
        ...     decoding: vg.postprocess.Decoding = vg.postprocess.PrototypeMaskDecoding(
        ...         detection=vg.postprocess.PointDecoding()
        ...     )
        >>> features = vg.backbones.CSPDarknet().spec()
        >>> shapes = DecoupledMasks(num_classes=3, width=0.25).shapes(features, (64, 64))
        >>> shapes["p3"]["prototypes"], shapes["p3"]["coefficients"]
        ((None, 16, 16, 32), (None, 8, 8, 32))
    """

    task: ClassVar[str] = "instance_segmentation"
    prototypes: Annotated[int, Field(gt=0, le=1024)] = 32
    mask_channels: Channels | None = None

    def check(self, offered: FeatureSpec, giver: str) -> None:
        """Raise an error if the finest level is finer than the masks of the targets.

        Args:
            offered: levels, channels and strides that the preceding part returns.
            giver: role and repr of the preceding part, for the message.

        Raises:
            ContractError: The stride of the finest level is below 4.
        """
        super().check(offered, giver)
        finest = next(iter(offered))
        if offered[finest].stride < STRIDE:
            raise ContractError(
                f"head {self} cannot follow {giver}",
                wants=("finest level", f"p2 or coarser: masks have a stride of {STRIDE}"),
                offered=finest,
                fix=self.with_fields(levels=tuple(lv for lv in offered if stride_of(lv) >= STRIDE)),
            )

    def wire(self, features: FeatureMaps) -> RawPredictions:
        """Build the predictions of the detection head, coefficients and prototypes.

        Returns:
            Raw predictions of the detection head, and level -> "coefficients" (B, H, W, [anchors,]
            prototypes) from -1 to 1; the finest level has "prototypes" (B, height / 4, width / 4,
            prototypes), 0 or more.
        """
        raw = super().wire(features)
        activation = dict(self).get("activation", "relu")
        finest, x = next(iter(features.items()))
        channels = self.mask_channels or x.shape[-1]
        filters = max(x.shape[-1] // 4, self.prototypes)
        for level, maps in features.items():
            anchors = raw[level]["boxes"].shape[3:-1]
            count = anchors[0] if anchors else 1
            branch = Branch(
                filters, count * self.prototypes, activation=activation, name=f"{level}_masks"
            )
            found = keras.ops.tanh(branch(maps))
            if anchors:
                found = SplitAnchors(count, name=f"{level}_coefficients")(found)
            raw[level]["coefficients"] = found
        raw[finest]["prototypes"] = self._prototypes(x, stride_of(finest), channels, activation)
        return raw

    def _prototypes(self, x: Tensor, stride: int, channels: int, activation: Any) -> Tensor:
        """Build the branch of figure 3 of the paper."""
        for number in range(1, 4):
            x = ConvNormAct(channels, 3, activation=activation, name=f"mask_conv{number}")(x)
        if stride // STRIDE > 1:
            x = Upsampling(stride // STRIDE, interpolation="bilinear", name="mask_up")(x)
        x = ConvNormAct(channels, 3, activation=activation, name="mask_conv4")(x)
        return keras.ops.relu(Convolution(self.prototypes, 1, name="mask_prototypes")(x))


@register
class AnchorFreeMasks(PrototypeMasks, AnchorFree):
    """`AnchorFree` with masks from prototypes, see both.

    Example:
        >>> features = vg.backbones.CSPDarknet().spec()
        >>> head = vg.heads.AnchorFreeMasks(num_classes=3, prototypes=16)
        >>> head.shapes(features, image_size=(64, 64))["p3"]["prototypes"]
        (None, 16, 16, 16)
    """

    loss: Loss = PrototypeMaskLoss(detection=AnchorFreeLoss())
    decoding: Decoding = PrototypeMaskDecoding(detection=AnchorFreeDecoding())


@register
class AnchorBasedMasks(PrototypeMasks, AnchorBased):
    """`AnchorBased` with masks from prototypes, see both.

    Example:
        >>> vg.heads.AnchorBasedMasks(num_classes=3).loss.terms
        ('box', 'objectness', 'class', 'mask')
    """

    loss: Loss = PrototypeMaskLoss(detection=AnchorBasedLoss())
    decoding: Decoding = PrototypeMaskDecoding(detection=AnchorBasedDecoding())


@register
class DecoupledMasks(PrototypeMasks, Decoupled):
    """`Decoupled` with masks from prototypes, see both.

    Example:
        >>> vg.heads.DecoupledMasks(num_classes=3).loss.detection
        DecoupledLoss()
    """

    loss: Loss = PrototypeMaskLoss(detection=DecoupledLoss())
    decoding: Decoding = PrototypeMaskDecoding(detection=PointDecoding())


@register
class RetinaNetMasks(PrototypeMasks, RetinaNetHead):
    """`RetinaNetHead` with masks from prototypes, as in YOLACT, see both.

    Example:
        >>> vg.heads.RetinaNetMasks(num_classes=3).loss.detection
        RetinaNetLoss()
    """

    loss: Loss = PrototypeMaskLoss(detection=RetinaNetLoss())
    decoding: Decoding = PrototypeMaskDecoding(detection=AnchorDeltaDecoding())
