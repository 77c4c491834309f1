"""`ConvNormAct`: the building stone of nearly every convolutional network."""

from __future__ import annotations

from typing import Any

from visiongarden.layers.activation import activation as activation_layer
from visiongarden.layers.activation import in_place
from visiongarden.layers.batch_norm import BatchNorm
from visiongarden.layers.composite import Composite
from visiongarden.layers.convolution import Convolution
from visiongarden.layers.folding import is_folding, with_norm
from visiongarden.registry import register


@register
class ConvNormAct(Composite):
    """Convolution without bias, batch normalisation, activation.

    Padded by `dilation * (kernel_size // 2)` on every side unless `pad` is given (`Convolution`).

    Input (batch, height, width, channels); output (batch, ceil(height / strides),
    ceil(width / strides), filters).

    Args:
        filters: channels of the output.
        kernel_size: side of the kernel, in cells.
        strides: 1 keeps height and width, 2 halves them.
        activation: name for `visiongarden.layers.activation`; None for none.
        momentum: share of the old moving mean that is kept at each step.
        epsilon: what batch normalisation adds to the variance.
        groups: sets of channels that are convolved apart; both channel counts are its multiples.
        pad: cells added on every side; None is `dilation * (kernel_size // 2)`.
        dilation: distance of the kernel's cells; above 1 it is an atrous convolution of stride 1.
        folded: whether the convolution has a bias and does the normalisation's work; for models
            that are used and no longer trained (`Detector.fused`).
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 1,
        strides: int = 1,
        activation: str | None = "silu",
        momentum: float = 0.97,
        epsilon: float = 1e-3,
        groups: int = 1,
        pad: int | None = None,
        dilation: int = 1,
        folded: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        folded = self.says("folded", folded or is_folding())
        self.conv = Convolution(filters, kernel_size, strides, pad, groups, folded, dilation)
        self.norm = None if folded else BatchNorm(momentum=momentum, epsilon=epsilon)
        self.act = activation_layer(activation)

    def call(self, x: Any) -> Any:
        """Runs convolution, normalisation and activation."""
        x = self.conv(x)
        return in_place(self.act, x if self.norm is None else self.norm(x))

    def fold(self) -> dict[str, Any]:
        """Weights of the folded form: "conv/kernel" and "conv/bias"."""
        return with_norm(self.conv, self.norm)
