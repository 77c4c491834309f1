"""Callbacks that evaluate a model after each epoch and write its files and its history."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from visiongarden.backends.distribution import assign_local, decided, is_first, local
from visiongarden.backends.random_state import restore_rng_states, rng_states
from visiongarden.errors import NotFiniteError
from visiongarden.storage import atomic_write
from visiongarden.training.finite import not_finite, not_finite_array
from visiongarden.training.limits import Limits
from visiongarden.training.run_place import RunPlace
from visiongarden.training.source import SkippedImages
from visiongarden.training.state import Progress, state_variables
from visiongarden.training.statistics import UntrainedNorms

SKIPPED = "skipped_images"
"""Entry of the history of a run that skips images: their number in the epoch."""

Validator = Callable[[keras.Model], dict[str, float]]
"""Function that evaluates a model and returns its metrics by name."""


class Record(keras.callbacks.Callback):
    """Callback that averages and evaluates the model after each epoch, and keeps the best one.

    Args:
        place: Folder of the run.
        averaged: Copy of the model, which holds the averaged weights.
        validate: Function that evaluates `averaged`; without one, `best.keras` is the last epoch.
        progress: Progress of the run, new or from a checkpoint.
        epochs: Epochs of the whole run.
        steps: Steps per epoch.
        validate_every: Epochs between two evaluations.
        best_by: Name of the metric that selects `best.keras`.
        best_mode: "max" or "min": which values of this metric are better.
        fix: The `fix` line of the error raised when the run diverges.
        norms: Batch normalizations that were untouched when the run began.
        limits: When the run ends before its last epoch.
        skipped: Images that the loader skips; None if it skips none.
    """

    def __init__(
        self,
        place: RunPlace,
        averaged: keras.Model,
        validate: Validator | None,
        progress: Progress,
        epochs: int,
        steps: int,
        validate_every: int,
        best_by: str = "AP",
        best_mode: str = "max",
        fix: str = "a lower learning rate",
        norms: UntrainedNorms | None = None,
        limits: Limits | None = None,
        skipped: SkippedImages | None = None,
    ) -> None:
        super().__init__()
        self.folder, self.averaged, self.validate = place.folder, averaged, validate
        self._check_place = place.check
        self.progress, self.epochs, self.validate_every = progress, epochs, validate_every
        self.steps, self._step, self.best_by = steps, progress.step, best_by
        self._rng_states, self._fix = rng_states(averaged), fix
        self._norms, self.limits, self.skipped = norms, limits or Limits(), skipped
        self._began, self._seconds_before = time.monotonic(), progress.seconds
        self._means: list[np.ndarray] = []
        self._sign = -1.0 if best_mode == "min" else 1.0

    def continue_epoch(self, model: keras.Model) -> None:
        """Continue the means of the epoch in which the run was saved.

        Args:
            model: The compiled model, whose means were read from the checkpoint.
        """
        if self.progress.step:
            values = [local(each.value) for each in model.metrics_variables]
            # Keras resets them when the epoch begins; on PyTorch in the same memory.
            self._means = [np.array(keras.ops.convert_to_numpy(value)) for value in values]

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Restore the means of the part of the epoch before the checkpoint."""
        if self._means:
            for variable, value in zip(self.model.metrics_variables, self._means, strict=True):
                assign_local(variable, value)
        self._means = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Restore the RNG state of PyTorch before the first step of each `fit`.

        Keras's data loader for PyTorch samples a number where `fit` begins, and a resumed run has
        one such beginning more: without this its dropout would differ from the uninterrupted run.
        """
        if self._rng_states:
            restore_rng_states(self.averaged, self._rng_states)
            self._rng_states = {}

    def restart(self) -> None:
        """Count the steps of an epoch from the position of `progress`, which has changed."""
        self._step, self._means = self.progress.step, []
        self._rng_states = rng_states(self.averaged)

    @property
    def steps_done(self) -> int:
        """Steps of the epoch so far, also those before a resume."""
        return self._step

    @property
    def is_epoch_complete(self) -> bool:
        """Whether the last step was the last one of its epoch."""
        return self._step >= self.steps

    def current_progress(self) -> Progress:
        """Return the progress after the last completed step."""
        # Between two epochs, `progress` is complete, and no step is counted.
        step = self._step or self.progress.step
        return replace(self.progress, step=step, seconds=self._seconds())

    def on_train_end(self, logs: Any = None) -> None:
        """Store the RNG state of PyTorch for the next `fit` of the run."""
        self._rng_states = rng_states(self.averaged)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the steps of the epoch, including those before a resume; end at the time limit."""
        self._step += 1
        if self.limits.are_up(self._seconds()):
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Evaluate and save the model, unless the epoch was interrupted.

        Raises:
            NotFiniteError: The loss, a weight, the optimizer's state or a prediction is not finite.
                Nothing is written, so that the previous checkpoint can be resumed.
        """
        logs = logs if logs is not None else {}
        model: Any = self.model
        self._check(epoch, logs.get("loss", 0.0))
        self._check_place()
        complete = self.is_epoch_complete
        if complete:
            assign_average(model, self.averaged, self._norms)
            due = (epoch + 1) % self.validate_every == 0 or epoch + 1 == self.epochs
            metrics = self._evaluate(epoch) if self.validate is not None and due else {}
            self.progress.waited += 1
            self._save_epoch(epoch, logs, metrics)
            if metrics and self.limits.are_reached(self.progress.waited):
                model.stop_training = True
            # The other callbacks find them under the names that Keras gives them.
            logs.update({_logged(name): value for name, value in metrics.items()})
        self.progress.epoch = epoch + 1 if complete else epoch
        self.progress.step = 0 if complete else self._step
        self._step = 0
        self.progress.seconds = decided(self._seconds)

    def finish(self, save: Callable[[], None]) -> None:
        """Evaluate a run that ended early after an epoch without an evaluation.

        `best.keras` exists afterwards, whatever ended the run.

        Args:
            save: Function that saves the state of the run.
        """
        progress, rows = self.progress, self.progress.history
        is_between_epochs = progress.step == 0 and bool(rows)
        if self.validate is not None and is_between_epochs and self.best_by not in rows[-1]:
            metrics = self._evaluate(progress.epoch - 1)
            rows[-1] |= {name: float(value) for name, value in metrics.items()}
            self._keep_if_best(progress.epoch - 1, metrics)
            self._write_history()
            save()
        if is_first() and not (self.folder / "best.keras").exists():
            # The time was up in the first epoch, or no epoch has been evaluated before this one.
            self.averaged.save(self.folder / "best.keras")

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._began

    def check_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Check the state of a checkpoint before it is written.

        Raises:
            NotFiniteError: A weight or the state of the optimizer is not finite.
        """
        model: Any = self.model
        trained = {f"model/{variable.path}" for variable in model.trainable_variables}
        for name, array in arrays.items():
            problem = not_finite_array(array, model.compute_dtype if name in trained else None)
            if problem:
                raise self._diverged(self.progress.epoch, f"{name} became {problem}")

    def _check(self, epoch: int, loss: float) -> None:
        model: Any = self.model
        state = state_variables(model, model.optimizer)
        problem = not_finite(loss, state, model.compute_dtype)
        if problem:
            raise self._diverged(epoch, problem)

    def _evaluate(self, epoch: int) -> dict[str, float]:
        if self.validate is None:
            return {}
        try:
            # Every process takes part, and all go on with the values of process 0.
            metrics = {name: float(v) for name, v in self.validate(self.averaged).items()}
            return dict(decided(lambda: metrics))
        except NotFiniteError as error:
            raise self._diverged(epoch, error.what) from error

    def _diverged(self, epoch: int, what: str) -> NotFiniteError:
        return NotFiniteError(
            f"{what} in epoch {epoch + 1}",
            rule=f"nothing from this epoch was saved in {self.folder}",
            fix=self._fix,
        )

    def _save_epoch(self, epoch: int, logs: dict[str, float], metrics: dict[str, float]) -> None:
        values = logs | metrics
        entry = {"epoch": epoch + 1} | {name: float(value) for name, value in values.items()}
        if self.skipped is not None:
            entry[SKIPPED] = self.skipped.count(epoch)
        self.progress.history.append(entry)
        self._write_history()
        self._keep_if_best(epoch, metrics)

    def _keep_if_best(self, epoch: int, metrics: dict[str, float]) -> None:
        if self.validate is None or (
            self.best_by in metrics and self._is_best(metrics[self.best_by])
        ):
            self.progress.best_epoch = epoch + 1
            if is_first():
                self.averaged.save(self.folder / "best.keras")

    def _write_history(self) -> None:
        if is_first():
            write_json(self.folder / "history.json", self.progress.history)

    def _is_best(self, value: float) -> bool:
        """Return whether a value of the metric is as good as the best so far, and keep it then."""
        best = self.progress.best
        # A metric is NaN where the validation split has nothing to compute it from.
        if math.isnan(value):
            return best is None
        # An equal score counts as better: while all scores are 0, the later epoch has learned more.
        # It does not count for the patience, which would never end at a score of 0 or 1.
        if best is not None and self._sign * value < self._sign * best:
            return False
        if best is None or value != best:
            self.progress.waited = 0
        self.progress.best = float(value)
        return True


