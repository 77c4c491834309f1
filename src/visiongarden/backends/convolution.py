"""Convolutions in the fastest form of each backend.

**Why.** Keras copies every feature map twice on PyTorch, and pads on the right and at the bottom
only; TensorFlow's padded convolution misses the fast gradients of oneDNN, and JAX runs 1×1
convolutions on a CPU slower than matrix products. **Gain:** TensorFlow: training step ×1.20.
PyTorch: a third of the time of inference. JAX, together with `xla`: inference from 0.67 to 0.94 of
the speed of a plain PyTorch module, training from 0.56 to 0.75 (benchmarks/RESULTS.md, Speed).
**Switch:** `convolutions`, for padding and `keras.ops.conv`; `kernel_layout`, for kernels that each
call reorders, which is off with an untested version of Keras.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import keras

from visiongarden.backends.switches import is_on
from visiongarden.backends.weightless import raw_value
from visiongarden.types import Tensor

if TYPE_CHECKING:
    import jax
    import torch


class Geometry(Protocol):
    """What a convolution needs to know of its layer, `visiongarden.layers.Convolution`."""

    strides: tuple[int, int]
    dilation_rate: tuple[int, int]
    kernel_size: tuple[int, int]
    groups: int
    pad: int

    @property
    def keeps(self) -> bool:
        """Whether the output has the height and width of the input."""


Convolve: TypeAlias = Callable[[Any, Any, Geometry], Any]


def fast_convolution(layer: Geometry) -> Convolve | None:
    """Return the fastest convolution of channels-last tensors, or None: that of Keras.

    It takes inputs (batch, height, width, channels), a kernel (rows, columns, in, out) and the
    layer.
    """
    if not is_on("convolutions"):
        return None
    run = _BACKENDS.get(keras.backend.backend())
    odd = layer.groups > 1 or layer.dilation_rate[0] > 1
    # On a CPU, TensorFlow's operation lacks grouped convolutions, and the gradients of dilated ones
    # where oneDNN is missing; `keras.ops.conv` handles both.
    return None if run is _tensorflow and odd else run


def lay_out(kernel: keras.Variable) -> None:
    """Store PyTorch's kernel in the memory order that its convolution reads.

    The values and the shape of the kernel are unchanged.
    """
    if keras.backend.backend() != "torch" or not is_on("kernel_layout"):
        return
    value = raw_value(kernel)
    if value is not None:
        # Otherwise every call reorders the kernel, which takes a fourteenth of an inference.
        value.data = _reordered(value.data.permute(3, 2, 0, 1)).permute(2, 3, 1, 0)


def _tensorflow(x: Tensor, kernel: Tensor, layer: Geometry) -> Tensor:
    import tensorflow as tf

    # With padding as an argument of conv2d the gradients miss oneDNN and run on the CPU's slow
    # path, which costs a fifth of a training step. For inference, TensorFlow's graph optimizer
    # fuses the separate padding into the convolution.
    stride, pad = layer.strides[0], layer.pad
    if layer.keeps:
        return tf.nn.conv2d(x, kernel, 1, "SAME")
    if pad:
        x = tf.pad(x, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
    return tf.nn.conv2d(x, kernel, stride, "VALID")


def _torch(x: torch.Tensor, kernel: torch.Tensor, layer: Geometry) -> torch.Tensor:
    import torch

    # PyTorch expects NCHW shapes; permuting the NHWC tensor gives its channels-last memory format
    # without a copy, and the convolution returns the same format. Keras copies the feature map
    # before and after each convolution, which takes a third of the time of inference.
    kernel, x = _reordered(kernel.permute(3, 2, 0, 1)), x.permute(0, 3, 1, 2)
    x = torch.nn.functional.conv2d(
        x, kernel, None, layer.strides[0], layer.pad, layer.dilation_rate[0], layer.groups
    )
    return x.permute(0, 2, 3, 1)


def _reordered(kernel: torch.Tensor) -> torch.Tensor:
    """Return a kernel (out, in, rows, columns) in channels-last memory order."""
    import torch

    if kernel.device.type == "meta":
        return kernel
    is_half = kernel.dtype in (torch.bfloat16, torch.float16)
    if is_half and kernel.device.type == "cpu" and not _has_half_convolutions():
        # The convolution that PyTorch runs then cannot compute the gradient of another layout.
        return kernel.contiguous()
    return kernel.contiguous(memory_format=torch.channels_last)


@functools.cache
def _has_half_convolutions() -> bool:
    """Return whether oneDNN convolves in half precision on this processor."""
    import torch

    return "AVX512" in torch.backends.cpu.get_cpu_capability()


def _jax(x: jax.Array, kernel: jax.Array, layer: Geometry) -> jax.Array:
    import jax

    pointwise = layer.kernel_size[0] == layer.strides[0] == layer.groups == 1 and not layer.pad
    if pointwise and jax.default_backend() == "cpu":
        # A 1×1 convolution is a matrix product, which XLA runs two to four times as fast on a CPU.
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


_BACKENDS: dict[str, Convolve] = {"tensorflow": _tensorflow, "torch": _torch, "jax": _jax}
