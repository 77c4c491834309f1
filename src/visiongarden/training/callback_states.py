"""`CallbackStates`: what callbacks count, such as epochs without improvement, across resumption.

Keras's `fit` resets callbacks each time. A run may consist of several calls of `fit`: it
is resumed in the middle of an epoch, or layers are unfrozen. Without their state, `EarlyStopping`
would count its patience from zero after each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import keras

from visiongarden.errors import UserError
from visiongarden.progress import LOGGER

State = dict[str, Any]

_FIELDS: tuple[tuple[type[keras.callbacks.Callback], tuple[str, ...]], ...] = (
    (keras.callbacks.EarlyStopping, ("wait", "best", "best_epoch", "stopped_epoch")),
    (keras.callbacks.ReduceLROnPlateau, ("wait", "best", "cooldown_counter")),
    (keras.callbacks.ModelCheckpoint, ("best", "epochs_since_last_save")),
)
"""Attributes of Keras's callbacks that a run continues from; all are numbers or None."""


@runtime_checkable
class Stateful(Protocol):
    """A callback that a resumed run continues with its state."""

    def get_state(self) -> dict[str, Any]:
        """Return the state as values that JSON can hold."""
        ...

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from a state; called after `on_train_begin`."""
        ...


class CallbackStates:
    """State of the callbacks of a run: those of Keras that count, and `Stateful` ones.

    Args:
        callbacks: Callbacks of the run, in order.
        saved: State of a checkpoint, by class and position among the callbacks of this class.
    """

    def __init__(
        self, callbacks: Sequence[keras.callbacks.Callback], saved: State | None = None
    ) -> None:
        self._callbacks = list(_named(callbacks))
        self._next = saved or {}
        for name, callback in self._callbacks:
            if name in self._next and _restores_weights(callback):
                LOGGER.warning(
                    f"{name} counts from the beginning: the weights that it restores at the end of "
                    "the run are not part of a checkpoint"
                )

    def get(self) -> State:
        """Return the state of all callbacks, for a checkpoint.

        Raises:
            UserError: A callback returns a state that JSON cannot hold.
        """
        return {name: _state_of(callback) for name, callback in self._callbacks}

    def keep(self) -> None:
        """Keep the state for the next call of `fit`, which resets callbacks."""
        self._next = self.get()

    def restore(self) -> None:
        """Restore the state that was kept, or that of the checkpoint, once."""
        for name, callback in self._callbacks:
            if name in self._next:
                _restore(callback, self._next[name])
        self._next = {}


def _named(
    callbacks: Sequence[keras.callbacks.Callback],
) -> Iterator[tuple[str, keras.callbacks.Callback]]:
    counts: dict[str, int] = {}
    for callback in callbacks:
        if isinstance(callback, Stateful) or _fields_of(callback):
            name = type(callback).__name__
            counts[name] = counts.get(name, 0) + 1
            yield f"{name} {counts[name]}", callback


def _fields_of(callback: keras.callbacks.Callback) -> tuple[str, ...]:
    return next((names for kind, names in _FIELDS if isinstance(callback, kind)), ())


def _restores_weights(callback: keras.callbacks.Callback) -> bool:
    is_early = isinstance(callback, keras.callbacks.EarlyStopping)
    return is_early and bool(callback.restore_best_weights)


def _state_of(callback: keras.callbacks.Callback) -> State:
    if isinstance(callback, Stateful):
        state = callback.get_state()
        try:
            found = json.loads(json.dumps(state))
        except (TypeError, ValueError) as error:
            found, reason = None, str(error)
        else:
            reason = type(state).__name__
        if not isinstance(found, dict):
            raise UserError(
                f"the state of the callback {type(callback).__name__} cannot be saved",
                rule="get_state() returns a dict of values that JSON can hold",
                received=reason,
                fix="convert arrays with .tolist(), and numbers with float() or int()",
            )
        return found
    numbers = {name: vars(callback).get(name) for name in _fields_of(callback)}
    return {name: None if value is None else float(value) for name, value in numbers.items()}


def _restore(callback: keras.callbacks.Callback, state: Any) -> None:
    if not isinstance(state, dict) or _restores_weights(callback):
        return
    if isinstance(callback, Stateful):
        callback.set_state(state)
        return
    for name in _fields_of(callback):
        value: Any = state.get(name)
        # A file may hold anything; Keras counts whole epochs.
        if type(value) in (int, float):
            setattr(callback, name, value if name == "best" else int(value))
        elif value is None:
            setattr(callback, name, None)
