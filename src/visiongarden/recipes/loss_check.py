"""`check_own_losses`: a loss of the user is checked before a run starts."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from visiongarden.config import Typed
from visiongarden.heads import CombinedHeads
from visiongarden.kinds import PACKAGE
from visiongarden.parts import Head


def check_own_losses(head: Head) -> None:
    """Refuse a loss of the user that does not do what every loss must.

    `visiongarden check` finds the same: terms that are no scalars, that are divided by a count of
    the batch, or that ignore a raw prediction. A loss is not checked if no example targets are
    known for it, or if `examples` of its class skips the check "loss".

    Args:
        head: Head of the model, or several heads.

    Raises:
        UserError: The loss, or a part of it such as `class_loss`, is wrong.
    """
    for one in head.heads.values() if isinstance(head, CombinedHeads) else (head,):
        own = [each for each in _values_of(one.chosen_loss()) if not _is_tested(each)]
        if not own:
            continue
        # Only now: importing the checks takes time, and most runs have a loss of visiongarden.
        checks = importlib.import_module("visiongarden.testing.loss_of_head")
        for part in own:
            checks.refuse_wrong(one, part)


def _values_of(loss: Any) -> Iterator[Any]:
    """Yield a loss and the losses in its fields."""
    yield loss
    for _, value in loss:
        if isinstance(value, Typed):
            yield from _values_of(value)


def _is_tested(loss: Any) -> bool:
    return type(loss).__module__.partition(".")[0] == PACKAGE
