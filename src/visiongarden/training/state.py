"""What a run needs to go on: weights, optimiser, draws, place in the data; in one file at once."""

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
"""Parts of a run's identity that a recipe's overrides change by the same names."""
ADJUSTABLE = ("learning_rate", "final_learning_rate", "warmup_epochs", "weight_decay", "clip_norm")
"""Fields of `Training` that may change within a run; nothing that is saved depends on them."""

_HEADER = "header"
_MOST_HEADER = 16 * 2**20
_MOST_GENERATOR = 64 * 2**10


class DataChangedError(UserError):
    """The data are not those that the run was trained on so far."""


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        epoch: the epoch that goes on next, from 0.
        step: steps of that epoch that are done.
        best: highest figure so far that decides; -1 before the first evaluation.
        history: one dict an epoch, as `history.json` holds it.
        identity: what must be the same in the run that goes on.
        data: fingerprint of what the run is trained and evaluated on; see
            `visiongarden.data.fingerprint`.
    """

    epoch: int = 0
    step: int = 0
    best: float = -1.0
    history: list[dict[str, float]] = field(default_factory=list)
    identity: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


def save_state(folder: Path, progress: Progress, model: keras.Model, optimizer: Any) -> None:
    """Writes `resume.npz` into the run's folder; the old one stands until the new one is whole."""
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
    """Puts weights and optimiser back; the optimiser must be built.

    Args:
        folder: of the run.
        identity: of the run that goes on.
        model: takes the weights.
        optimizer: takes its state.
        data: fingerprint of the data as they are now.
        accept_changes: resume although data or `ADJUSTABLE` training fields changed.

    Returns:
        How far the run has come, with `identity` and `data` as they are now.

    Raises:
        UserError: there is no such file, it is cut short, or it belongs to another run.
        DataChangedError: the data changed since the run began.
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
                # Defaults follow from the data, so fields that changed would hide the reason.
                _compare_data(folder, progress.data, data or {})
            _compare(path, then, identity)
            for name, variable in state_variables(model, optimizer):
                variable.assign(_read(path, archive, name, variable))
            put_back(model, _states(path, archive, draws(model)))
    except UserError:
        raise
    except Exception as error:  # NumPy and zipfile raise whatever damage makes them raise
        raise UserError(
            f"{path} is not a whole checkpoint",
            received=str(error),
            fix="train again in another folder, without resuming",
        ) from error
    progress.identity, progress.data = identity, data or progress.data
    return progress


def state_variables(model: keras.Model, optimizer: Any) -> Iterator[tuple[str, Any]]:
    """Name in the file, and variable, of everything that the run goes on from."""
    for variable in model.weights:
        yield f"model/{variable.path}", variable
    # Seeds of layers such as dropout are no weights, but what follows depends on them.
    weights = {id(variable) for variable in model.weights}
    others = [variable for variable in model.variables if id(variable) not in weights]
    for index, variable in enumerate(others):
        yield f"state/{index}", variable
    # Paths of optimiser variables are not unique; their order follows the model's.
    for index, variable in enumerate(optimizer.variables):
        yield f"optimizer/{index}", variable


def draws(model: keras.Model) -> dict[str, np.ndarray]:
    """Where PyTorch's generators stand, which dropout without a seed draws from.

    Empty on other backends, whose layers keep their seeds.
    """
    return {name: each.get_rng_state().numpy() for name, each in _generators(model)}


def put_back(model: keras.Model, states: dict[str, np.ndarray]) -> None:
    """Has PyTorch's generators draw on from what `draws` returned.

    Raises:
        ValueError: one of the states is none.
    """
    for name, generator in _generators(model):
        if name in states:  # trained so far on another backend or device, if not
            _set(generator, name, states[name])


def _set(generator: Any, name: str, state: np.ndarray) -> None:
    import torch

    if state.dtype != np.uint8 or state.ndim != 1:
        raise ValueError(f"{name} holds no bytes")
    try:
        # Size and sense are checked before anything is taken over.
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
        if archive.zip.getinfo(f"{name}.npy").file_size > _MOST_GENERATOR:
            raise UserError(f"{path}: {name} is larger than {_MOST_GENERATOR:,} bytes")
    return {name: archive[name] for name in found}


def _array(variable: Any) -> np.ndarray:
    array = keras.ops.convert_to_numpy(variable.value)
    return array.astype(np.float32) if array.dtype.kind not in "iufb" else array


def _header(path: Path, archive: Any) -> Progress:
    if archive.zip.getinfo(f"{_HEADER}.npy").file_size > _MOST_HEADER:
        raise UserError(f"{path}: its header is larger than {_MOST_HEADER:,} bytes")
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
    """The identity of the checkpoint, with what may change as it is now."""
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
    """(dotted field, old value, new value) of what differs; None where one side lacks it."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in [*then, *(key for key in now if key not in then)]:
            inner = f"{field}.{key}" if field else str(key)
            yield from _changed_fields(then.get(key), now.get(key), inner)
    elif then != now:
        yield field, then, now


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} …"
