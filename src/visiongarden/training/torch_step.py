"""`TorchStep`: a training step on PyTorch that is recorded whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from visiongarden.backends.recorded import Recorded

if TYPE_CHECKING:
    import keras


class TorchStep:
    """What Keras's `train_step` does on PyTorch, in order: losses, gradients, update, means.

    Keras runs some thousand lines of Python a step for a small detector, beside which a device
    waits. Here they run a few times, and are then repeated from a recording, gradients included.

    Args:
        trainer: a compiled `Trainer`; holds model, loss, optimiser and means.
    """

    def __init__(self, trainer: keras.Model) -> None:
        self._trainer = trainer
        self._step: Callable[..., Any] = Recorded(self._run, self._changed)
        if trainer.run_eagerly:
            self._step = self._run
        self._weights: list[Any] = []

    def __call__(self, data: Any) -> dict[str, Any]:
        """One step for (images, targets); the means so far.

        Args:
            data: images (batch, height, width, 3) uint8, and the loss's targets by name.
        """
        import torch
        from keras import ops, tree

        images, targets = tree.map_structure(ops.convert_to_tensor, tuple(data[:2]))
        self._weights = self._weights or self._trainer.trainable_weights
        with torch.no_grad():
            means: dict[str, Any] = self._step(images, targets)
        return means

    def _run(self, images: Any, targets: dict[str, Any]) -> dict[str, Any]:
        import torch

        trainer, values = self._trainer, [weight.value for weight in self._weights]
        with torch.enable_grad():
            terms, total = trainer.judged(images, targets, trainer(images, training=True))
            scaled = trainer.optimizer.scale_loss(total)
        gradients = torch.autograd.grad(scaled, values, allow_unused=True)
        trainer.optimizer.apply(
            [
                torch.zeros_like(value) if gradient is None else gradient
                for value, gradient in zip(values, gradients, strict=True)
            ],
            self._weights,
        )
        trainer.track({name: term.detach() for name, term in terms.items()})
        trainer._loss_tracker.update_state(total.detach(), sample_weight=images.shape[0])
        means: dict[str, Any] = trainer.get_metrics_result()
        return means

    def _changed(self) -> list[Any]:
        trainer = self._trainer
        others = trainer.inner.non_trainable_variables
        return [*self._weights, *others, *trainer.optimizer.variables, *trainer.metrics_variables]
