"""Whether this machine computes faster in bfloat16 or float16 than in float32.

**Why.** The answer depends on the processor or accelerator and on the backend that uses it.
**Gain:** with AMX, a native PyTorch step takes 0.58 of its float32 time, and inference 0.46; where
the hardware lacks bfloat16, it is emulated: a convolution with norm and SiLU takes about eight
times as long on TensorFlow and PyTorch. **Switch:** `training.precision=float32`.
"""

from __future__ import annotations

from typing import NamedTuple

import keras

from visiongarden.backends.processor import processor_flags
from visiongarden.backends.training_state import is_on_accelerator

_CPU_FLAGS = ("amx_bf16", "avx512_bf16")
"""Flags of processors that multiply bfloat16, in the file of Linux that lists them."""

_FLOAT16_FLAGS = ("amx_fp16", "avx512_fp16")
"""Flags of processors that multiply float16."""

_FIRST_CAPABILITY = 8.0
"""Compute capability of the first NVIDIA GPUs with bfloat16 (Ampere)."""


class Bfloat16Support(NamedTuple):
    """Whether bfloat16 may be faster than float32.

    Attributes:
        expected: Whether hardware and backend have operations in bfloat16.
        reason: Why, as part of a sentence.
    """

    expected: bool
    reason: str


def bfloat16_support() -> Bfloat16Support:
    """Return whether the device of the active backend computes in bfloat16 itself.

    Example:
        >>> bfloat16_support().reason  # doctest: +SKIP
        'the processor has amx_bf16'
    """
    backend = keras.backend.backend()
    return {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}.get(backend, _cpu)()


def why_slower(policy: str) -> str | None:
    """Return why a dtype policy is slower than float32 on this machine, or None if it is not.

    Example:
        >>> why_slower("float32")
    """
    if policy == "mixed_bfloat16":
        support = bfloat16_support()
    elif policy == "mixed_float16" and not is_on_accelerator() and keras.backend.backend() != "jax":
        # XLA converts float16 at the edges of an operation, which takes no longer than float32.
        support = _cpu(_FLOAT16_FLAGS)
    else:
        return None
    return None if support.expected else support.reason


def _cpu(flags: tuple[str, ...] = _CPU_FLAGS) -> Bfloat16Support:
    found = [flag for flag in flags if flag in processor_flags()]
    if found:
        return Bfloat16Support(True, f"the processor has {found[0]}")
    return Bfloat16Support(False, f"the processor has neither {' nor '.join(flags)}")


def gpu_support(name: str, capability: float) -> Bfloat16Support:
    """Return whether an NVIDIA GPU computes in bfloat16.

    Args:
        name: Name of the GPU.
        capability: Its compute capability, such as 8.0.
    """
    if capability >= _FIRST_CAPABILITY:
        return Bfloat16Support(True, f"{name} computes in bfloat16")
    return Bfloat16Support(False, f"{name} has no bfloat16 (compute capability {capability})")


def _jax() -> Bfloat16Support:
    import jax

    device = jax.devices()[0]
    if device.platform == "cpu":
        return Bfloat16Support(False, "XLA's convolutions on a CPU are slower in bfloat16")
    capability = getattr(device, "compute_capability", None)  # NVIDIA GPUs only
    if capability is None:
        return Bfloat16Support(True, f"{device.device_kind} computes in bfloat16")
    return gpu_support(device.device_kind, float(capability))


def _tensorflow() -> Bfloat16Support:
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        return _cpu()
    details = tf.config.experimental.get_device_details(devices[0])
    major, minor = details.get("compute_capability", (0, 0))
    return gpu_support(details.get("device_name", "the GPU"), float(f"{major}.{minor}"))


def _torch() -> Bfloat16Support:
    import torch

    if not torch.cuda.is_available():
        return _cpu()
    major, minor = torch.cuda.get_device_capability()
    return gpu_support(torch.cuda.get_device_name(), float(f"{major}.{minor}"))
