"""`JaxStep`: a training step on JAX, compiled with the options that are quickest on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from visiongarden.backends.memory import give_back
from visiongarden.backends.xla import compiler_options


class JaxStep:
    """A function of a training state and a batch, compiled once for each shape of the batch.

    What compiling leaves goes back to the system before the step takes its own memory.

    Args:
        step: Keras's, `step(state, data) -> (logs, state)`.
    """

    def __init__(self, step: Callable[..., Any]) -> None:
        import jax

        self._step = jax.jit(step, donate_argnums=0, compiler_options=compiler_options())
        self._seen: set[Any] = set()

    def __call__(self, state: Any, data: Any) -> Any:
        """One step; the logs and the new state."""
        import jax

        shapes = tuple((x.shape, x.dtype) for x in jax.tree.leaves(data))
        if shapes not in self._seen:
            self._seen.add(shapes)
            self._step.lower(state, data).compile()
            give_back()
        return self._step(state, data)
