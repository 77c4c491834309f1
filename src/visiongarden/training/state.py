"""`resume.npz`: everything that a run continues from, in one file.

The file holds the weights, the optimizer's state, seeds and RNG states, and the position in the
data. They are written together and atomically: weights of one step beside an optimizer state or a
position of another would continue as a run that never existed, without an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from visiongarden.data import changes
from visiongarden.errors import UserError, option
from visiongarden.storage import atomic_write, parse_json

FILE = "resume.npz"
_LISTED, _MAX_SHOWN = 3, 60
_RECIPE_FIELDS = ("augmentation", "data", "training")
"""Parts of a run's identity that have the same names in a recipe, so that overrides set them."""
ADJUSTABLE = ("learning_rate", "final_lr_fraction", "warmup_epochs", "weight_decay", "clip_norm")
"""Fields of `Training` that may change within a run, because no saved state depends on them."""

# Limits on sizes that the file states about itself, checked before an array is read, so that a
# damaged or hostile file cannot exhaust the memory.
_HEADER = "header"
_MAX_HEADER = 16 * 2**20
_MAX_GENERATOR = 64 * 2**10


class DataChangedError(UserError):
    """Raised when the data differ from those that the run was trained on so far."""


@dataclass
class Progress:
    """Progress of a run.

    Attributes:
        epoch: Index of the epoch to continue with, from 0.
        step: Completed steps of that epoch.
        best: Highest value so far of the metric that selects `best.keras`; -1 before the first
            evaluation.
        history: One dict per epoch, as in `history.json`.
        identity: Values that must be unchanged in a run that is resumed.
        data: Fingerprint of the training and validation data; see
            `visiongarden.data.fingerprint`.
    """

    epoch: int = 0
    step: int = 0
    best: float = -1.0
    history: list[dict[str, float]] = field(default_factory=list)
    identity: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


def save_state(folder: Path, progress: Progress, model: keras.Model, optimizer: Any) -> None:
    """Write `resume.npz` into the folder of a run, atomically."""
    arrays = {name: _array(variable) for name, variable in state_variables(model, optimizer)}
    arrays |= draws(model)
    header = np.frombuffer(json.dumps(asdict(progress)).encode(), dtype=np.uint8)
    atomic_write(
        folder / FILE,
        lambda stream: np.savez(stream, **{_HEADER: header}, **arrays),  # type: ignore[arg-type]
    )


def load_state(
    folder: Path,
    identity: dict[str, Any],
    model: keras.Model,
    optimizer: Any,
    data: dict[str, Any] | None = None,
    accept_changes: bool = False,
) -> Progress:
    """Restore weights, optimizer and RNG state from `resume.npz`; the optimizer must be built.

    Args:
        folder: Folder of the run.
        identity: Identity of the run that continues.
        model: Model that receives the weights.
        optimizer: Optimizer that receives its state.
        data: Fingerprint of the data as they are now.
        accept_changes: Whether to resume although the data or `ADJUSTABLE` fields changed.

    Returns:
        Progress of the run, with the current `identity` and `data`.

    Raises:
        UserError: The file does not exist, is damaged, or belongs to a different run.
        DataChangedError: The data changed since the run began.
    """
    path = folder / FILE
    if not path.is_file():
        raise UserError(
            f"{folder} has nothing to resume",
            rule=f"an interrupted run leaves {FILE} in its folder",
            fix=f"train without {option('resume')}, or in the run's folder: {option('output')}",
        )
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            progress = _header(path, archive)
            then = _adjusted(progress.identity, identity) if accept_changes else progress.identity
            if not accept_changes and then.get("data") == identity.get("data"):
                # Compared before the fields: defaults depend on the data (classes, epochs), so
                # changed fields would be reported in place of the cause.
                _compare_data(folder, progress.data, data or {})
            _compare(path, then, identity)
            for name, variable in state_variables(model, optimizer):
                variable.assign(_read(path, archive, name, variable))
            put_back(model, _states(path, archive, draws(model)))
    except UserError:
        raise
    except Exception as error:  # NumPy and zipfile raise many types for a damaged file
        raise UserError(
            f"{path} is not a whole checkpoint",
            received=str(error),
            fix="train again in another folder, without resuming",
        ) from error
    progress.identity, progress.data = identity, data or progress.data
    return progress


def state_variables(model: keras.Model, optimizer: Any) -> Iterator[tuple[str, Any]]:
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
        yield f"optimizer/{index}", variable


def draws(model: keras.Model) -> dict[str, np.ndarray]:
    """Return the RNG states of PyTorch, which dropout without a seed samples from.

    The dict is empty on other backends, where every layer keeps a seed of its own.
    """
    return {name: each.get_rng_state().numpy() for name, each in _generators(model)}


def put_back(model: keras.Model, states: dict[str, np.ndarray]) -> None:
    """Restore the RNG states of PyTorch that `draws` returned.

    Raises:
        ValueError: A state is not a valid RNG state.
    """
    for name, generator in _generators(model):
        if name in states:  # absent if the run was on another backend or device until now
            _set(generator, name, states[name])


