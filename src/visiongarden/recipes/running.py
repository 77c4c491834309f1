"""`train`: run a recipe, from reading the data to evaluating the best model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import keras
import numpy as np

from visiongarden.backends.distribution import decided, is_first, reported
from visiongarden.backends.engine import engine
from visiongarden.backends.random_state import seed_everything
from visiongarden.config import load_yaml, save_yaml
from visiongarden.config.overrides import as_override
from visiongarden.config.value import unregistered_in
from visiongarden.errors import DataError, NotFiniteError, UserError, option, spelled
from visiongarden.evaluation import evaluate_together, make_validator
from visiongarden.models import Joined
from visiongarden.models.precision import warn_if_slow
from visiongarden.models.serializable import required_key
from visiongarden.progress import LOGGER
from visiongarden.recipes.evaluation_settings import Selection, selection
from visiongarden.recipes.initial_weights import Start, loaded_paths, start_of
from visiongarden.recipes.loss_check import check_own_losses
from visiongarden.recipes.peers import (
    has_peers,
    on_devices,
    peer_arguments,
    quiet_unless_first,
)
from visiongarden.recipes.preprocessing import preprocessing_for
from visiongarden.recipes.recipe import Data, Model, Recipe
from visiongarden.recipes.reproduction import save_reproduction
from visiongarden.recipes.resolution import resolve
from visiongarden.recipes.resuming import RUNS, resumed_source
from visiongarden.recipes.run_folder import (
    RECIPE,
    after_short_memory,
    command,
    folder_error,
    is_unfinished,
    locked,
    new_folder,
    resumed_folder,
)
from visiongarden.recipes.splits import Splits, field_of_data
from visiongarden.recipes.training_defaults import warn_of_few_steps
from visiongarden.recipes.training_result import TrainingResult
from visiongarden.recipes.versions import save_environment, versions_in_use
from visiongarden.reporting import plot_history
from visiongarden.storage import name_of, remove_drafts
from visiongarden.tasks import task_of
from visiongarden.training import (
    AUTO,
    DataChangedError,
    DivergedError,
    MemoryShortError,
    Training,
    check_agreement,
    check_anchors,
    check_batch_size,
    check_callbacks,
    check_layers,
    check_monitors,
    check_optimizer,
    check_restored_weights,
    check_sizes,
    choose_precision,
    fit,
    has_checkpoint,
    lower_rate,
    make_callbacks,
    make_optimizer,
    of_first_process,
)
from visiongarden.transforms import Resizing

_MAX_NAME = 100
"""Longest name of the folder of a run on several datasets, in characters."""


def train(
    recipe: Recipe | Mapping[str, Any] | str | Path,
    *overrides: str,
    output: str | Path | None = None,
    resume: bool = False,
    accept_changes: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    reader: Any = None,
    task: str | None = None,
    invalid_boxes: str | None = None,
    weights: str | Path | None = None,
    devices: int | None = None,
) -> TrainingResult:
    """Train a model on a dataset or from a recipe, and evaluate the best model.

    The folder receives `recipe.yaml` and `environment.json`, `best.keras` and `last.keras`,
    `history.json`, `resume.npz`, `curves.png`, and TensorBoard events; and `weights.json`, the
    report of the transfer, if it starts from pretrained weights.

    Args:
        recipe: A `Recipe`, a recipe file (.yaml), the dict of a recipe, or a dataset: see
            `resolve`. A run that is resumed may be named by its folder or its dataset; its recipe
            is then the one in its folder.
        overrides: Overrides of the recipe, such as "training.epochs=50".
        output: Folder of the run. Defaults to the name of the dataset in `runs/`, numbered if that
            exists. A folder that holds only an unfinished first epoch is used again.
        resume: Whether to continue the run in the folder. It starts from the beginning if its first
            epoch was never completed. `training.epochs` extends a run that has ended; see
            `training.extend` for its learning rate.
        accept_changes: Whether to resume although the data, their path, or the fields of `training`
            that `fit` names changed.
        callbacks: Additional Keras callbacks, see `fit`.
        reader: Reader of the dataset, as in `vg.read`; overrides the recipe.
        task: Name of the task; overrides the recipe.
        invalid_boxes: "error" or "drop"; overrides the recipe.
        weights: Pretrained weights to start from, the folder of a run, a model file or a
            checkpoint; overrides `model.weights.source` of the recipe.
        devices: Number of devices of this host among which each batch is divided: GPUs, or parts of
            the CPU. None: one, or those of the processes that a launcher started (torchrun, srun,
            `mpirun`, `TF_CONFIG`), where process 0 alone writes the folder.

    Returns:
        The files of the run, the metrics of the best model, and the history.

    Raises:
        DataError: The dataset is not valid; training does not start.
        ConfigError: A field of the recipe is not valid.
        ContractError: The parts do not fit each other or the number of classes.
        UserError: The folder holds a different run or none to resume, in which case no file was
            changed; the model cannot be trained at the image sizes of `training.multi_scale`; or
            less than `model.weights.min_coverage` of the backbone would be loaded.
        DataChangedError: The data changed since the run began.
        NotFiniteError: The loss or a weight became infinite or NaN.
        OSError: A file cannot be written for a reason that the user cannot resolve.
        KeyboardInterrupt: Training was interrupted with Ctrl-C; all that `resume` needs is written.

    Example:
        >>> result = vg.train("cells", "training.epochs=50")  # doctest: +SKIP
        >>> result.metrics["AP50"], result.best  # doctest: +SKIP
        (0.828, PosixPath('runs/cells/best.keras'))
    """
    if accept_changes and not resume:
        raise UserError(
            f"{option('accept_changes')} is given, but the run is not resumed",
            rule="only a resumed run can accept changes",
            fix=option("resume", True),
        )
    if resume:
        recipe, output = resumed_source(recipe, output)
    recipe = _complete(recipe, overrides, reader, task, invalid_boxes, weights)
    for each in unregistered_in(recipe):
        required_key(each)
    arguments = peer_arguments(recipe, output, resume, accept_changes)
    read = _splits(recipe, has_peers(devices))
    with on_devices(devices, arguments, callbacks), quiet_unless_first(), reported():
        return _train(recipe, read, output, resume, accept_changes, callbacks)


def _splits(recipe: Recipe, has_peers: bool) -> Callable[[], Splits]:
    """Return a function that reads the training and the validation split.

    With several processes they are read here, before the processes meet: one of them may find the
    labels in the cache while another one needs longer than the others wait for an answer.

    Args:
        recipe: The recipe.
        has_peers: Whether there are several processes.
    """
    read = partial(Splits.of, recipe.kind, recipe.data)
    if not has_peers:
        return read
    try:
        found = read()
    except UserError as error:
        # Raised once the processes have met, so that all of them report it.
        return partial(_raise, error)
    return lambda: found


def _raise(error: UserError) -> NoReturn:
    raise error


def _train(
    recipe: Recipe,
    read: Callable[[], Splits],
    output: str | Path | None,
    resume: bool,
    accept_changes: bool,
    callbacks: Sequence[keras.callbacks.Callback],
) -> TrainingResult:
    """Train a complete recipe on the devices of the current engine."""
    check_agreement(
        lambda: {
            **{f"{name} of the recipe": value for name, value in recipe.to_dict().items()},
            "options": [resume, accept_changes],
            **versions_in_use(),
        }
    )
    check_batch_size(recipe.training.batch_size)
    callbacks = _checked_callbacks(recipe.training, callbacks)
    base = RUNS / _name(recipe.datasets)
    resumed = _decided(lambda: resumed_folder(base, output)) if resume else None
    start = start_of(
        recipe.model.weights, None if resumed is None or is_unfinished(resumed) else resumed
    )
    # Data, model and image sizes are checked before the folder of the run is created or changed.
    task = recipe.kind
    splits = read()
    warnings = splits.check()
    train_set, val_set, data = splits.train, splits.val, splits.fingerprint()
    check_agreement(lambda: {"data": data})
    with spelled(partial(field_of_data, "train")):
        preprocessing = preprocessing_for(
            recipe, train_set, val_set, of_weights=start.preprocessing
        )
    build = partial(
        recipe.build, class_map=task.model_class_map(train_set), preprocessing=preprocessing
    )
    recipe = _with_precision(recipe, build, train_set, resumed)
    # After the measurement of the precision, which draws weights.
    seed_everything(recipe.training.seed)
    with engine().scope():
        model = build(dtype=recipe.training.precision)
    for dataset in (train_set, val_set):
        # Now with the class maps of several heads, which the model takes from the training split.
        task_of(model).check(dataset)
    loader = _loader(recipe, train_set, model.resize)
    check_sizes(model, loader)
    warnings += check_anchors(model, train_set, _field_of_head)
    selected = selection(recipe.evaluation, task, model, val_set)
    check_own_losses(model.parts.head)
    check_monitors(callbacks, model.parts.head.chosen_loss(), selected.names)
    start = start.load_into(model)
    loaded = None if start.is_resumed else loaded_paths(start, model)
    check_layers(model, recipe.training, loaded)
    folder = resumed or _decided(lambda: new_folder(base, output))
    # The others read nothing there, and write nothing.
    with locked(folder) if is_first() else nullcontext():
        # Only under the lock: a draft in the folder may belong to a running process.
        if is_first():
            remove_drafts(folder)
        # Few steps can be enough for pretrained weights.
        if recipe.model.weights is None:
            warnings += warn_of_few_steps(recipe.training, len(train_set))
        _log_summary(recipe.model, model, splits, folder, warnings)
        if start.report is not None:
            LOGGER.info(f"pretrained weights: {start.report}")
        resume = resume and not decided(lambda: _starts_over(folder))
        history = _fit(
            recipe,
            start,
            loaded,
            model,
            loader,
            folder,
            val_set,
            selected,
            resume=resume,
            data=data,
            accept_changes=accept_changes,
            callbacks=callbacks,
        )
    if is_first():
        plot_history(history, folder / "curves.png", selected.names, task.title)
    best, last = folder / "best.keras", folder / "last.keras"
    with of_first_process(folder, (best.name,)) as files:
        metrics = evaluate_together(files / best.name, val_set, metrics=selected.metrics)
    return TrainingResult(folder, best, last, metrics, history, recipe)


def _decided(choose: Callable[[], Path]) -> Path:
    """Return the folder that process 0 chooses."""
    return Path(decided(lambda: str(choose())))


def _complete(
    recipe: Recipe | Mapping[str, Any] | str | Path,
    overrides: Sequence[str],
    reader: Any,
    task: str | None,
    invalid_boxes: str | None,
    weights: str | Path | None,
) -> Recipe:
    for override in overrides:
        if not isinstance(override, str):
            raise UserError(
                f"{override!r:.80} is not an override",
                rule="arguments after the recipe are overrides; others are given by name",
                received=type(override).__name__,
                fix=f'"training.epochs=50", or output="{override}" for the folder of the run'
                if isinstance(override, Path)
                else '"training.epochs=50"',
            )
    options = (reader, invalid_boxes, overrides, task, weights)
    if isinstance(recipe, Recipe) and not any(options):
        return recipe
    return resolve(recipe, *options)


def _field_of_head(head: str | None, name: str, value: Any) -> str:
    """Spell a field of a head as an override; its name is None if it is the only one."""
    owner = "model.head" if head is None else f"model.heads.{head}"
    return as_override(f"{owner}.{name}", value)


def _checked_callbacks(
    training: Training, callbacks: Sequence[keras.callbacks.Callback]
) -> tuple[keras.callbacks.Callback, ...]:
    """Return the callbacks of the recipe and those given, after a check of them and the optimizer.

    Raises:
        UserError: The optimizer or a callback does not accept its arguments.
    """
    check_callbacks(callbacks, training.optimizer)
    check_optimizer(training)
    found = (*make_callbacks(training), *callbacks)
    check_callbacks(found, training.optimizer)
    check_restored_weights(found, training)
    return found


def _name(datasets: Sequence[Data]) -> str:
    """Return the name of the folder of a run: the names of its datasets."""
    names = [name_of(data.path) for data in datasets]
    return "-".join(dict.fromkeys(names))[:_MAX_NAME]


def _loader(recipe: Recipe, dataset: Any, resize: Resizing) -> Any:
    return recipe.kind.loader(
        dataset,
        image_size=recipe.model.image_size,
        batch_size=_batch_size(recipe.training.batch_size, len(dataset)),
        transforms=recipe.transforms,
        resize=resize,
        multi_scale=recipe.training.multi_scale,
        min_visibility=recipe.datasets[0].min_visibility,
        shuffle=True,
        seed=recipe.training.seed,
        workers=recipe.training.workers,
        drop_remainder=True,
        size_step=recipe.model.largest_stride,
        broken_images=recipe.training.broken_images,
        local_processes=engine().local_processes,
    )


def _saved_precision(folder: Path) -> str:
    """Return the dtype policy of a run, or "auto" if it has not been chosen."""
    if not (folder / RECIPE).is_file():
        return AUTO
    return str(load_yaml(folder / RECIPE).get("training", {}).get("precision", AUTO))


def _with_precision(
    recipe: Recipe, build: Callable[..., Joined], train_set: Any, resumed: Path | None
) -> Recipe:
    """Return the recipe with the dtype policy of the run in place of "auto"."""
    training, policy = recipe.training, recipe.training.precision
    if policy == AUTO and resumed is not None:
        # A second measurement could choose another one.
        policy = decided(lambda: _saved_precision(resumed))
    if policy != AUTO:
        warn_if_slow(policy, "training.precision")
        return recipe.replace(training=training.replace(precision=policy))
    if engine().devices > 1:
        # The measurement is that of a step on one device.
        LOGGER.info("precision: float32, because it is not measured on several devices")
        return recipe.replace(training=training.replace(precision="float32"))

    def batch(model: Joined) -> tuple[np.ndarray, Any]:
        alone = recipe.replace(training=training.replace(workers=0))
        first = next(iter(_loader(alone, train_set, model.resize).epoch(0)))
        return first.images, first.targets

    chosen = choose_precision(
        lambda policy: build(dtype=policy), lambda: make_optimizer(training, 1), batch
    )
    LOGGER.info(f"precision: {chosen.policy}, because {chosen.reason}")
    return recipe.replace(training=training.replace(precision=chosen.policy))


def _batch_size(batch_size: int, images: int) -> int:
    """Return the number of images of a batch, of which a small dataset may have fewer."""
    size = min(batch_size, max(images, 1))
    if size < batch_size:
        check_batch_size(size, limit=images)
    return size


def _starts_over(folder: Path) -> bool:
    """Return whether a resumed run starts from the beginning, and log a warning if it does."""
    unfinished = is_unfinished(folder)
    if unfinished:
        LOGGER.warning(f"the run in {folder} has no completed epoch: it starts from the beginning")
    return unfinished


def _fit(
    recipe: Recipe,
    start: Start,
    loaded: tuple[str, ...] | None,
    model: Joined,
    loader: Any,
    folder: Path,
    val_set: Any,
    selected: Selection,
    resume: bool,
    callbacks: Sequence[keras.callbacks.Callback],
    **options: Any,
) -> list[dict[str, float]]:
    """Run `fit`; errors that end it early name the command that continues the run."""
    fields = recipe.to_dict()
    identity = {name: fields[name] for name in ("data", "transforms", "evaluation")}
    if recipe.model.weights is not None:
        identity["weights"] = fields["model"]["weights"]
    if not resume and is_first():
        start.save(folder)
        describe(folder, recipe)
    try:
        return fit(
            model,
            loader,
            folder,
            # The callbacks exist already: they were built before the folder of the run.
            recipe.training.replace(callbacks=()),
            make_validator(
                val_set,
                metrics=selected.metrics,
                names=selected.names,
                loss=model.parts.head.chosen_loss(),
            ),
            resume=resume,
            identity=identity,
            monitor=(selected.monitor, selected.mode),
            loaded=loaded,
            callbacks=(*callbacks, *((_DescribeRun(folder, recipe),) if resume else ())),
            **options,
        )
    except (KeyboardInterrupt, DataError):
        # A signal, an image damaged in the meantime: the last checkpoint is complete.
        LOGGER.warning(f"stopped; to resume: {command(folder)} --resume")
        raise
    except OSError as error:
        found = folder_error(folder, error)
        if found is None:
            raise
        raise found from error
    except MemoryShortError as error:
        fix = after_short_memory(folder, error.batch_size) or error.fix
        raise UserError(error.what, rule=error.rule, received=error.received, fix=fix) from error
    except NotFiniteError as error:
        fix, received = _after_divergence(recipe.training, folder), error.received
        if isinstance(error, DivergedError):
            place = save_reproduction(folder, recipe, loader, error.epoch, error.step)
            received = f"{received}; images, labels and a recipe of this step are in {place}"
        raise NotFiniteError(error.what, rule=error.rule, received=received, fix=fix) from error
    except DataChangedError as error:
        raise DataChangedError(
            error.what,
            rule=f"{error.rule}; restore them, or accept the change",
            received=error.received,
            fix=f"{command(folder)} --resume --accept-changes",
        ) from error


def _after_divergence(training: Training, folder: Path) -> str:
    """Return the command that continues a run that diverged, with a lower learning rate."""
    lower = lower_rate(training)
    if lower is None:
        return "a schedule with lower learning rates, in training.optimizer.learning_rate"
    field, rate = lower
    fix = command(folder, f"{field}={rate:g}")
    return f"{fix} --resume --accept-changes" if has_checkpoint(folder) else fix


class _DescribeRun(keras.callbacks.Callback):
    """Callback that writes recipe and environment of a resumed run.

    Written when training begins, which is after `fit` has accepted the checkpoint: a refused resume
    leaves the files of the run as they were.
    """

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        super().__init__()
        self.folder, self.recipe = folder, recipe

    def on_train_begin(self, logs: Any = None) -> None:
        """Write both files."""
        if not is_first():
            return
        describe(self.folder, self.recipe)


def describe(folder: Path, recipe: Recipe) -> None:
    """Write `environment.json` and `recipe.yaml` into the folder of a run."""
    # The recipe last: a folder counts as a run once it has one, so that a process killed between
    # the two files leaves a folder that can be used.
    save_environment(folder)
    save_yaml(folder / RECIPE, recipe)


def _log_summary(
    parts: Model, model: Joined, splits: Splits, folder: Path, warnings: list[str]
) -> None:
    height, width = parts.image_size
    for line in (
        str(splits),
        f"{parts.backbone} → {parts.decoder} → {parts.head}",
        f"{model.count_params():,} parameters, {height} × {width} pixels, run {folder}",
        f"images: {model.preprocessing}",
        f"resize: {model.resize}",
        *splits.notes(),
    ):
        LOGGER.info(line)
    for warning in warnings:
        LOGGER.warning(warning)
