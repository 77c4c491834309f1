"""`TorchStep`: captured training step for PyTorch.

**Why.** Keras's PyTorch trainer runs its step eagerly. For a small detector that is some thousand
lines of Python per step, in layers, loss and optimizer, and a device waits for them. **Gain:** 61 →
26 ms of Python per step at 320 x 320 pixels; on one H200 GPU the captured step, replayed as a CUDA
graph, trains at 3.25 times the speed of a plain PyTorch module (benchmarks/RESULTS.md). **Switch:**
`captured_steps`, for the step of Keras; with several processes or `training.accumulate_steps` for
this one, run eagerly. Off with an untested version of Keras or PyTorch.

No result depends on the capture. A step that cannot be captured, and every step of a trainer that
is compiled with `run_eagerly=True`, runs the same code eagerly and is only slower.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras

from visiongarden.backends.accumulation import (
    Part,
    accumulator_of,
    log,
    steps_by_kind,
    update,
)
from visiongarden.backends.captured import Captured
from visiongarden.backends.distribution import begin_step, summed
from visiongarden.backends.replicas import of_all_replicas
from visiongarden.backends.switches import is_on

if TYPE_CHECKING:
    import torch


def captures_steps() -> bool:
    """Return whether training steps are captured: on PyTorch, unless that is switched off."""
    return bool(keras.backend.backend() == "torch" and is_on("captured_steps"))


def uses_torch_step(has_parts: bool) -> bool:
    """Return whether `TorchStep` runs the steps.

    Args:
        has_parts: Whether the loss has parts, of several batches or replicas, which Keras's step
            does not have.
    """
    return keras.backend.backend() == "torch" and (has_parts or captures_steps())


class TorchStep:
    """Training step on PyTorch: forward pass, loss, gradients, update and metrics in one function.

    The step does what Keras's `train_step` does, in the same order. `Captured` runs it eagerly for
    the first calls with each batch shape, captures its operations, gradients and update included,
    and replays them from then on.

    Args:
        trainer: Compiled model, which holds the loss, the optimizer and the metrics.
    """

    def __init__(self, trainer: keras.Model) -> None:
        self._trainer = trainer
        self._accumulator = accumulator_of(trainer.optimizer)
        eager = trainer.run_eagerly or not captures_steps()

        def make() -> Callable[..., Any]:
            return self._on_replica if eager else Captured(self._on_replica, self._changed)

        self._step = make() if self._accumulator is None else steps_by_kind(self._accumulator, make)
        self._weights: list[keras.Variable] = []

    def __call__(self, data: Any) -> dict[str, torch.Tensor]:
        """Run one step on (images, targets) and return the means of the metrics so far.

        Args:
            data: Images as stored, (batch, height, width, channels), and the targets of the loss by
                name.
        """
        import torch
        from keras import ops, tree

        begin_step()
        images, targets = tree.map_structure(ops.convert_to_tensor, tuple(data[:2]))
        # Collected once, because the property walks through all layers. `compile` makes a new
        # `TorchStep`, so frozen layers take effect when the model is compiled again.
        self._weights = self._weights or self._trainer.trainable_weights
        # `Captured` captures only without gradient tracking: a graph of operations has no
        # autograd history. `_run` enables it for the part that it differentiates itself.
        with torch.no_grad():
            means: dict[str, torch.Tensor] = self._step(images, targets)
        return means

    def _on_replica(
        self, images: torch.Tensor, targets: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        with of_all_replicas(self._trainer):
            return self._run(images, targets)

    def _run(
        self, images: torch.Tensor, targets: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        import torch

        trainer, values = self._trainer, [weight.value for weight in self._weights]
        with torch.enable_grad():
            raw = trainer(trainer.step_inputs(images, targets), training=True)
            total = trainer.compute_loss(images, targets, raw, None, training=True)
            parts: list[Part] = []
            if self._accumulator is not None:
                parts = trainer.parts_of_loss(total)
            scaled = [trainer.optimizer.scale_loss(each) for each in _totals(parts, total)]
        # `loss.backward()`, as in Keras, would leave the gradients in `.grad` of the parameters;
        # `autograd.grad` returns them, so that they are ordinary values of the captured graph.
        gradients = [_gradients(each, values, each is not scaled[-1]) for each in scaled]
        if self._accumulator is None:
            trainer.optimizer.apply(gradients[0], self._weights)
        else:
            update(trainer, self._accumulator, parts, gradients)
        (logged,) = summed([total.detach()])
        means: dict[str, torch.Tensor] = log(trainer, images, targets, raw, logged, images.shape[0])
        return means

    def _changed(self) -> list[keras.Variable]:
        # Capturing and checking run the step several times on one batch; `Captured` restores these
        # variables afterwards. One that is missing here would be updated more than once.
        trainer = self._trainer
        others = trainer.non_trainable_variables
        return [*self._weights, *others, *trainer.optimizer.variables, *trainer.metrics_variables]


def _totals(parts: Sequence[Part], total: torch.Tensor) -> list[torch.Tensor]:
    """Return what is differentiated: each part of a loss that is accumulated, or the loss."""
    return [part.total for part in parts] or [total]


def _gradients(
    scaled: torch.Tensor, values: list[torch.Tensor], keeps_graph: bool
) -> list[torch.Tensor]:
    """Return the gradient of each value; zeros where the scalar does not depend on it."""
    import torch

    if not scaled.requires_grad:
        return [torch.zeros_like(value) for value in values]
    found = torch.autograd.grad(scaled, values, allow_unused=True, retain_graph=keeps_graph)
    return [
        torch.zeros_like(value) if gradient is None else gradient
        for value, gradient in zip(values, found, strict=True)
    ]
