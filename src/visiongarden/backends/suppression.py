"""The loop of non-maximum suppression, within the graph.

**Why.** How many rounds suppression needs depends on the boxes, so that it is a loop that ends when
nothing changes. On PyTorch, such a loop reads a tensor's value after each round, and a function
that reads values is never captured (`captured`).

**How.** On TensorFlow and JAX, the loop is one of the graph, and a `Loop` in an exported file. On
PyTorch, it is a custom operation, which a captured graph calls like any other one. Without it, the
inference of a head with two stages would run eagerly.
"""

from __future__ import annotations

import functools
from typing import Any

import keras
from keras import ops

from visiongarden.types import Tensor


def settled(removes: Tensor) -> Tensor:
    """Return which boxes remain, float32 (batch, n), 0 or 1, when nothing changes any more.

    Args:
        removes: float32 (batch, n, n); row i has a 1 for each better box that removes box i if it
            is kept itself. Better boxes come first.
    """
    if keras.backend.backend() == "torch":
        return _operation()(removes)
    keeps = ops.ones_like(removes[..., 0])
    # After k rounds, the first k boxes are decided for good, so that the loop ends.
    found, _ = ops.while_loop(
        lambda _, changes: changes, lambda keeps, _: _round(removes, keeps), (keeps, True)
    )
    return found


def _round(removes: Tensor, keeps: Tensor) -> tuple[Tensor, Tensor]:
    """Decide all boxes by those that are kept at present; also return whether any changes."""
    removed = ops.squeeze(ops.matmul(removes, ops.expand_dims(keeps, -1)), -1)
    found = ops.cast(removed < 0.5, keeps.dtype)
    return found, ops.any(found != keeps)


@functools.cache
def _operation() -> Any:
    """Return the operation of PyTorch."""
    import torch

    def run(removes: Any) -> Any:
        keeps, changes = torch.ones_like(removes[..., 0]), True
        while changes:
            keeps, changed = _round(removes, keeps)
            changes = bool(changed)
        return keeps

    operation = torch.library.custom_op(
        "visiongarden::settled", run, mutates_args=(), schema="(Tensor removes) -> Tensor"
    )
    operation.register_fake(lambda removes: torch.empty_like(removes[..., 0]))
    return operation
