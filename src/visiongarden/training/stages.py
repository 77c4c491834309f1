"""`Stages`: the optimizer of a run while layers are frozen, and after they are unfrozen."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import keras
from keras import ops

from visiongarden.backends.engine import engine
from visiongarden.backends.jax_step import prefers_compilation
from visiongarden.models import Joined
from visiongarden.progress import LOGGER
from visiongarden.training.averaging import AveragingOptimizer
from visiongarden.training.building import make_optimizer, schedule_of
from visiongarden.training.extension import restarted_at
from visiongarden.training.freezing import Freezing
from visiongarden.training.rates import Rates, check_trained, rates_of
from visiongarden.training.running import variants_of
from visiongarden.training.settings import Training
from visiongarden.training.state import Progress
from visiongarden.training.statistics import UntrainedNorms


class Stages:
    """The model of a run, compiled with an optimizer of the weights that are trained.

    The optimizer of the first stage knows nothing of frozen weights: they have neither gradients
    nor state. When they are unfrozen, an optimizer of all weights takes over its state.

    Args:
        model: The model; its layers are frozen here.
        steps: Steps of an epoch.
        settings: Settings of the run.
        loaded: Paths of the weights that hold pretrained values; None if they are not known.
        before: Progress of the run that is resumed, if any.
        rate_factor: Factor of the schedule of the learning rate.

    Attributes:
        freezing: Layers that are frozen at first.
        restarted: Epochs before the one in which the learning-rate schedule began.
        norms: Batch normalizations that had seen no batch when the run began.
    """

    def __init__(
        self,
        model: Joined,
        steps: int,
        settings: Training,
        loaded: Collection[str] | None,
        before: Progress | None,
        rate_factor: float = 1.0,
    ) -> None:
        self.model, self._steps, self._settings = model, steps, settings
        self._rate_factor = rate_factor
        self.restarted = restarted_at(before, settings)
        self.freezing = Freezing(model, settings.freeze, loaded)
        self._rates = _rates(model, settings, self.freezing.paths)
        self._late: frozenset[int] = frozenset()
        if before is None or not before.unfrozen:
            self.freezing.freeze(model)
        else:
            self._late = self._frozen_ids()
        # Before the checkpoint is loaded: a resumed run has to correct the same ones as the run
        # that it continues.
        self.norms = UntrainedNorms(model, None if before is None else before.norms)

    def compile(self) -> None:
        """Compile the model with a new optimizer of the weights that are trained."""
        variables = self.model.trainable_variables
        factors = {id(variable): self._rates.of(variable) for variable in variables}
        with engine().scope():
            optimizer = make_optimizer(
                self._settings,
                self._steps,
                self.restarted,
                self._rate_factor,
                self.model.sums_of_loss,
            )
            optimizer.set_factors(factors, self._late & factors.keys())
            self.model.compile(optimizer=optimizer, jit_compile=prefers_compilation())
            self.model.optimizer.build(variables)
            # Those of the terms of the loss; in a step on several devices it would be too late.
            _ = self.model.metrics

    def lower_rate(self, factor: float) -> None:
        """Compile the model with a factor of the schedule of the learning rate.

        Args:
            factor: Factor of the schedule as the settings define it.
        """
        self._rate_factor = factor
        self.compile()

    def lower_constant_rate(self, factor: float) -> None:
        """Multiply a learning rate that is a number by a factor.

        Args:
            factor: Factor of the current learning rate.
        """
        if schedule_of(self._settings, self._steps, self.restarted) is None:
            optimizer: Any = self.model.optimizer
            optimizer.learning_rate = factor * float(ops.convert_to_numpy(optimizer.learning_rate))

    def describe(self) -> list[str]:
        """Return what is frozen, and the table of the factors of the learning rate."""
        is_frozen = self.freezing.paths and not self._late
        lines = [self.freezing.describe(self.model)] if is_frozen else []
        if self._rates.vary:
            lines.append(f"learning rates:\n{self._rates.describe(self.model)}")
        return lines

    def is_due(self, progress: Progress) -> bool:
        """Return whether frozen layers are trained from the next epoch on."""
        first = self._settings.unfreeze_at_epoch
        return (
            first is not None
            and not progress.unfrozen
            and progress.step == 0
            and progress.epoch + 1 >= first
        )

    def until(self, progress: Progress) -> int:
        """Return the epoch, from 0, before which the optimizer stays the same."""
        first, epochs = self._settings.unfreeze_at_epoch, self._settings.epochs
        return epochs if first is None or progress.unfrozen else min(first - 1, epochs)

    def unfreeze(self, progress: Progress, averaged: keras.Model) -> None:
        """Train all weights from now on.

        Args:
            progress: The progress, which notes it.
            averaged: Copy of the model with the averaged weights, whose layers are released too.
        """
        old = self.model.optimizer
        self._late = self._frozen_ids()
        # Their batch normalizations would go on in inference mode.
        others = variants_of(self.model)
        for model in (self.model, averaged, *others):
            self.freezing.release(model)
        self.compile()
        _take_over(old, self.model.optimizer)
        progress.unfrozen = True
        LOGGER.info(
            f"epoch {progress.epoch + 1}: the layers that were frozen are trained from now on"
        )
        for line in self.describe():
            LOGGER.info(line)

    def _frozen_ids(self) -> frozenset[int]:
        paths = self.freezing.paths
        return frozenset(id(weight) for weight in self.model.weights if weight.path in paths)


def check_layers(model: Joined, settings: Training, loaded: Collection[str] | None = None) -> None:
    """Check the fields of `training` that select layers of a model, as `fit` does.

    Args:
        model: The model; it is not changed.
        settings: Settings of the run.
        loaded: Paths of the weights that hold pretrained values; None if they are not known.

    Raises:
        ConfigError: A pattern matches nothing or only a part of a layer, a frozen layer holds no
            loaded weights, or two factors are given for one weight.
    """
    frozen = Freezing(model, settings.freeze, loaded).paths
    _rates(model, settings, frozen)


def _rates(model: Joined, settings: Training, frozen: Collection[str]) -> Rates:
    found = rates_of(model, settings.learning_rate_factors, settings.layer_decay)
    if frozen and settings.unfreeze_at_epoch is None:
        fix = "training.unfreeze_at_epoch=2"
        check_trained(model, settings.learning_rate_factors, frozen, fix)
    return found


def _take_over(old: Any, new: Any) -> None:
    """Continue with another optimizer from the state of the one so far."""
    # With float16 Keras wraps the optimizer in a `LossScaleOptimizer`.
    if isinstance(new, keras.optimizers.LossScaleOptimizer):
        own = len(new.variables) - len(new.inner_optimizer.variables)
        for variable, value in zip(new.variables[:own], old.variables[:own], strict=True):
            variable.assign(value.value)
        old, new = old.inner_optimizer, new.inner_optimizer
    optimizer: AveragingOptimizer = new
    optimizer.continue_from(old)
