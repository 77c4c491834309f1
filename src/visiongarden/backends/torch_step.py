"""`TorchStep`: captured training step for PyTorch.

**Why.** Keras's PyTorch trainer runs its step eagerly. For a small detector that is some thousand
lines of Python per step, in layers, loss and optimizer, and a device waits for them. **Gain:** 61 →
26 ms of Python per step at 320 x 320 pixels; on one H200 GPU the captured step, replayed as a CUDA
graph, trains at 3.25 times the speed of a plain PyTorch module (benchmarks/RESULTS.md). **Switch:**
`captured_steps`, for the step of Keras. Off with an untested version of Keras or PyTorch.

No result depends on the capture. A step that cannot be captured, and every step of a trainer that
is compiled with `run_eagerly=True`, runs the same code eagerly and is only slower.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras

from visiongarden.backends.captured import Captured
from visiongarden.backends.distribution import summed
from visiongarden.backends.replicas import of_all_replicas
from visiongarden.backends.switches import is_on

if TYPE_CHECKING:
    import torch


def captures_steps() -> bool:
    """Return whether training steps are captured: on PyTorch, unless that is switched off."""
    return bool(keras.backend.backend() == "torch" and is_on("captured_steps"))


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
        self._step: Callable[..., Any] = Captured(self._on_replica, self._changed)
        if trainer.run_eagerly:
            self._step = self._on_replica
        self._weights: list[keras.Variable] = []
        # Keras's own mean of the loss comes first.
        self._loss = next(metric for metric in trainer.metrics if metric.name == "loss")

    def __call__(self, data: Any) -> dict[str, torch.Tensor]:
        """Run one step on (images, targets) and return the means of the metrics so far.

        Args:
            data: Images as stored, (batch, height, width, channels), and the targets of the loss by
                name.
        """
        import torch
        from keras import ops, tree

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
            scaled = trainer.optimizer.scale_loss(total)
        # `loss.backward()`, as in Keras, would leave the gradients in `.grad` of the parameters;
        # `autograd.grad` returns them, so that they are ordinary values of the captured graph.
        gradients = torch.autograd.grad(scaled, values, allow_unused=True)
        trainer.optimizer.apply(
            [
                # None: the loss does not depend on this weight.
                torch.zeros_like(value) if gradient is None else gradient
                for value, gradient in zip(values, gradients, strict=True)
            ],
            self._weights,
        )
        # Keras weights each batch by its images, so that the mean is over images.
        (logged,) = summed([total.detach()])
        self._loss.update_state(logged, sample_weight=images.shape[0])
        means: dict[str, torch.Tensor] = trainer.compute_metrics(images, targets, raw)
        return means

    def _changed(self) -> list[keras.Variable]:
        # Capturing and checking run the step several times on one batch; `Captured` restores these
        # variables afterwards. One that is missing here would be updated more than once.
        trainer = self._trainer
        others = trainer.non_trainable_variables
        return [*self._weights, *others, *trainer.optimizer.variables, *trainer.metrics_variables]
