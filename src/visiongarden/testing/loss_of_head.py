"""`refuse_wrong`: raise an error if a loss fails its checks with the head that it trains."""

from __future__ import annotations

from typing import Any

from visiongarden.errors import UserError
from visiongarden.losses import Loss
from visiongarden.parts import Head
from visiongarden.testing.arrays import leaves
from visiongarden.testing.checks.losses import check_loss
from visiongarden.testing.component_checking import check_component
from visiongarden.testing.examples import examples_of
from visiongarden.testing.report import Finding
from visiongarden.testing.subject import Subject
from visiongarden.testing.targets import targets_for


def refuse_wrong(head: Head, loss: Any) -> None:
    """Raise an error if a loss fails a check.

    Args:
        head: Head with the loss.
        loss: Its loss, or a part of it, such as `class_loss`.

    Raises:
        UserError: A check fails; the error contains its evidence and advice.
    """
    if {"loss", "runs"} & {*examples_of(type(loss)).get("skip", ())}:
        return
    if isinstance(loss, Loss):
        found = _of_head(head, loss)
    else:
        # An object in Python need not be registered.
        found = check_component(loss, skip=("registered", "round_trip")).failures
    for finding in found[:1]:
        raise UserError(
            f"the loss {type(loss).__name__} is wrong: {finding.evidence}",
            rule="a loss that passes `visiongarden check`; "
            '`examples: ClassVar = {"skip": ["loss"]}` in its class skips this check',
            fix=finding.advice or None,
        )


def _of_head(head: Head, loss: Loss) -> tuple[Finding, ...]:
    """Return the failed check of the loss of a head; none without example targets."""
    try:
        subject = Subject(head)
        batch = len(leaves(subject.arguments)[0])
        targets = targets_for(head, list(subject.features), subject.image_size, batch)
    except UserError:  # the head cannot be checked on its own, such as one for a certain size
        return ()
    if targets is None or not {*loss.targets} <= targets.keys():
        return ()
    finding = check_loss(subject, loss, targets)
    return (finding,) if finding.status == "failed" else ()
