"""Folding: a layer that is only used, no longer trained, needs no normalisation of its own.

Batch normalisation at inference is a scale and a shift, which the convolution before it can do with
its kernel and a bias (Jacob et al. 2018, arXiv 1712.05877, section 3.2). Parallel branches add up
to one convolution likewise (Ding et al. 2021, RepVGG, section 3.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import numpy as np

_FOLDING: ContextVar[bool] = ContextVar("folding", default=False)


@contextmanager
def folding(wanted: bool = True) -> Iterator[None]:
    """Inside, layers that can be folded are made in their folded form."""
    token = _FOLDING.set(wanted)
    try:
        yield
    finally:
        _FOLDING.reset(token)


def is_folding() -> bool:
    """Whether layers are made in their folded form just now."""
    return _FOLDING.get()


def with_norm(conv: Any, norm: Any) -> dict[str, Any]:
    """The convolution that does what `conv` and then `norm` do: "conv/kernel" and "conv/bias".

    Args:
        conv: a built convolution without bias, depthwise or not.
        norm: the built batch normalisation that follows it.
    """
    # In float64, so that nothing is lost but the last rounding.
    kernel, gamma, beta, mean, variance = (
        keras.ops.convert_to_numpy(weight.value).astype(np.float64)
        for weight in (conv.kernel, norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
    )
    scale = gamma / np.sqrt(variance + norm.epsilon)
    depthwise = isinstance(conv, keras.layers.DepthwiseConv2D)
    shape = (1, 1, -1, 1) if depthwise else (1, 1, 1, -1)
    return {"conv/kernel": kernel * scale.reshape(shape), "conv/bias": beta - mean * scale}