def _set(generator: Any, name: str, state: np.ndarray) -> None:
    import torch

    if state.dtype != np.uint8 or state.ndim != 1:
        raise ValueError(f"{name} holds no bytes")
    try:
        # PyTorch checks size and content before it changes the generator.
        generator.set_rng_state(torch.tensor(state))
    except RuntimeError as error:
        raise ValueError(f"{name} is no state of PyTorch's generator") from error


def _generators(model: keras.Model) -> Iterator[tuple[str, Any]]:
    if keras.backend.backend() != "torch":
        return
    import torch

    yield "generator/cpu", torch
    for device in {weight.value.device.type for weight in model.weights} - {"cpu"}:
        yield f"generator/{device}", torch.get_device_module(device)


def _states(path: Path, archive: Any, names: Iterable[str]) -> dict[str, np.ndarray]:
    found = [name for name in names if name in archive.files]
    for name in found:
        if archive.zip.getinfo(f"{name}.npy").file_size > _MAX_GENERATOR:
            raise UserError(f"{path}: {name} is larger than {_MAX_GENERATOR:,} bytes")
    return {name: archive[name] for name in found}


def _array(variable: Any) -> np.ndarray:
    # NumPy has no bfloat16, and `.npz` would store it as raw bytes; float32 holds it exactly.
    array = keras.ops.convert_to_numpy(variable.value)
    return array.astype(np.float32) if array.dtype.kind not in "iufb" else array


def _header(path: Path, archive: Any) -> Progress:
    if archive.zip.getinfo(f"{_HEADER}.npy").file_size > _MAX_HEADER:
        raise UserError(f"{path}: its header is larger than {_MAX_HEADER:,} bytes")
    data = parse_json(np.asarray(archive[_HEADER], np.uint8).tobytes(), path, UserError)
    progress = Progress(**data)
    rows = progress.history
    if (
        any(type(n) is not int or n < 0 for n in (progress.epoch, progress.step))
        or type(progress.best) not in (int, float)
        or not isinstance(rows, list)
        or not all(isinstance(row, dict) for row in rows)
        or not all(type(v) in (int, float) for row in rows for v in row.values())
        or not isinstance(progress.identity, dict)
    ):
        raise UserError(
            f"{path} does not hold the progress of a run", fix=f"train without {option('resume')}"
        )
    return progress


def _read(path: Path, archive: Any, name: str, variable: Any) -> np.ndarray:
    # At most 8 bytes per number, and room for the header of the array.
    most = 8 * int(np.prod(variable.shape, dtype=np.int64)) + 4096
    if archive.zip.getinfo(f"{name}.npy").file_size > most:
        raise UserError(f"{path}: {name} is larger than the weight it belongs to")
    array = np.asarray(archive[name])
    if array.dtype.kind not in "iufb":
        raise UserError(f"{path}: {name} holds no numbers")
    if array.shape != tuple(variable.shape):
        raise UserError(
            f"{path}: {name} has another shape",
            rule=str(tuple(variable.shape)),
            received=str(array.shape),
        )
    return array


def _adjusted(then: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return the checkpoint's identity with the current values of the fields that may change."""
    now = json.loads(json.dumps(now))
    training = dict(then.get("training", {}))
    training |= {key: now["training"][key] for key in ADJUSTABLE if key in now["training"]}
    return then | {"training": training, "data": now.get("data")}


def _compare_data(folder: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    found = changes(then, now)
    if found:
        raise DataChangedError(
            f"the data changed since the run in {folder} began",
            rule="the images and annotations that it was trained on so far",
            received="; ".join(found),
            fix=f"restore the data, or accept the change: {option('accept_changes', True)}",
        )


def _compare(path: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    # As the file holds it: JSON turns tuples into lists, which would count as changes.
    now = json.loads(json.dumps(now))
    found = sorted(_changed_fields(then, now), key=lambda each: not _is_of_recipe(each[0]))
    if not found:
        return
    more = f" and {len(found) - _LISTED} more fields" if found[_LISTED:] else ""
    shown = found[:_LISTED]
    own = [(field, old) for field, old, _ in found if _is_of_recipe(field)]
    undo = " ".join(f"{field}={json.dumps(old)}" for field, old in own[:_LISTED])
    raise UserError(
        f"{path} belongs to another run: {', '.join(field for field, _, _ in shown)}{more} changed",
        rule="; ".join(f"{field}={_short(old)}" for field, old, _ in shown) + ", as in that run",
        received="; ".join(f"{field}={_short(new)}" for field, _, new in shown),
        fix=undo if 0 < len(own) <= _LISTED else "train with the recipe.yaml of the run",
    )


def _is_of_recipe(field: str) -> bool:
    return field.partition(".")[0] in _RECIPE_FIELDS


def _changed_fields(then: Any, now: Any, field: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted field, old value, new value) of each difference; None where a side lacks it."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in [*then, *(key for key in now if key not in then)]:
            inner = f"{field}.{key}" if field else str(key)
            yield from _changed_fields(then.get(key), now.get(key), inner)
    elif then != now:
        yield field, then, now


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} …"
