"""`fit`: trains a model on a loader, with everything that a run needs around Keras's own `fit`."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from visiongarden.data import fingerprint
from visiongarden.errors import UserError
from visiongarden.models import Joined
from visiongarden.tasks import task_of
from visiongarden.training.interrupt import StopOnInterrupt
from visiongarden.training.multi_scale import MultiScaleTrainer
from visiongarden.training.optimizers import make_optimizer
from visiongarden.training.progress_bar import ProgressBar
from visiongarden.training.record import Board, Judge, Record, average
from visiongarden.training.settings import Training
from visiongarden.training.source import EpochBatches
from visiongarden.training.state import Progress, load_state
from visiongarden.training.trainer import Trainer


def fit(
    model: Joined,
    train: Any,
    folder: str | Path,
    settings: Training | None = None,
    judge: Judge | None = None,
    loss: Any = None,
    resume: bool = False,
    callbacks: tuple[keras.callbacks.Callback, ...] = (),
    identity: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    accept_changes: bool = False,
) -> list[dict[str, float]]:
    """Trains a model; afterwards it holds the averaged weights of the last epoch.

    Leaves `best.keras` and `last.keras` (averaged weights, judged ones), `history.json`,
    `resume.npz` and TensorBoard events in the folder. Ctrl-C ends after the current step, leaves
    all that is needed to resume, and raises `KeyboardInterrupt`.

    Args:
        model: is trained in place.
        train: the loader of the model's task: `len(train)` batches in every epoch, always the same
            ones for the same epoch. Where it has several `sizes`, the model is trained at each, and
            keeps its own.
        folder: of the run; made if need be.
        settings: the run's numbers.
        judge: evaluates the averaged model after an epoch; the first figure of the model's task
            ("AP", "top1", "mIoU") decides what is the best.
        loss: `loss(raw, image_size=size, **targets) -> {term: scalar}`; by default the head's.
        resume: go on with the run in the folder.
        callbacks: more Keras callbacks; they see the trainer, whose `inner` is the model.
        identity: what must be the same in a run that is resumed, besides model and settings.
        data: fingerprint of the data, which must be the same in a run that is resumed; by default
            that of `train.dataset`.
        accept_changes: resume although the data, the learning rate, its warm-up and final value,
            `weight_decay` or `clip_norm` changed.

    Returns:
        One dict an epoch: loss and its terms, and what `judge` gave.

    Raises:
        UserError: nothing to resume, or of another run; no images; a model that cannot take the
            sizes of the batches.
        DataChangedError: the data changed since the run began.
        NotFiniteError: loss or weights became infinite or NaN; what was saved before is kept.
        DataError: an image cannot be decoded, or an epoch has fewer batches than `len(train)`.
    """
    settings, folder = settings or Training(), Path(folder)
    if not len(train):
        raise UserError("the training split has no image to train on")
    trainer = _trainer(model, loss or model.parts.head.loss(), train)
    folder.mkdir(parents=True, exist_ok=True)
    trainer.compile(optimizer=make_optimizer(settings, len(train)), jit_compile=_compiles_faster())
    trainer.optimizer.build(trainer.trainable_variables)
    # Keras numbers automatic names by what was built before, which tells nothing about the run.
    drawn = {key: value for key, value in model.get_config().items() if key != "name"}
    identity = (identity or {}) | {"model": drawn, "training": settings.to_dict()}
    if data is None and hasattr(train, "dataset"):
        data = fingerprint({"train": train.dataset})
    progress = Progress(identity=identity, data=data or {})
    if resume:
        progress = load_state(folder, identity, model, trainer.optimizer, data, accept_changes)
        if progress.step >= len(train):  # of changed data, which have fewer batches
            progress.step = 0
    averaged = type(model).from_config(model.get_config())
    figures = task_of(model).figures
    record = Record(
        folder,
        averaged,
        judge,
        progress,
        settings.epochs,
        len(train),
        settings.judge_every,
        figures[0],
        f"settings=Training(learning_rate={lower_rate(settings):g})",
    )
    _run(
        trainer,
        train,
        settings,
        record,
        ProgressBar(len(train), train.batch_size, figures),
        callbacks,
    )
    average(trainer, averaged)
    averaged.save(folder / "last.keras")
    model.set_weights(averaged.get_weights())
    return progress.history


def _trainer(model: Joined, loss: Any, train: Any) -> Trainer:
    sizes = getattr(train, "sizes", (train.image_size,))
    if len(sizes) == 1:
        return Trainer(model, loss, train.image_size)
    return MultiScaleTrainer(model, loss, train.image_size, sizes)


def _run(
    trainer: Trainer,
    train: Any,
    settings: Training,
    record: Record,
    bar: ProgressBar,
    callbacks: tuple[keras.callbacks.Callback, ...],
) -> None:
    progress, steps = record.progress, len(train)
    stop = StopOnInterrupt()
    everything: list[keras.callbacks.Callback] = [record]
    if settings.tensorboard and importlib.util.find_spec("tensorboard"):
        everything.append(Board(record.folder / "tensorboard"))
    everything += [*callbacks, bar, stop]
    with stop:
        try:
            stopped = False
            while progress.epoch < settings.epochs and not stopped:
                # A resumed epoch is shorter than the others, and Keras counts equal ones.
                part = progress.step > 0
                source = EpochBatches(train, progress.epoch, progress.step, settings.epochs)
                with _own_error(source):
                    trainer.fit(
                        trainer.feed(source),
                        steps_per_epoch=steps - progress.step,
                        initial_epoch=progress.epoch,
                        epochs=progress.epoch + 1 if part else settings.epochs,
                        callbacks=everything,
                        verbose=0,
                        shuffle=False,
                    )
                stopped = trainer.stop_training
        finally:
            bar.close()
    if stop.interrupted:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _own_error(source: EpochBatches) -> Iterator[None]:
    """Raise what reading a batch raised instead of what a backend made of it."""
    try:
        yield
    except Exception as error:
        if source.error is None or source.error is error:
            raise
        raise source.error from error


def lower_rate(settings: Training) -> float:
    """A learning rate to try after a run diverged: a tenth, at most the default."""
    default: float = Training.model_fields["learning_rate"].default
    return min(settings.learning_rate / 10, default)


def _compiles_faster() -> bool:
    # Measured on CPUs: XLA slows TensorFlow's step by a tenth; JAX is always compiled.
    return keras.backend.backend() == "jax"
