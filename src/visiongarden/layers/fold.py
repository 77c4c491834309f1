"""Folding of batch normalization and parallel branches into one convolution, for inference.

At inference, batch normalization is a scale and a shift per channel, which the preceding
convolution can apply with its kernel and a bias (Jacob et al. 2018, arXiv 1712.05877, section 3.2).
Parallel convolutions add up to one convolution in the same way (Ding et al. 2021, RepVGG, section
3.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import keras
import numpy as np

_FOLDING: ContextVar[bool] = ContextVar("folding", default=False)


@contextmanager
def folding(wanted: bool = True) -> Iterator[None]:
    """Create layers in their folded form inside this context, where they have one.

    Args:
        wanted: False creates the ordinary form, also inside another `folding()`.

    Example:
        >>> with vg.layers.folding():
        ...     layer = vg.layers.ConvNormAct(8, 3)
        >>> layer.norm is None
        True
    """
    token = _FOLDING.set(wanted)
    try:
        yield
    finally:
        _FOLDING.reset(token)


def is_folding() -> bool:
    """Return whether layers are currently created in their folded form.

    Example:
        >>> vg.layers.is_folding()
        False
        >>> with vg.layers.folding():
        ...     vg.layers.is_folding()
        True
    """
    return _FOLDING.get()


def with_norm(conv: keras.Layer, norm: keras.layers.BatchNormalization) -> dict[str, np.ndarray]:
    """Return kernel and bias of the convolution that replaces a convolution and its normalization.

    Args:
        conv: a built convolution without bias, depthwise or not.
        norm: the built batch normalization that follows it.

    Returns:
        {"conv/kernel": array, "conv/bias": array}, float64.
    """
    # float64: the only error is then the rounding of the result to float32.
    kernel, gamma, beta, mean, variance = (
        keras.ops.convert_to_numpy(weight.value).astype(np.float64)
        for weight in (conv.kernel, norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
    )
    scale = gamma / np.sqrt(variance + norm.epsilon)
    # A depthwise kernel is (rows, columns, channels, 1), an ordinary one (rows, columns, in, out).
    depthwise = isinstance(conv, keras.layers.DepthwiseConv2D)
    shape = (1, 1, -1, 1) if depthwise else (1, 1, 1, -1)
    return {"conv/kernel": kernel * scale.reshape(shape), "conv/bias": beta - mean * scale}
