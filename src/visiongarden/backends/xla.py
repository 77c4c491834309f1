"""Compiler options for convolutions of JAX on a CPU.

jaxlib 0.10 runs convolutions and matrix products on a CPU with YNNPACK. Eigen, which XLA falls back
to, takes 0.5 to 0.9 of that time. Results are the same without the options, up to rounding.
"""

from __future__ import annotations

import functools

_QUICK = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}
"""Restricts YNNPACK to reductions; convolutions and matrix products then run with Eigen."""


@functools.cache
def compiler_options() -> dict[str, str] | None:
    """Return `compiler_options` for `jax.jit` on this machine; None keeps the defaults of JAX.

    Options are returned only on a CPU, and only if jaxlib knows them.
    """
    import jax

    if jax.default_backend() != "cpu":
        return None
    # An unknown option is an error at compilation: compile a trivial function to find out.
    try:
        jax.jit(lambda: 0, compiler_options=_QUICK)()
    except (jax.errors.JaxRuntimeError, ValueError, TypeError):
        return None
    return _QUICK
