"""`Convolution`: Keras's, padded alike on both sides, as each backend runs it fastest."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.registry import register


@register
class Convolution(keras.layers.Conv2D):
    """2-D convolution with `pad` zeros on every side, as in Darknet, PyTorch and the papers.

    Keras's "same" pads a convolution of stride 2 on the right and bottom only, which shifts
    imported weights by a pixel. The padding belongs to the operation, which needs no layer before
    it. On PyTorch feature maps stay in their layout, where Keras copies each twice.

    Input (batch, height, width, channels); output (batch, (height + 2 * pad - reach) // strides +
    1, likewise the width, filters), where reach = dilation * (kernel_size - 1) + 1.

    Args:
        filters: channels of the output.
        kernel_size: side of the kernel, in cells.
        strides: step of the kernel, in cells.
        pad: zeros on each side; None means `dilation * (kernel_size // 2)`, which keeps height and
            width at stride 1 and odd `kernel_size`.
        groups: sets of channels that are convolved apart; both channel counts are its multiples.
        use_bias: whether a bias is added.
        dilation: distance of the kernel's cells, in cells; above 1 `strides` is 1.
        **kwargs: `name`, `dtype`, `trainable`, initializers and the like of `keras.layers.Conv2D`.
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
        """The padding that keeps height and width at stride 1 and odd `kernel_size`."""
        return int(self.dilation_rate[0] * (self.kernel_size[0] // 2))

    @property
    def reach(self) -> int:
        """Cells from the kernel's first to its last one."""
        return int(self.dilation_rate[0] * (self.kernel_size[0] - 1) + 1)

    @property
    def keeps(self) -> bool:
        """Whether the result is as high and wide as the input, as with Keras's "same"."""
        return bool(self.strides[0] == 1 and 2 * self.pad == self.reach - 1)

    def build(self, input_shape: Any) -> None:
        """Makes the weights."""
        super().build(input_shape)
        self.lay_out()

    def lay_out(self) -> None:
        """Has PyTorch's kernel lie in memory as its convolution reads it; its numbers stay."""
        value = self._kernel._value
        if keras.backend.backend() == "torch" and value is not None:
            # Else every step would lay it out anew: a fourteenth of an inference.
            value.data = _reordered(value.data.permute(3, 2, 0, 1)).permute(2, 3, 1, 0)

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """The convolution without bias."""
        inputs, kernel = (keras.ops.convert_to_tensor(each) for each in (inputs, kernel))
        run = _BACKENDS.get(keras.backend.backend(), _padded)
        odd = self.groups > 1 or self.dilation_rate[0] > 1
        if self.data_format != "channels_last" or (run is _tensorflow and odd):
            # TensorFlow's own lacks groups on a CPU, and gradients with holes where oneDNN is not.
            run = _padded
        return run(inputs, kernel, self)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Static shape; unknown sides stay unknown."""
        sides = (
            None if n is None else (n + 2 * self.pad - self.reach) // self.strides[0] + 1
            for n in input_shape[1:3]
        )
        return (input_shape[0], *sides, self.filters)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        config = super().get_config()
        del config["padding"], config["data_format"], config["dilation_rate"]
        sides = {name: config[name][0] for name in ("kernel_size", "strides")}
        return {**config, **sides, "pad": self.pad, "dilation": self.dilation_rate[0]}


def _padded(x: Any, kernel: Any, layer: Convolution) -> Any:
    if layer.pad and not layer.keeps:
        x = keras.ops.pad(x, ((0, 0), (layer.pad, layer.pad), (layer.pad, layer.pad), (0, 0)))
    return keras.ops.conv(
        x,
        kernel,
        strides=layer.strides,
        padding="same" if layer.keeps else "valid",
        dilation_rate=layer.dilation_rate,
    )


def _tensorflow(x: Any, kernel: Any, layer: Convolution) -> Any:
    import tensorflow as tf

    # With explicit padding the gradients run on the CPU's slow path, a fifth of a training step;
    # the padding of an inference step is drawn into the convolution by the graph's optimiser.
    stride, pad = layer.strides[0], layer.pad
    if layer.keeps:
        return tf.nn.conv2d(x, kernel, 1, "SAME")
    if pad:
        x = tf.pad(x, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
    return tf.nn.conv2d(x, kernel, stride, "VALID")


def _torch(x: Any, kernel: Any, layer: Convolution) -> Any:
    import torch

    # NHWC memory seen as NCHW.
    kernel, x = _reordered(kernel.permute(3, 2, 0, 1)), x.permute(0, 3, 1, 2)
    x = torch.nn.functional.conv2d(
        x, kernel, None, layer.strides[0], layer.pad, layer.dilation_rate[0], layer.groups
    )
    return x.permute(0, 2, 3, 1)


def _reordered(kernel: Any) -> Any:
    """A kernel (out, in, rows, columns) with channels last in memory; itself where it has them."""
    import torch

    if kernel.device.type == "meta":
        return kernel
    return kernel.contiguous(memory_format=torch.channels_last)


def _jax(x: Any, kernel: Any, layer: Convolution) -> Any:
    import jax

    pointwise = layer.kernel_size[0] == layer.strides[0] == layer.groups == 1 and not layer.pad
    if pointwise and jax.default_backend() == "cpu":
        # A product of matrices: XLA's convolutions of one cell take two to four times as long here.
        product = x.reshape(-1, x.shape[-1]) @ kernel[0, 0]
        return product.reshape(*x.shape[:-1], product.shape[-1])
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        layer.strides,
        ((layer.pad, layer.pad),) * 2,
        rhs_dilation=layer.dilation_rate,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=layer.groups,
    )


_BACKENDS = {"tensorflow": _tensorflow, "torch": _torch, "jax": _jax}
