"""State of a run: everything that it continues from, as the arrays of one checkpoint.

They are the weights, the optimizer's state, seeds and RNG states, the means of the epoch so far,
and the position in the data. They are written together and atomically: weights of one step beside
an optimizer state or a position of another would continue as a run that never existed, without an
error. `checkpoints` has the files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from visiongarden.backends.distribution import assign_local, local, replicas
from visiongarden.backends.random_state import restore_rng_states, rng_states
from visiongarden.config.overrides import as_override
from visiongarden.data import changes
from visiongarden.errors import UserError, option
from visiongarden.storage import parse_json

_MAX_LISTED, _MAX_LENGTH = 3, 60
_RECIPE_FIELDS = ("data", "training", "transforms", "evaluation")
"""Parts of a run's identity that have the same names in a recipe, so that overrides set them."""
AVERAGE = "average"
"""Name of the variable in which the optimizer of a run keeps the moving average of the weights."""
ADJUSTABLE = ("learning_rate", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm")
"""Arguments of the optimizer that may change within a run: no state of its own depends on them."""
FACTORS = ("learning_rate_factors", "layer_decay")
"""Training fields with factors of the learning rate, which may change for the same reason."""
EXTENDING = (
    "epochs", "extend", "patience", "time_limit", "checkpoint_every", "rollbacks", "broken_images",
    "unfreeze_at_epoch",
)  # fmt: skip
"""Training fields of what is still to come, which may change when a run is resumed: when it ends or
is saved, and when frozen layers are trained."""

# Limits on sizes that the file states about itself, checked before an array is read, so that a
# damaged or hostile file cannot exhaust the memory.
_HEADER = "header"
_MAX_HEADER = 16 * 2**20
_MAX_RNG_STATE = 64 * 2**10


class DataChangedError(UserError):
    """Raised when the data differ from those that the run was trained on so far."""


@dataclass
class Progress:
    """Progress of a run.

    Attributes:
        epoch: Index of the epoch to continue with, from 0.
        step: Completed steps of that epoch. A step is a batch of the order of the epoch, whatever
            the number of processes that share it.
        best: Best value so far of the metric that selects `best.keras`; None before the first
            evaluation, and while the metric is NaN.
        history: One dict per epoch, as in `history.json`.
        identity: Values that must be unchanged in a run that is resumed.
        data: Fingerprint of the training and validation data; see
            `visiongarden.data.fingerprint`.
        best_epoch: Number of the epoch of `best.keras`, from 1; None before the first evaluation.
        waited: Epochs since the metric last became better than all values before.
        seconds: Time of training and evaluation so far.
        unfrozen: Whether layers that were frozen at first are trained.
        restarted: Epochs before the one in which the learning-rate schedule last began.
        norms: Paths of the moving means of batch normalizations that had seen no batch when the
            run began.
        callbacks: State of the callbacks, by class and position.
        replicas: Number of replicas of the step among which a batch was divided.
        rollbacks: How often the run diverged and continued from a checkpoint at a lower rate.
    """

    epoch: int = 0
    step: int = 0
    best: float | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    identity: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    best_epoch: int | None = None
    waited: int = 0
    seconds: float = 0.0
    unfrozen: bool = False
    restarted: int = 0
    norms: list[str] = field(default_factory=list)
    callbacks: dict[str, Any] = field(default_factory=dict)
    replicas: int = 1
    rollbacks: int = 0


def take_state(
    progress: Progress, model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> dict[str, np.ndarray]:
    """Return a copy of the state between two steps, which later steps do not change.

    Args:
        progress: Progress of the run.
        model: Model in training; on JAX after `sync_state`.
        optimizer: Its optimizer.
    """
    progress = replace(progress, replicas=replicas())
    header = np.frombuffer(json.dumps(asdict(progress)).encode(), dtype=np.uint8)
    arrays = {name: _array(variable) for name, variable in state_variables(model, optimizer)}
    if progress.step:
        arrays |= {name: _array(variable) for name, variable in _means(model)}
    return {_HEADER: header} | arrays | rng_states(model)


def load_state(
    path: Path,
    identity: dict[str, Any],
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    data: dict[str, Any] | None = None,
    accept_changes: bool = False,
) -> Progress:
    """Restore weights, optimizer and RNG state from a checkpoint; the optimizer must be built.

    Args:
        path: The checkpoint.
        identity: Identity of the run that continues.
        model: Model that receives the weights.
        optimizer: Optimizer that receives its state.
        data: Fingerprint of the data as they are now.
        accept_changes: Whether to resume although the data, `ADJUSTABLE` arguments of the optimizer
            or `FACTORS` of its rate changed.

    Returns:
        Progress of the run, with the current `identity` and `data`.

    Raises:
        UserError: The file does not exist, is damaged, or belongs to a different run.
        DataChangedError: The data changed since the run began.
    """
    with _opened(path) as archive:
        progress = _read_header(path, archive)
        saved = _with_current(EXTENDING, progress.identity, identity)
        if accept_changes:
            saved = _with_adjustable(saved, identity)
        elif saved.get("data") == identity.get("data"):
            # Compared before the fields: defaults depend on the data (classes, epochs), so
            # changed fields would be reported in place of the cause.
            _compare_data(path.parent, progress.data, data or {})
        _compare_fields(path, saved, identity)
        for name, variable in state_variables(model, optimizer):
            variable.assign(_read_array(path, archive, name, variable))
        for name, variable in _means(model) if progress.step else ():
            assign_local(variable, _read_array(path, archive, name, variable))
        _weigh_means(model, progress.replicas)
        _adjust_rate(optimizer, progress.identity, identity)
        restore_rng_states(model, _saved_rng_states(path, archive, rng_states(model)))
    progress.identity, progress.data = identity, data or progress.data
    return progress


def saved_progress(path: Path) -> Progress:
    """Return the progress of the run in a checkpoint, with the `identity` that it had so far.

    Raises:
        UserError: The file is not a checkpoint.
    """
    with _opened(path) as archive:
        return _read_header(path, archive)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            yield archive
    except UserError:
        raise
    except Exception as error:  # NumPy and zipfile raise many types for a damaged file
        raise UserError(
            f"{path} is not a complete checkpoint",
            received=str(error),
            fix="train in another folder, without resuming",
        ) from error


def read_state(path: Path) -> tuple[Progress, dict[str, np.ndarray]]:
    """Return the progress and all arrays of a checkpoint, as they are.

    Raises:
        UserError: The file is not a checkpoint.
    """
    with _opened(path) as archive:
        names = [name for name in archive.files if name != _HEADER]
        return _read_header(path, archive), {name: archive[name] for name in names}


def state_variables(
    model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> Iterator[tuple[str, keras.Variable]]:
    """Yield the name in the file and the variable, for all state that the run continues from."""
    for variable in model.weights:
        yield f"model/{variable.path}", variable
    # The seeds of layers such as dropout are not weights, but without them a resumed run would
    # drop other units than the uninterrupted one.
    weights = {id(variable) for variable in model.weights}
    others = [variable for variable in model.variables if id(variable) not in weights]
    for index, variable in enumerate(others):
        yield f"state/{index}", variable
    # Paths of optimizer variables are not unique; their order follows that of the weights.
    for index, variable in enumerate(optimizer.variables):
        is_average = variable.path.endswith(f"/{AVERAGE}")
        yield f"{AVERAGE if is_average else 'optimizer'}/{index}", variable


def _means(model: keras.Model) -> Iterator[tuple[str, keras.Variable]]:
    """Yield the variables of the means of the loss over the epoch so far."""
    for index, variable in enumerate(model.metrics_variables):
        yield f"means/{index}", variable


def _weigh_means(model: keras.Model, saved: int) -> None:
    """Adapt the mean of the loss over the epoch so far to another number of replicas.

    A checkpoint has the means of one replica; they are equal on all. Keras weights each step by the
    rows of its replica, of which there are more with fewer replicas.
    """
    factor = saved / replicas()
    if factor == 1:
        return
    for metric in model.metrics:
        if metric.name == "loss":
            for variable in metric.variables:
                assign_local(variable, _array(variable) * factor)


def _saved_rng_states(path: Path, archive: Any, names: Iterable[str]) -> dict[str, np.ndarray]:
    found = [name for name in names if name in archive.files]
    for name in found:
        if archive.zip.getinfo(f"{name}.npy").file_size > _MAX_RNG_STATE:
            raise UserError(f"{path}: array {name} is larger than {_MAX_RNG_STATE:,} bytes")
    return {name: archive[name] for name in found}


def _array(variable: keras.Variable) -> np.ndarray:
    # NumPy has no bfloat16, and `.npz` would store it as raw bytes; float32 holds it exactly.
    array = keras.ops.convert_to_numpy(local(variable.value))
    # A copy: the array may share its memory with the variable, which the next step changes.
    return array.astype(np.float32) if array.dtype.kind not in "iufb" else np.array(array)


def _read_header(path: Path, archive: Any) -> Progress:
    if archive.zip.getinfo(f"{_HEADER}.npy").file_size > _MAX_HEADER:
        raise UserError(f"{path}: the header is larger than {_MAX_HEADER:,} bytes")
    data = parse_json(np.asarray(archive[_HEADER], np.uint8).tobytes(), path, UserError)
    progress = Progress(**data)
    rows = progress.history
    if (
        any(type(n) is not int or n < 0 for n in _counts(progress))
        or type(progress.replicas) is not int
        or progress.replicas < 1
        or any(type(n) not in (int, float, type(None)) for n in (progress.best, progress.seconds))
        or not all(isinstance(path, str) for path in progress.norms)
        or not isinstance(rows, list)
        or not all(isinstance(row, dict) for row in rows)
        or not all(type(v) in (int, float) for row in rows for v in row.values())
        or not isinstance(progress.identity, dict)
        or not isinstance(progress.callbacks, dict)
    ):
        raise UserError(
            f"{path} does not contain the progress of a run",
            fix=f"train without {option('resume')}",
        )
    return progress


def _counts(progress: Progress) -> tuple[Any, ...]:
    best_epoch = 0 if progress.best_epoch is None else progress.best_epoch
    counts = (progress.epoch, progress.step, progress.waited, progress.restarted)
    return (*counts, best_epoch, progress.rollbacks)


def _read_array(path: Path, archive: Any, name: str, variable: keras.Variable) -> np.ndarray:
    # At most 8 bytes per number, and room for the header of the array.
    max_bytes = 8 * int(np.prod(variable.shape, dtype=np.int64)) + 4096
    if archive.zip.getinfo(f"{name}.npy").file_size > max_bytes:
        raise UserError(f"{path}: array {name} is larger than its variable")
    array = np.asarray(archive[name])
    if array.dtype.kind not in "iufb":
        raise UserError(f"{path}: array {name} is not numeric")
    if array.shape != tuple(variable.shape):
        raise UserError(
            f"{path}: array {name} has the wrong shape",
            rule=str(tuple(variable.shape)),
            received=str(array.shape),
        )
    return array


def _with_current(
    names: tuple[str, ...], saved: dict[str, Any], current: dict[str, Any]
) -> dict[str, Any]:
    """Return the checkpoint's identity with the current values of some training fields."""
    training, now = saved.get("training"), current.get("training")
    if not isinstance(training, dict) or not isinstance(now, dict):
        return saved
    changed = {name: now[name] for name in names if name in now}
    return saved | {"training": training | changed}


def _with_adjustable(saved: dict[str, Any], current: dict[str, Any]) -> dict[str, Any]:
    """Return the checkpoint's identity with the current values of the fields that may change."""
    current = json.loads(json.dumps(current))
    training = _with_current(FACTORS, saved, current).get("training", {})
    old, new = _optimizer(saved), _optimizer(current)
    if old.get("type") == new.get("type"):
        # A learning rate that is a number is part of the optimizer's state, and a schedule is not.
        kinds = [type(fields.get("learning_rate")) is dict for fields in (old, new)]
        names = ADJUSTABLE if kinds[0] == kinds[1] else ADJUSTABLE[1:]
        kept = {name: value for name, value in old.items() if name not in names}
        changed = {name: new[name] for name in names if name in new}
        training = training | {"optimizer": kept | changed}
    of_data = {"data": current["data"]} if "data" in current else {}
    return saved | {"training": training} | of_data


def _optimizer(identity: dict[str, Any]) -> dict[str, Any]:
    """Return the optimizer of a run; empty in the damaged header of a checkpoint."""
    training = identity.get("training")
    found = training.get("optimizer") if isinstance(training, dict) else None
    return found if isinstance(found, dict) else {}


def _adjust_rate(
    optimizer: keras.optimizers.Optimizer, saved: dict[str, Any], current: dict[str, Any]
) -> None:
    """Set a constant learning rate that the user changed; that of the checkpoint replaced it."""
    rate = _optimizer(current).get("learning_rate")
    if isinstance(rate, int | float) and rate != _optimizer(saved).get("learning_rate"):
        optimizer.learning_rate = rate


def _compare_data(folder: Path, saved: dict[str, Any], current: dict[str, Any]) -> None:
    differences = changes(saved, current)
    if differences:
        raise DataChangedError(
            f"the data changed since the run in {folder} began",
            rule="the images and annotations that the run was trained on so far",
            received="; ".join(differences),
            fix=f"restore the data, or accept the change: {option('accept_changes', True)}",
        )


def _compare_fields(path: Path, saved: dict[str, Any], current: dict[str, Any]) -> None:
    # As the file holds it: JSON turns tuples into lists, which would count as changes.
    current = json.loads(json.dumps(current))
    changed = _changed_fields(saved, current)
    differences = sorted(changed, key=lambda change: not _is_recipe_field(change[0]))
    if not differences:
        return
    more = f" and {len(differences) - _MAX_LISTED} more fields" if differences[_MAX_LISTED:] else ""
    listed = differences[:_MAX_LISTED]
    names = ", ".join(field for field, _, _ in listed)
    recipe_fields = [(field, old) for field, old, _ in differences if _is_recipe_field(field)]
    undo = " ".join(as_override(field, old) for field, old in recipe_fields[:_MAX_LISTED])
    fix = undo if 0 < len(recipe_fields) <= _MAX_LISTED else "train with the recipe.yaml of the run"
    if _with_adjustable(saved, current) == current:
        fix += f", or accept the change: {option('accept_changes', True)}"
    raise UserError(
        f"{path} belongs to a different run: {names}{more} changed",
        rule="; ".join(f"{field}={_shortened(old)}" for field, old, _ in listed)
        + ", as in that run",
        received="; ".join(f"{field}={_shortened(new)}" for field, _, new in listed),
        fix=fix,
    )


def _is_recipe_field(field: str) -> bool:
    return field.partition(".")[0] in _RECIPE_FIELDS


def _changed_fields(saved: Any, current: Any, field: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted field, old value, new value) of each difference; None where a side lacks it."""
    # The fields of another class are not comparable one by one. A dict with patterns as keys is
    # compared as a whole, because an override cannot set such a key.
    if (
        isinstance(saved, dict)
        and isinstance(current, dict)
        and _same_type(saved, current)
        and all(map(str.isidentifier, [*saved, *current]))
    ):
        for key in [*saved, *(key for key in current if key not in saved)]:
            inner = f"{field}.{key}" if field else str(key)
            yield from _changed_fields(saved.get(key), current.get(key), inner)
    elif saved != current:
        yield field, saved, current


def _same_type(saved: dict[str, Any], current: dict[str, Any]) -> bool:
    return bool(saved.get("type") == current.get("type"))


def _shortened(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]} …"