def _logged(name: str) -> str:
    """Return the name of a value of the evaluation in the logs; that of the loss is the same."""
    return name if name.startswith("val_") else f"val_{name}"


class Board(keras.callbacks.Callback):
    """Callback that writes the loss and metrics of each epoch as TensorBoard events.

    Unlike `keras.callbacks.TensorBoard`, it does not need TensorFlow.

    Args:
        folder: Folder of the event files.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self._writer: Any = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the values of the epoch."""
        if self._writer is None:
            self._writer = _writer(self.folder)
        for name, value in (logs or {}).items():
            self._writer.add_scalar(name, float(value), epoch + 1)
        self._writer.flush()

    def on_train_end(self, logs: Any = None) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()


def _writer(folder: Path) -> Any:
    from tensorboard.summary import Writer
    from tensorboard.summary._output import DirectoryOutput  # TensorBoard has no public name for it

    folder.mkdir(parents=True, exist_ok=True)
    return Writer(DirectoryOutput(str(folder)))


def assign_average(model: Any, averaged: keras.Model, norms: UntrainedNorms | None = None) -> None:
    """Assign the moving average of the trained weights, and all other state, to `averaged`.

    Batch-normalization statistics that started with the run are corrected for their start; see
    `statistics`. The trained model keeps Keras's uncorrected ones, which the run continues from.

    Args:
        model: The trained model.
        averaged: Copy of the trained model.
        norms: Batch normalizations that were untouched when the run began.
    """
    optimizer: Any = model.optimizer
    # With float16 Keras wraps the optimizer in a `LossScaleOptimizer`.
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    averages = zip(model.trainable_variables, optimizer.averaged(), strict=True)
    values = {id(variable): value for variable, value in averages}
    values |= {} if norms is None else norms.corrected(optimizer.batches)
    # Paired in order over all variables. `trainable_variables` of the two models may differ: layers
    # can be frozen in the source, and the copy is built from the config, which does not record it.
    for weight, trained in zip(averaged.variables, model.variables, strict=True):
        weight.assign(values.get(id(trained), trained.value))


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, atomically."""
    atomic_write(path, json.dumps(value, indent=1))
