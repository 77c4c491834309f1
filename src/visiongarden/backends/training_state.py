"""`sync_state`, `is_on_accelerator`: the values of a training loop's variables between two steps.

**Why.** On JAX, Keras's `fit` keeps the state of an epoch outside the variables and assigns it at
the end of the epoch. **Gain:** none in speed; a checkpoint within an epoch would hold the weights
of its beginning. **Switch:** none; `jax_state_sync` is public.
"""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.backends.prefetch import has_accelerator


def is_on_accelerator() -> bool:
    """Return whether steps are computed by a device other than the CPU."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    return has_accelerator()


def sync_state(model: keras.Model) -> None:
    """Assign the state of a running `fit` to the variables of the model; called between steps."""
    if keras.backend.backend() == "jax":
        trainer: Any = model
        trainer.jax_state_sync()
