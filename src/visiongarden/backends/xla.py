"""Compiler options for convolutions of JAX on a CPU.

**Why.** jaxlib 0.10 runs convolutions and matrix products on a CPU with YNNPACK. Eigen, which XLA
falls back to, takes 0.5 to 0.9 of that time. **Gain:** with `convolutions`, inference from 0.67 to
0.94 of the speed of a plain PyTorch module (benchmarks/RESULTS.md, Speed). Results are the same up
to rounding. **Switch:** `xla`, for the options of JAX. Off with an untested version of JAX.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from visiongarden.backends.compilation_cache import use_compilation_cache
from visiongarden.backends.switches import is_on

_QUICK = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}
"""Restricts YNNPACK to reductions; convolutions and matrix products then run with Eigen."""


def compiled_by_jax(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Return a function that JAX compiles with the fastest options, or takes from its cache.

    Args:
        function: Function of trees of arrays.
        options: Arguments of `jax.jit`.
    """
    import jax

    use_compilation_cache()
    compiled: Callable[..., Any] = jax.jit(function, compiler_options=compiler_options(), **options)
    return compiled


@functools.cache
def compiler_options() -> dict[str, str] | None:
    """Return `compiler_options` for `jax.jit` on this machine; None keeps the defaults of JAX.

    Options are returned only on a CPU, and only if jaxlib knows them.
    """
    import jax

    if jax.default_backend() != "cpu" or not is_on("xla"):
        return None
    # An unknown option is an error at compilation: compile a trivial function to find out.
    try:
        jax.jit(lambda: 0, compiler_options=_QUICK)()
    except (jax.errors.JaxRuntimeError, ValueError, TypeError):
        return None
    return _QUICK
