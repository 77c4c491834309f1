"""Head of RetinaNet: Lin et al. 2017 (arXiv 1708.02002), section 4 and figure 3."""

from __future__ import annotations

from typing import Any, Literal, Self

import keras
from pydantic import model_validator

from visiongarden.assigners import Assigner, MaxIoU
from visiongarden.errors import ConfigError, ContractError, model_field
from visiongarden.heads.prediction import SplitAnchors, class_bias
from visiongarden.heads.scaled_anchors import ScaledAnchors
from visiongarden.layers import Composite, Convolution
from visiongarden.losses import Loss, RetinaNetLoss
from visiongarden.parts.fields import Channels, Classes, Prior, Repeats
from visiongarden.postprocess import AnchorDeltaDecoding, Decoding
from visiongarden.registry import register
from visiongarden.types import (
    FeatureMaps,
    FeatureSpec,
    RawPredictions,
    Tensor,
)

_GROUPS, _CHANNELS = 32, 8
"""Groups of the group normalization (Wu & He 2018, arXiv 1803.08494), and channels of a group if
there are fewer than 256: a group of one channel is constant on a map of one cell."""


@register
class PredictionTower(Composite):
    """3×3 convolutions with ReLU, then a 3×3 convolution that predicts.

    Input: (batch, height, width, channels). Output: (batch, height, width, outputs).

    Args:
        filters: channels of the convolutions.
        outputs: channels of the prediction.
        repeats: number of convolutions before the prediction.
        bias: initial bias of the prediction.
        norm: "group" normalizes after each convolution, which then has no bias; "none" does not.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self,
        filters: int,
        outputs: int,
        repeats: int = 4,
        bias: float = 0.0,
        norm: str = "none",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # Section 4.1: a Gaussian of standard deviation 0.01 for all convolutions of the head.
        self.convs = [_gaussian(filters, use_bias=norm == "none") for _ in range(repeats)]
        self.norms = [
            keras.layers.GroupNormalization(groups_of(filters), epsilon=1e-5)
            for _ in range(repeats if norm == "group" else 0)
        ]
        self.out = _gaussian(outputs, bias_initializer=keras.initializers.Constant(bias))

    def call(self, x: Tensor) -> Tensor:
        """Run the convolutions and predict."""
        for number, conv in enumerate(self.convs):
            x = conv(x)
            if self.norms:
                x = self.norms[number](x)
            x = keras.ops.relu(x)
        return self.out(x)


@register
class RetinaNetHead(ScaledAnchors):
    """Head of RetinaNet: a class tower and a box tower, each shared by all levels.

    The anchors of a level are `anchor_size` strides times each of the `anchor_scales`, in each of
    the `anchor_ratios`. There is no objectness: a prior of 0.01 and the focal loss balance the
    anchors without an object.

    Attributes:
        num_classes: number of classes, without background.
        filters: channels of the towers.
        repeats: number of convolutions of a tower before its prediction.
        norm: "group" normalizes after each convolution, for training from scratch; "none" is the
            paper's.
        anchor_size: side of a square anchor in strides; 4 is 32 pixels on p3 to 512 on p7.
        anchor_scales: factors of the side.
        anchor_ratios: height divided by width; the area is that of the square.
        anchor_offset: position of an anchor's center in its cell, in strides; 0 in torchvision.
        anchor_rounding: whether sides are rounded to even pixels, as in torchvision.
        delta_weights: factors of dx, dy, dw and dh, which loss and decoding share.
        prior: probability of each class at each anchor before training; 0.01 in section 4.1.
        loss: loss of the raw predictions.
        assigner: assigner of boxes to anchors.
        decoding: decoding from deltas to boxes and from logits to scores.

    Example:
        >>> decoder = vg.decoders.FPN(channels=64, extra_levels=2)
        >>> features = decoder.spec(vg.backbones.ResNet(depth=18).spec())
        >>> head = vg.heads.RetinaNetHead(num_classes=3, filters=64)
        >>> head.shapes(features, image_size=(128, 128))["p7"]
        {'boxes': (None, 1, 1, 9, 4), 'classes': (None, 1, 1, 9, 3)}
        >>> head.anchor_shapes("p3")[0].round().tolist()
        [45.0, 23.0]
    """

    num_classes: Classes
    filters: Channels = 256
    repeats: Repeats = 4
    norm: Literal["none", "group"] = "none"
    prior: Prior = 0.01
    loss: Loss = RetinaNetLoss()
    assigner: Assigner = MaxIoU()
    decoding: Decoding = AnchorDeltaDecoding()

    @model_validator(mode="after")
    def _groups_divide_the_filters(self) -> Self:
        groups = groups_of(self.filters)
        if self.norm == "group" and self.filters % groups:
            raise ConfigError(
                f"{self.filters} filters do not split into {groups} groups",
                rule=f"with norm='group', filters are a multiple of {groups}",
                fix=f"filters={-(-self.filters // groups) * groups}",
            )
        return self

    def check(self, offered: FeatureSpec, giver: str) -> None:
        """Raise an error unless all levels have the same number of channels.

        Args:
            offered: levels, channels and strides that the preceding part returns.
            giver: role and repr of the preceding part, for the message.

        Raises:
            ContractError: The levels have different channels.
        """
        channels = {spec.channels for spec in offered.values()}
        if len(channels) > 1:
            most, levels = max(channels), tuple(offered)
            decoder = {"type": "FPN", "channels": most, "levels": list(levels)}
            raise ContractError(
                f"head {self} cannot follow {giver}",
                wants=("channels", "equal on all levels, which share the towers"),
                offered=", ".join(f"{level} {spec.channels}" for level, spec in offered.items()),
                fix=model_field("decoder", decoder)
                or f"decoder=vg.decoders.FPN(channels={most}, levels={levels!r})",
            )

    def wire(self, features: FeatureMaps) -> RawPredictions:
        """Build the predictions of each level.

        Returns:
            level -> {"boxes": (B, H, W, A, 4), "classes": (B, H, W, A, num_classes)} with A
            anchors.
        """
        count = self.anchors_per_cell
        bias = class_bias(self.prior, self.num_classes, next(iter(features)))
        # Created once, so that all levels share the weights.
        classes = self._tower(count * self.num_classes, bias, "class_tower")
        boxes = self._tower(count * 4, 0.0, "box_tower")
        return {
            level: {
                "boxes": SplitAnchors(count, name=f"{level}_boxes")(boxes(x)),
                "classes": SplitAnchors(count, name=f"{level}_classes")(classes(x)),
            }
            for level, x in features.items()
        }

    def _tower(self, outputs: int, bias: float, name: str) -> PredictionTower:
        return PredictionTower(self.filters, outputs, self.repeats, bias, self.norm, name=name)


def groups_of(filters: int) -> int:
    """Return the groups of the normalization of a number of channels: 32 for 256."""
    return max(1, min(_GROUPS, filters // _CHANNELS))


def _gaussian(filters: int, **options: Any) -> Convolution:
    deviation = keras.initializers.RandomNormal(stddev=0.01)
    return Convolution(filters, 3, kernel_initializer=deviation, **options)
