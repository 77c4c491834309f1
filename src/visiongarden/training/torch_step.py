"""`TorchStep`: a training step on PyTorch, in two parts that are recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from visiongarden.ops.recorded import Recorded

if TYPE_CHECKING:
    from visiongarden.training.trainer import Trainer


class TorchStep:
    """What Keras's `train_step` does on PyTorch, in order: losses, gradients, update, means.

    Keras runs some thousand lines of Python a step for a small detector, beside which the device
    waits. The losses are one recording, from images to scalars; update and means are another.

    Args:
        trainer: compiled; holds model, loss, optimiser and means.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._losses = Recorded(self._judge, lambda: trainer.inner.non_trainable_variables)
        self._update = Recorded(self._learn, self._learned)
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
        terms, total = self._losses(images, targets)
        values = [weight.value for weight in self._weights]
        scaled = self._trainer.optimizer.scale_loss(total)
        found = torch.autograd.grad(scaled, values, allow_unused=True)
        gradients = [
            torch.zeros_like(value) if gradient is None else gradient
            for value, gradient in zip(values, found, strict=True)
        ]
        terms = {name: term.detach() for name, term in terms.items()}
        with torch.no_grad():
            logs: dict[str, Any] = self._update(gradients, terms, total.detach(), images)
        return logs

    def _judge(self, images: Any, targets: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        return self._trainer.judged(images, targets, self._trainer(images, training=True))

    def _learn(
        self, gradients: list[Any], terms: dict[str, Any], total: Any, images: Any
    ) -> dict[str, Any]:
        trainer = self._trainer
        trainer.optimizer.apply(gradients, self._weights)
        trainer.track(terms)
        trainer._loss_tracker.update_state(total, sample_weight=images.shape[0])
        means: dict[str, Any] = trainer.get_metrics_result()
        return means

    def _learned(self) -> list[Any]:
        trainer = self._trainer
        return [*self._weights, *trainer.optimizer.variables, *trainer.metrics_variables]
