"""`fit`: train a model with Keras's own `fit`, and keep everything that is needed to resume."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import keras

from visiongarden.backends.compile_state import own_compile_state
from visiongarden.backends.distribution import decided, is_first, reported, training_steps
from visiongarden.backends.engine import engine
from visiongarden.backends.feeding import feed
from visiongarden.data import Loader, fingerprint
from visiongarden.data.batches import ForeignBatches, loader_of
from visiongarden.data.channels import check_images
from visiongarden.data.shares import Share
from visiongarden.errors import DataError, NotFiniteError, UserError
from visiongarden.evaluation import make_validator
from visiongarden.losses import Loss
from visiongarden.losses.class_columns import KNOWN
from visiongarden.models import Joined
from visiongarden.models.backup import restored_epoch
from visiongarden.models.kinds import preprocessing_of
from visiongarden.parts import OfClasses
from visiongarden.progress import LOGGER
from visiongarden.tasks import task_of
from visiongarden.training.batch_logs import Callbacks
from visiongarden.training.building import (
    check_callbacks,
    check_optimizer,
    check_restored_weights,
    describe_optimizer,
    lower_rate,
    make_callbacks,
)
from visiongarden.training.callback_states import CallbackStates
from visiongarden.training.checkpoint_writer import CheckpointWriter
from visiongarden.training.checkpointing import Checkpointing
from visiongarden.training.checkpoints import newest_checkpoint
from visiongarden.training.devices import check_devices, describe_devices
from visiongarden.training.extension import check_epochs, check_unfreezing, describe_join
from visiongarden.training.failures import explained
from visiongarden.training.interrupt import StopOnSignal
from visiongarden.training.limits import Limits
from visiongarden.training.loss_watch import LossWatch
from visiongarden.training.monitors import check_monitors, prepare_for_evaluations
from visiongarden.training.progress_bar import ProgressBar
from visiongarden.training.record import Board, Record, Validator, assign_average
from visiongarden.training.replica_check import ReplicaCheck
from visiongarden.training.rollback import rate_factor, roll_back
from visiongarden.training.run_place import RunPlace
from visiongarden.training.running import trained_with
from visiongarden.training.settings import Training
from visiongarden.training.source import EpochBatches, SkippedImages
from visiongarden.training.stages import Stages
from visiongarden.training.state import Progress, load_state, saved_progress
from visiongarden.training.together import (
    StopTogether,
    check_agreement,
    of_first_process,
    weights_checksum,
)
from visiongarden.training.update_steps import UpdateSteps
from visiongarden.types import ImageSize


def fit(
    model: Joined,
    train: Any,
    folder: str | Path,
    settings: Training | None = None,
    validate: Validator | Any = None,
    loss: Loss | None = None,
    resume: bool = False,
    callbacks: tuple[keras.callbacks.Callback, ...] = (),
    identity: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    accept_changes: bool = False,
    monitor: tuple[str, str] | None = None,
    loaded: Collection[str] | None = None,
) -> list[dict[str, float]]:
    """Train a model in place and write its checkpoints into a folder.

    Afterwards the model holds the moving average of its weights after the last step.

    The folder receives `best.keras` and `last.keras` (averaged weights, the ones that are
    evaluated), `history.json`, `resume.npz` and, if `tensorboard` is installed, TensorBoard events.
    `resume.npz` is written after each epoch and every `Training.checkpoint_every`, and the one
    before it is kept as `resume.previous.npz`. Ctrl-C, SIGTERM and SIGUSR1 end training after the
    current step, write everything that is needed to resume, and raise `KeyboardInterrupt`; a
    second Ctrl-C ends it immediately.

    Args:
        model: Model to train; modified in place.
        train: Loader of the model's task. It must yield `len(train)` batches in every epoch, and
            always the same batches for the same epoch. If it has several `sizes`, the model is
            trained at each of them and keeps its own image size. Or batches of `(images, targets)`
            with a length: a list, `tf.data.Dataset`, `keras.utils.PyDataset`, the `DataLoader` of
            PyTorch or one of Grain's datasets.
        folder: Folder of the run; created if it does not exist.
        settings: Training settings. Defaults to `Training()`.
        validate: Function that evaluates the averaged model and returns its metrics, or the data
            on which `vg.evaluate` does: annotations, or batches that can be read again. The metric
            `Task.monitor` ("AP", "top1", "mIoU") selects `best.keras`.
        loss: Loss. Defaults to that of the model's head.
        resume: Whether to continue the run in `folder`.
        callbacks: Keras callbacks, after those that `settings` names. Their `model` is the trained
            model. A resumed run starts with new ones.
        identity: Additional values that must be unchanged when the run is resumed. The config of
            the model and the settings are always compared.
        data: Fingerprint of the data, which must be unchanged when the run is resumed. Defaults to
            the fingerprint of `train.dataset`.
        accept_changes: Whether to resume although the data, the learning rate, its factors or the
            numbers of its schedule, the weight decay or the limits of the gradients changed.
        monitor: Name of the metric that selects `best.keras`, and "max" or "min". Defaults to those
            of the task.
        loaded: Paths of the weights that hold pretrained values, of which only layers can be
            frozen. None: they are not known, and any layer can.

    Returns:
        One dict per epoch with the loss, its terms, and the metrics that `validate` returned.

    Raises:
        UserError: There is nothing to resume, the folder holds a different run or is removed while
            the model is trained, the training split has no images, the model cannot be built at one
            of the loader's image sizes, or the optimizer or a callback does not accept its
            arguments.
        DataChangedError: The data changed since the run began.
        NotFiniteError: The loss or a weight became infinite or NaN, or the loss exploded; earlier
            checkpoints are kept. A `DivergedError` has the epoch and the step.
        DataError: An image cannot be decoded, an epoch has fewer batches than `len(train)`, or a
            process that loads images was killed.
        MemoryShortError: A step does not fit into the memory.
        OSError: A file of the run cannot be written; earlier checkpoints are kept.
        KeyboardInterrupt: Training was interrupted with Ctrl-C.
    """
    settings, folder = settings or Training(), Path(folder)
    train = loader_of(train, preprocessing_of(model).dtype)
    loss = loss or model.parts.head.chosen_loss()
    is_dataset = validate is not None and not callable(validate)
    if is_dataset:
        validate = make_validator(validate, loss=loss)
    if not len(train):
        raise UserError("the training split has no images")
    callbacks = (*make_callbacks(settings), *callbacks)
    check_callbacks(callbacks, settings.optimizer)
    check_restored_weights(callbacks, settings)
    check_optimizer(settings)
    if isinstance(train, ForeignBatches):
        _keep_targets_of(loss, train)
        _fit_to_model(train, model)
    elif isinstance(train, _OfDataset):
        check_images(train.dataset, preprocessing_of(model))
    task = task_of(model)
    if validate is None or is_dataset:
        check_monitors(callbacks, loss, task.metric_names if is_dataset else ())
    _check_patience(settings, validate)
    check_devices(train, model, settings)
    checkpoint = decided(lambda: newest_checkpoint(folder).name) if resume else None
    before = None
    if checkpoint is not None:
        with of_first_process(folder, (checkpoint,)) as files:
            before = saved_progress(files / checkpoint)
        check_unfreezing(before, settings)
    # Without the dataset of the loader, resuming compares no data.
    if data is None and isinstance(train, _OfDataset):
        data = fingerprint({"train": train.dataset})
    # An automatic name such as "detector_3" counts the models built earlier in this process; a
    # resumed run would be refused because of it.
    config = {key: value for key, value in model.get_config().items() if key != "name"}
    identity = (identity or {}) | {"model": config, "training": _compared(settings)}
    check_agreement(
        lambda: {"weights": weights_checksum(model), **identity, "data of the run": data}
    )
    factor = rate_factor(0 if before is None else before.rollbacks)
    stages = Stages(model, len(train), settings, None if resume else loaded, before, factor)
    with (
        reported(),
        stages.freezing.released_after(model),
        own_compile_state(model),
        trained_with(model, loss, _sizes(train)),
    ):
        if is_first():
            folder.mkdir(parents=True, exist_ok=True)
        stages.compile()
        progress = Progress(identity=identity, data=data or {})
        if checkpoint is not None:
            with of_first_process(folder, (checkpoint,)) as files:
                state = (model, model.optimizer, data, accept_changes)
                progress = load_state(files / checkpoint, identity, *state)
            check_epochs(progress, settings)
            if progress.step >= len(train):  # accepted changes of the data left fewer batches
                progress.step = 0
        progress.restarted = stages.restarted
        progress.norms = stages.norms.paths
        averaged = type(model).from_config(model.get_config())
        place = RunPlace(folder)
        record = Record(
            place,
            averaged,
            validate,
            progress,
            settings.epochs,
            len(train),
            settings.validate_every,
            *(monitor or (task.monitor, task.monitor_mode)),
            _lower_rate_fix(settings),
            stages.norms,
            Limits(settings.patience, settings.time_limit),
            SkippedImages() if isinstance(train, Loader) and train.samples.skips else None,
        )
        record.continue_epoch(model)
        writer = CheckpointWriter(
            place, record.check_arrays, None if checkpoint is None else folder / checkpoint
        )
        states = CallbackStates(callbacks, progress.callbacks)
        saving = Checkpointing(record, writer, states, settings.checkpoint_every)
        _describe(stages, settings, before, len(train))
        bar = ProgressBar(len(train), train.batch_size, task.metric_names, epochs=settings.epochs)
        while True:
            try:
                _run(stages, train, settings, record, bar, callbacks, saving)
                break
            except NotFiniteError as error:
                roll_back(error, stages, saving, settings, callbacks)
        # Again here: a resumed run may have had no epoch left, and then `record` averaged nothing.
        assign_average(model, averaged, stages.norms)
        record.finish(saving.save)
        writer.wait()
        place.check()
        if is_first():
            averaged.save(folder / "last.keras")
        model.set_weights(averaged.get_weights())
    return progress.history


def _describe(stages: Stages, settings: Training, before: Progress | None, steps: int) -> None:
    """Log the optimizer, what is frozen, the factors of the rates, and the change of the rate."""
    for line in (describe_optimizer(settings), *describe_devices(settings), *stages.describe()):
        LOGGER.info(line)
    join = None if before is None else describe_join(before, settings, steps, stages.restarted)
    if join is not None:
        LOGGER.info(join)


def _check_patience(settings: Training, validate: Any) -> None:
    if settings.patience is not None and validate is None:
        raise UserError(
            "patience is set, but the run is not evaluated",
            rule="data or a function for validate, whose metric the patience is about",
            received=f"patience={settings.patience}, validate=None",
            fix="validate=validation_data",
        )


def _fit_to_model(train: ForeignBatches, model: Joined) -> None:
    """Check the batches of another library for the model; the head of a new task may be any."""
    head = model.parts.head
    channels = preprocessing_of(model).channels
    num_classes = int(head.num_classes) if isinstance(head, OfClasses) else None
    train.fit_to(model.image_size or train.image_size, channels, num_classes)


def _keep_targets_of(loss: Loss, train: ForeignBatches) -> None:
    """Leave out targets that the loss does not take, such as crowd regions.

    Raises:
        UserError: The batches lack a target of the loss.
    """
    if not loss.targets:
        return
    for name in loss.targets:
        if name not in train.names:
            raise UserError(
                f"the targets have no {name!r}",
                rule="the targets of the model's loss: " + ", ".join(loss.targets),
                received=", ".join(train.names) or "no targets",
            )
    train.keep(name for name in (*loss.targets, KNOWN) if name in train.names)


@runtime_checkable
class _OfDataset(Protocol):
    """A loader that names its dataset; a custom one need not."""

    @property
    def dataset(self) -> Any: ...


@runtime_checkable
class _OfSizes(Protocol):
    """A loader that lists the sizes of its images; a custom one of a single size need not."""

    @property
    def sizes(self) -> tuple[ImageSize, ...]: ...


def _sizes(train: Any) -> tuple[ImageSize, ...]:
    return train.sizes if isinstance(train, _OfSizes) else (train.image_size,)


def _run(
    stages: Stages,
    train: Any,
    settings: Training,
    record: Record,
    bar: ProgressBar,
    callbacks: tuple[keras.callbacks.Callback, ...],
    saving: Checkpointing,
) -> None:
    model, progress, steps = stages.model, record.progress, len(train)
    stop = StopOnSignal()
    watch = LossWatch(record, _images_of(train), _lower_rate_fix(settings))
    compared = [ReplicaCheck(record)] if engine().devices > 1 else []
    # First, so that an epoch whose weights differ is neither evaluated nor saved.
    all_callbacks: list[keras.callbacks.Callback] = [*compared, record, watch]
    if is_first() and settings.tensorboard and importlib.util.find_spec("tensorboard"):
        all_callbacks.append(Board(record.folder / "tensorboard"))
    # Also where each epoch is evaluated: an epoch that is interrupted is not.
    if record.validate is not None:
        prepare_for_evaluations(callbacks, [f"val_{name}" for name in (*bar.metrics, "loss")])
    shown = [bar] if is_first() else []
    every = settings.accumulate_steps
    updates = [UpdateSteps(record, every)] if every > 1 else []
    all_callbacks += [*callbacks, *shown, stop, StopTogether(stop), *updates, saving]
    restored = restored_epoch(callbacks)
    if restored > progress.epoch:
        LOGGER.info(f"BackupAndRestore continues with epoch {restored + 1}")
        progress.epoch, progress.step = restored, 0
        record.restart()
    with stop:
        try:
            stopped = record.limits.reason(progress, settings.epochs) is not None
            while progress.epoch < settings.epochs and not stopped:
                if stages.is_due(progress):
                    stages.unfreeze(progress, record.averaged)
                # Keras's `fit` has one `steps_per_epoch` for all epochs, so the remainder of an
                # interrupted epoch needs a separate call; and one optimizer.
                until = progress.epoch + 1 if progress.step else stages.until(progress)
                share = Share(engine().rank, engine().processes)
                first = (progress.epoch, progress.step)
                source = EpochBatches(train, *first, settings.epochs, until, share, record.skipped)
                with (
                    training_steps(model, settings.batch_norm),
                    explained(source, train.batch_size, _described(train)),
                ):
                    model.fit(
                        feed(source, sizes_vary=len(_sizes(train)) > 1),
                        steps_per_epoch=steps - progress.step,
                        initial_epoch=progress.epoch,
                        epochs=until,
                        callbacks=Callbacks(
                            all_callbacks,
                            add_history=True,
                            model=model,
                            epochs=until,
                            steps=steps - progress.step,
                        ),
                        verbose=0,
                        shuffle=False,
                    )
                stopped = model.stop_training
                if not stopped:
                    _check_progress(train, progress, first)
            saving.writer.wait()
        except BaseException as error:
            if not stop.is_second(error):
                with contextlib.suppress(Exception):  # the first error is the one to report
                    saving.writer.wait()
            raise
        finally:
            bar.close()
    stop.raise_interrupt()
    reason = record.limits.reason(progress, settings.epochs)
    if reason is not None:
        LOGGER.info(reason)


def _check_progress(train: Any, progress: Progress, before: tuple[int, int]) -> None:
    """Check that `fit` made a step; the run would try again without end.

    Raises:
        DataError: It made none.
    """
    if (progress.epoch, progress.step) != before:
        return
    raise DataError(
        f"epoch {progress.epoch + 1} ended without a step",
        rule=f"{len(train)} batches in every epoch",
        received=f"none from {type(train).__name__}.epoch({progress.epoch})",
        fix="make `epoch` of the loader return all batches each time",
    )


def _images_of(train: Any) -> Callable[[int, int], list[str]]:
    """Return a function from epoch and step to the names of images, which few loaders know."""

    def names(epoch: int, step: int) -> list[str]:
        if not isinstance(train, Loader):
            return []
        indices = train.indices(epoch, step).tolist()
        return [str(train.dataset.image_path(index) or f"image {index}") for index in indices]

    return names


def _described(train: Any) -> str:
    """Return the largest image size of a loader."""
    return "{} × {}".format(*max(_sizes(train)))


def _compared(settings: Training) -> dict[str, Any]:
    """Return the settings that must be unchanged when a run is resumed."""
    # No saved state depends on the callbacks, and those given in Python are not known.
    return {name: value for name, value in settings.to_dict().items() if name != "callbacks"}


def _lower_rate_fix(settings: Training) -> str:
    lower = lower_rate(settings)
    if lower is None:
        return "a lower learning rate"
    path, rate = lower
    *_, last = path.split(".")
    value = {last: rate} if path.count(".") > 2 else rate
    fields = settings.optimizer.arguments | {"learning_rate": value}
    if isinstance(value, dict):
        fields["learning_rate"] = settings.optimizer.arguments["learning_rate"] | value
    return f"settings=Training(optimizer={ {'type': settings.optimizer.type} | fields })"
