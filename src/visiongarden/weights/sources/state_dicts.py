"""`state_dict_in`: the state dict in a checkpoint, which may hold it beside others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from visiongarden.errors import UserError, option

_MAX_DEPTH = 3


def state_dict_in(
    loaded: Any, is_tensor: Callable[[Any], bool], label: str, name: str | None = None
) -> dict[str, Any]:
    """Return the state dict in a checkpoint.

    A checkpoint is a dict from names to tensors, or a dict that contains such dicts at up to three
    levels, such as "model", "state_dict_ema" or "state.model".

    Args:
        loaded: The checkpoint.
        is_tensor: Function that returns whether a value is a tensor.
        label: What the checkpoint is called in errors.
        name: Name of the state dict; None if there is only one.

    Raises:
        UserError: The checkpoint has no state dict, has several while `name` is None, or has no
            state dict of this name.
    """
    found = dict(_holders(loaded, is_tensor))
    inner = {key: value for key, value in found.items() if key}
    if name is not None:
        if name not in inner:
            raise UserError(
                f"{label} contains no state dict {name!r}",
                rule="the name of one in the checkpoint",
                received=", ".join(inner) or "a plain state dict, without a name",
                fix=option("state_dict", next(iter(inner))) if inner else "leave out state_dict",
            )
        return inner[name]
    # Those below others belong to an optimizer. A single dict of tensors is the state dict, even if
    # there are tensors beside it: training scripts store values such as the step as tensors.
    depth = min((key.count(".") for key in inner), default=0)
    inner = {key: value for key, value in inner.items() if key.count(".") == depth}
    if depth and "" in found:
        return found[""]
    if len(inner) == 1:
        return next(iter(inner.values()))
    if not inner and "" in found:
        return found[""]
    rule = "a dict from names to tensors, or a dict that contains one such dict"
    if inner:
        raise UserError(
            f"{label} contains several state dicts",
            rule=rule,
            received=", ".join(inner),
            fix=option("state_dict", next(iter(inner))),
        )
    keys = list(loaded)[:5] if isinstance(loaded, Mapping) else [type(loaded).__name__]
    raise UserError(
        f"{label} contains no state dict",
        rule=rule,
        received=", ".join(map(str, keys)),
        fix="torch.save(model.state_dict(), path)",
    )


def _holders(
    loaded: Any, is_tensor: Callable[[Any], bool], name: str = "", depth: int = 0
) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(loaded, Mapping):
        return
    named = {key: value for key, value in loaded.items() if isinstance(key, str)}
    tensors = {key: value for key, value in named.items() if is_tensor(value)}
    if tensors:
        yield name, tensors
    # What is beside or below the tensors of a named state dict belongs to no other one.
    if depth < _MAX_DEPTH and not (name and tensors):
        for key, value in named.items():
            yield from _holders(value, is_tensor, f"{name}.{key}" if name else key, depth + 1)
