"""`Convolution`: 2-D convolution with symmetric padding, in each backend's fastest form."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.backends.convolution import fast_convolution, lay_out
from visiongarden.registry import register
from visiongarden.types import Tensor


@register
class Convolution(keras.layers.Conv2D):
    """2-D convolution with symmetric zero padding, as in Darknet, PyTorch and most papers.

    With a stride of 2, Keras's "same" pads on the right and at the bottom only, which shifts the
    feature map by a pixel against imported weights. Here the padding is part of the operation and
    needs no separate layer. On PyTorch, feature maps stay in their memory layout, where Keras
    copies each of them twice.

    Input: (batch, height, width, channels). Output: (batch, (height + 2 * pad - reach) // strides +
    1, likewise for the width, filters) with reach = dilation * (kernel_size - 1) + 1.

    Args:
        filters: number of output channels.
        kernel_size: height and width of the kernel.
        strides: stride in both directions.
        pad: zero padding on each side; None means `dilation * (kernel_size // 2)`, which keeps
            height and width if `strides` is 1 and `kernel_size` is odd.
        groups: number of groups; divides the input and output channels.
        use_bias: whether to add a bias.
        dilation: dilation rate; above 1, `strides` must be 1.
        **kwargs: `name`, `dtype`, `trainable`, and other arguments of `keras.layers.Conv2D` such as
            initializers.

    Example:
        >>> vg.layers.Convolution(8, 3, strides=2)(keras.Input((32, 32, 3))).shape
        (None, 16, 16, 8)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 1,
        strides: int = 1,
        pad: int | None = None,
        groups: int = 1,
        use_bias: bool = True,
        dilation: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters,
            kernel_size,
            strides=strides,
            dilation_rate=dilation,
            groups=groups,
            use_bias=use_bias,
            **kwargs,
        )
        self.pad = int(self.half if pad is None else pad)

    @property
    def half(self) -> int:
        """Padding that keeps height and width if the stride is 1 and `kernel_size` is odd."""
        return int(self.dilation_rate[0] * (self.kernel_size[0] // 2))

    @property
    def reach(self) -> int:
        """Height and width of the receptive field of the kernel, with its dilation."""
        return int(self.dilation_rate[0] * (self.kernel_size[0] - 1) + 1)

    @property
    def keeps(self) -> bool:
        """Whether the output has the height and width of the input, as with Keras's "same"."""
        return bool(self.strides[0] == 1 and 2 * self.pad == self.reach - 1)

    def build(self, input_shape: Any) -> None:
        """Create the weights."""
        super().build(input_shape)
        self.lay_out()

    def lay_out(self) -> None:
        """Store PyTorch's kernel in the memory order that its convolution reads.

        The values and the shape of the kernel are unchanged.
        """
        lay_out(self.kernel)

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Convolve the inputs, without bias."""
        inputs, kernel = (keras.ops.convert_to_tensor(each) for each in (inputs, kernel))
        fast = fast_convolution(self) if self.data_format == "channels_last" else None
        return _padded(inputs, kernel, self) if fast is None else fast(inputs, kernel, self)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the output shape; unknown dimensions remain unknown."""
        sides = (
            None if n is None else (n + 2 * self.pad - self.reach) // self.strides[0] + 1
            for n in input_shape[1:3]
        )
        return (input_shape[0], *sides, self.filters)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        config = super().get_config()
        # Arguments of Keras's layer that this constructor does not take: `pad` and `dilation`
        # replace them. Kernel and stride are square, so that one number is enough.
        del config["padding"], config["data_format"], config["dilation_rate"]
        sides = {name: config[name][0] for name in ("kernel_size", "strides")}
        return {**config, **sides, "pad": self.pad, "dilation": self.dilation_rate[0]}


def _padded(x: Tensor, kernel: Tensor, layer: Convolution) -> Tensor:
    if layer.pad and not layer.keeps:
        x = keras.ops.pad(x, ((0, 0), (layer.pad, layer.pad), (layer.pad, layer.pad), (0, 0)))
    return keras.ops.conv(
        x,
        kernel,
        strides=layer.strides,
        padding="same" if layer.keeps else "valid",
        dilation_rate=layer.dilation_rate,
    )
