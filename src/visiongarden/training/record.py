"""What a run leaves after each epoch: judged weights, best and last model, state, history."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from visiongarden.errors import NotFiniteError
from visiongarden.storage import atomic_write
from visiongarden.training.finite import not_finite
from visiongarden.training.state import Progress, draws, put_back, save_state, state_variables

Judge = Callable[[keras.Model], dict[str, float]]
"""Evaluates a model: gives figures, of which one decides which epoch is the best."""


class Record(keras.callbacks.Callback):
    """After each epoch: averages the weights, judges them, writes models, state and history.

    Args:
        folder: of the run.
        averaged: a copy of the model, which holds the averaged weights.
        judge: evaluates `averaged`; None keeps the last epoch as the best.
        progress: what a resumed run brought along, or a new one.
        epochs: of the whole run.
        steps: of an epoch.
        judge_every: epochs between two evaluations.
        best_by: the figure that decides.
        fix: what to do when the run diverges.
    """

    def __init__(
        self,
        folder: Path,
        averaged: keras.Model,
        judge: Judge | None,
        progress: Progress,
        epochs: int,
        steps: int,
        judge_every: int,
        best_by: str = "AP",
        fix: str = "a lower learning rate",
    ) -> None:
        super().__init__()
        self.folder, self.averaged, self.judge = folder, averaged, judge
        self.progress, self.epochs, self.judge_every = progress, epochs, judge_every
        self.steps, self._step, self.best_by = steps, progress.step, best_by
        self._draws, self._fix = draws(averaged), fix

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Has PyTorch draw on: its loader draws once where Keras's `fit` begins, and resuming is
        one beginning more."""
        if self._draws:
            put_back(self.averaged, self._draws)
            self._draws = {}

    def on_train_end(self, logs: Any = None) -> None:
        """Keeps what the next `fit` of the run goes on from."""
        self._draws = draws(self.averaged)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Counts the steps of an epoch, those before a resume included."""
        self._step += 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Judges and writes; an epoch that was cut short only leaves its state.

        Raises:
            NotFiniteError: loss, weights, optimizer or outputs are not finite; nothing is written.
        """
        logs = logs if logs is not None else {}
        trainer: Any = self.model
        self._check(epoch, logs.get("loss", 0.0))
        whole = self._step >= self.steps
        if whole:
            average(trainer, self.averaged)
            due = (epoch + 1) % self.judge_every == 0 or epoch + 1 == self.epochs
            if self.judge is not None and due:
                logs.update(self._judged(epoch))
            self._keep(epoch, logs)
        self.progress.epoch = epoch + 1 if whole else epoch
        self.progress.step = 0 if whole else self._step
        self._step = 0
        save_state(self.folder, self.progress, trainer.inner, trainer.optimizer)

    def _check(self, epoch: int, loss: float) -> None:
        trainer: Any = self.model
        state = state_variables(trainer.inner, trainer.optimizer)
        broken = not_finite(loss, state, trainer.compute_dtype)
        if broken:
            raise self._diverged(epoch, broken)

    def _judged(self, epoch: int) -> dict[str, float]:
        try:
            return self.judge(self.averaged) if self.judge is not None else {}
        except NotFiniteError as error:
            raise self._diverged(epoch, error.what) from error

    def _diverged(self, epoch: int, what: str) -> NotFiniteError:
        return NotFiniteError(
            f"{what} in epoch {epoch + 1}",
            rule=f"nothing of this epoch is saved in {self.folder}",
            fix=self._fix,
        )

    def _keep(self, epoch: int, logs: dict[str, float]) -> None:
        entry = {"epoch": epoch + 1} | {name: float(value) for name, value in logs.items()}
        self.progress.history.append(entry)
        write_json(self.folder / "history.json", self.progress.history)
        score = logs.get(self.best_by, self.progress.best if self.judge else 0.0)
        score = 0.0 if math.isnan(score) else score
        # Equal counts as better: before anything is found, the later epoch knows more.
        if (self.judge is None or self.best_by in logs) and score >= self.progress.best:
            self.progress.best = score
            self.averaged.save(self.folder / "best.keras")


class Board(keras.callbacks.Callback):
    """Writes each epoch's figures as TensorBoard events, on every backend."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self._writer: Any = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Adds one point to each curve."""
        if self._writer is None:
            self._writer = _writer(self.folder)
        for name, value in (logs or {}).items():
            self._writer.add_scalar(name, float(value), epoch + 1)
        self._writer.flush()

    def on_train_end(self, logs: Any = None) -> None:
        """Closes the file."""
        if self._writer is not None:
            self._writer.close()


def _writer(folder: Path) -> Any:
    from tensorboard.summary import Writer
    from tensorboard.summary._output import DirectoryOutput  # has no public name yet

    folder.mkdir(parents=True, exist_ok=True)
    return Writer(DirectoryOutput(str(folder)))


def average(trainer: Any, averaged: keras.Model) -> None:
    """Puts the moving average of the trained weights, and the other state, into `averaged`.

    Statistics of batch normalisation that began with the run are freed of what they began with.
    """
    source = trainer.inner
    # A loss scale for float16 is wrapped around the optimiser.
    optimizer = getattr(trainer.optimizer, "inner_optimizer", trainer.optimizer)
    learned = zip(trainer.trainable_variables, optimizer.averaged(), strict=True)
    values = {id(variable): value for variable, value in learned}
    values |= trainer.beginning.forgotten(int(keras.ops.convert_to_numpy(optimizer.iterations)))
    # One by one: in the model layers may be frozen, which the other knows nothing of.
    for weight, other in zip(averaged.variables, source.variables, strict=True):
        weight.assign(values.get(id(other), other.value))


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    atomic_write(path, json.dumps(value, indent=1))
