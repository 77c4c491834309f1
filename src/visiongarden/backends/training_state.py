"""The variables of a training loop: when they are created, and their values between two steps.

**Why.** On JAX, Keras's `fit` keeps the state of an epoch outside the variables and assigns it at
the end of the epoch. On TensorFlow it leaves the variables of the optimizer to the first step.
**Gain:** a checkpoint within an epoch would hold the weights of its beginning; a step that creates
variables is traced twice (10 s of processor time for a detector of YOLOv8n's size). **Switch:**
none; all names are public.
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


def build_optimizer(model: keras.Model) -> None:
    """Create the variables of the optimizer of a model, which TensorFlow's first step would."""
    optimizer: Any = model.optimizer
    if keras.backend.backend() != "tensorflow" or optimizer is None or optimizer.built:
        return
    trainer: Any = model
    with trainer.distribute_strategy.scope():
        optimizer.build(model.trainable_variables)
