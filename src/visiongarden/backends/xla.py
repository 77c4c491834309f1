"""How JAX's compiler runs convolutions on a CPU."""

from __future__ import annotations

import functools

_QUICK = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}
"""YNNPACK for reductions alone. jaxlib 0.10 gives it convolutions and products of matrices too,
where Eigen's, which XLA falls back to, take 0.5 to 0.9 of the time."""


@functools.cache
def compiler_options() -> dict[str, str] | None:
    """For `jax.jit(..., compiler_options=...)` on this machine; None for JAX's own.

    Only on a CPU, and with a jaxlib that knows the option.
    """
    import jax

    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(lambda: 0, compiler_options=_QUICK)()
    except (jax.errors.JaxRuntimeError, ValueError, TypeError):
        return None
    return _QUICK
