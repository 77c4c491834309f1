"""`JaxStep`: training step for JAX, compiled with the fastest options on a CPU.

**Why.** Keras compiles the step itself, but its `compile` takes no compiler options, and the memory
that the compiler has freed is not returned before the step allocates its own. **Gain:** a third of
JAX's peak memory; with the options of `xla` and `convolutions`, training from 0.56 to 0.75 of the
speed of a plain PyTorch module (benchmarks/RESULTS.md, Speed). The results are the same within
rounding. **Switch:** `jax_steps`, for the compilation by Keras.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from visiongarden.backends.memory import give_back
from visiongarden.backends.switches import is_on
from visiongarden.backends.xla import compiled_by_jax


def compiles_steps() -> bool:
    """Return whether training steps are compiled here: on JAX, unless that is switched off."""
    return bool(keras.backend.backend() == "jax" and is_on("jax_steps"))


def prefers_compilation() -> bool:
    """Return whether a training step is faster when XLA compiles it."""
    # TensorFlow's training step compiled by XLA runs at 0.65 of its speed without XLA (measured
    # on CPUs, benchmarks/RESULTS.md).
    return bool(keras.backend.backend() == "jax")


def steps_return_state() -> bool:
    """Return whether the functions of steps take and return the state of a model, as on JAX."""
    return bool(keras.backend.backend() == "jax")


class JaxStep:
    """Training step as a pure function of state and batch, compiled once for each batch shape.

    Memory that the compiler has freed is returned to the system before the step allocates its own.

    Args:
        step: Keras's stateless step, `step(state, data) -> (logs, state)`.
    """

    def __init__(self, step: Callable[..., Any]) -> None:
        self._function = step
        self._step: Any = None
        self._compiled_shapes: set[Any] = set()

    def __call__(self, state: Any, data: Any) -> Any:
        """Run one step and return the logs and the new state."""
        import jax

        if self._step is None:
            self._step = self._compiled_for(state)
        shapes = tuple((x.shape, x.dtype) for x in jax.tree.leaves(data))
        if shapes not in self._compiled_shapes:
            self._compiled_shapes.add(shapes)
            # Compiling before the first call allows the memory that compilation has freed, a third
            # of JAX's peak, to be returned to the system before the step allocates its own.
            self._step.lower(state, data).compile()
            give_back()
        return self._step(state, data)

    def _compiled_for(self, state: Any) -> Any:
        import jax

        shardings: dict[str, Any] = {}
        if keras.distribution.distribution() is not None:
            # Weights stay where they are; the compiler could divide the new ones among devices.
            spread = jax.tree.map(lambda array: array.sharding, state)
            shardings = {"out_shardings": (None, spread)}
        # The old state is donated, as Keras does: the new one takes its memory.
        return compiled_by_jax(self._function, donate_argnums=0, **shardings)
