"""`choose_precision`: the dtype policy of a run whose recipe leaves it open."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from visiongarden.backends.half_precision import bfloat16_support
from visiongarden.backends.memory import give_back

AUTO = "auto"

_MIN_GAIN = 1.1
"""Speed over float32 from which bfloat16 is used; less is within the noise of a measurement."""

_WARM_UP, _MEASURED = 2, 5
"""Steps before the measurement, which compile the step, and steps that are measured."""


class Precision(NamedTuple):
    """Dtype policy of a run.

    Attributes:
        policy: "float32" or "mixed_bfloat16".
        reason: Why it was chosen, as part of a sentence.
    """

    policy: str
    reason: str


def choose_precision(
    build: Callable[[str], Any],
    optimizer: Callable[[], Any],
    batch: Callable[[Any], tuple[np.ndarray, Mapping[str, np.ndarray]]],
) -> Precision:
    """Choose mixed bfloat16 if this machine trains the model faster in it, else float32.

    Nothing is built or measured where bfloat16 would be emulated. A model is measured with its own
    batch size and image size, because small steps gain nothing.

    Args:
        build: Function that builds a new model with a dtype policy.
        optimizer: Function that creates a new optimizer.
        batch: Function of a model that returns the images and targets of one batch for it.

    Returns:
        The policy and the reason for it.

    Example:
        >>> choose_precision(build, optimizer, batch)  # doctest: +SKIP
        Precision(policy='float32', reason='the processor has neither amx_bf16 nor avx512_bf16')
    """
    support = bfloat16_support()
    if not support.expected:
        return Precision("float32", support.reason)
    seconds: dict[str, float] = {}
    for policy in ("float32", "mixed_bfloat16"):
        model = build(policy)
        if not seconds:
            images, targets = batch(model)
        seconds[policy] = _step_seconds(model, optimizer(), images, targets)
        del model
        give_back()
    gain = seconds["float32"] / seconds["mixed_bfloat16"]
    policy = "mixed_bfloat16" if gain >= _MIN_GAIN else "float32"
    return Precision(
        policy, f"{support.reason}, and a step in mixed_bfloat16 is {gain:.2f} times as fast"
    )


def _step_seconds(
    model: Any, optimizer: Any, images: np.ndarray, targets: Mapping[str, np.ndarray]
) -> float:
    """Return the seconds of the fastest of some training steps."""
    model.compile(optimizer)
    times = []
    for _ in range(_WARM_UP + _MEASURED):
        started = time.perf_counter()
        # The loss that it returns is on the host, so the step has ended.
        model.train_on_batch(images, targets)
        times.append(time.perf_counter() - started)
    return min(times[_WARM_UP:])
