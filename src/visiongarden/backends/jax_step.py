"""`JaxStep`: training step for JAX, compiled with the fastest options on a CPU.

Keras compiles the step itself, but its `compile` takes no compiler options. Without them jaxlib
0.10 runs convolutions on a CPU in YNNPACK, which takes up to twice as long as Eigen. Eigen, and
pointwise convolutions as matrix products, took training from 0.56 to 0.75 of the speed of a plain
PyTorch module (benchmarks/RESULTS.md). The results are the same within rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from visiongarden.backends.memory import give_back
from visiongarden.backends.xla import compiler_options


class JaxStep:
    """Training step as a pure function of state and batch, compiled once for each batch shape.

    Memory that the compiler has freed is returned to the system before the step allocates its own.

    Args:
        step: Keras's stateless step, `step(state, data) -> (logs, state)`.
    """

    def __init__(self, step: Callable[..., Any]) -> None:
        import jax

        # The old state is donated, as Keras does: the new one takes its memory.
        self._step = jax.jit(step, donate_argnums=0, compiler_options=compiler_options())
        self._compiled_shapes: set[Any] = set()

    def __call__(self, state: Any, data: Any) -> Any:
        """Run one step and return the logs and the new state."""
        import jax

        shapes = tuple((x.shape, x.dtype) for x in jax.tree.leaves(data))
        if shapes not in self._compiled_shapes:
            self._compiled_shapes.add(shapes)
            # Compiling before the first call allows the memory that compilation has freed, a third
            # of JAX's peak, to be returned to the system before the step allocates its own.
            self._step.lower(state, data).compile()
            give_back()
        return self._step(state, data)
