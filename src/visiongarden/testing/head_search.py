"""Find a head for a loss or a decoding under test, with raw predictions and targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from visiongarden import registry
from visiongarden.errors import UserError
from visiongarden.heads import CombinedHeads
from visiongarden.parts import Head
from visiongarden.testing.arrays import leaves
from visiongarden.testing.explain import describe
from visiongarden.testing.guess import constructor_arguments
from visiongarden.testing.subject import Subject
from visiongarden.testing.targets import targets_for
from visiongarden.testing.value_subject import ValueSubject

T = TypeVar("T")


def heads_for(subject: ValueSubject, field: str) -> Iterator[Head]:
    """Yield heads with the component under test, those of its own package first.

    Args:
        subject: Loss or decoding; `examples = {"head": MyHead(...)}` in its class decides.
        field: "loss" or "decoding".
    """
    if (own := subject.examples.get("head")) is not None:
        yield own.replace(**{field: subject.value})
        return
    package = subject.cls.__module__.partition(".")[0]
    found: list[Any] = [entry.cls for entry in registry.registered(Head).values()]

    def order(cls: Any) -> tuple[bool, bool]:
        default = cls.model_fields[field].default if field in cls.model_fields else None
        return type(default) is not subject.cls, cls.__module__.partition(".")[0] != package

    for cls in sorted(found, key=order):
        if issubclass(cls, CombinedHeads) or cls.__module__.startswith("visiongarden.testing"):
            continue
        try:
            arguments = constructor_arguments(cls, {})
            yield cls(**(arguments | {field: subject.value}))
        except UserError:
            continue  # the head has no such field, or lacks one that the component needs


def first_that_runs(
    subject: ValueSubject, field: str, run: Callable[[Subject, dict[str, Any]], T]
) -> tuple[Subject, dict[str, Any], T]:
    """Return a head under test with the component, its targets, and what `run` returned.

    Args:
        subject: Loss or decoding.
        field: "loss" or "decoding".
        run: Calls the component with a head and targets; an exception tries the next head.

    Raises:
        UserError: The component runs with no head.
    """
    first: Exception | None = None
    without: Head | None = None
    for head in heads_for(subject, field):
        needed = subject.value.targets if field == "loss" else ()
        try:
            tested = Subject(head)
            batch = len(leaves(tested.arguments)[0])
            targets = targets_for(head, list(tested.features), tested.image_size, batch) or {}
            if not set(needed) <= targets.keys():
                without = without or (head if first is None else None)
                continue
            return tested, targets, run(tested, targets)
        except Exception as error:
            first = first or error
    if without is not None:
        raise _no_targets(subject, without)
    raise UserError(
        f"the {field} {subject.name} runs with no head"
        + (f": {describe(first)}" if first is not None else ""),
        rule="a registered head whose raw predictions and targets it takes",
        fix=f'examples: ClassVar = {{"head": MyHead(...)}} in class {subject.name}',
    ) from first


def _no_targets(subject: ValueSubject, head: Head) -> UserError:
    """Return the error of a loss whose targets no task provides for a check."""
    names = tuple(subject.value.targets)
    arrays = ", ".join(f'"{name}": …' for name in names)
    return UserError(
        f"no head has example targets with the names that the loss {subject.name} needs",
        rule=f"{', '.join(map(repr, names))} in the `example_targets` of the task {head.task!r}, "
        f"or in `examples` of the head {type(head).__name__}, with the batch first",
        received="the task defines no such targets",
        fix=f'examples: ClassVar = {{"targets": {{{arrays}}}}} in class {type(head).__name__}',
    )
