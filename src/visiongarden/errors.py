"""Errors for people: what went wrong, the rule, what was received, and a fix that can be pasted."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from visiongarden.terminal import printable

_SHOWN, _COMPARED = 60, 2000


class UserError(ValueError):
    """Something that the user can mend; `str(error)` is one paragraph.

    Args:
        what: what went wrong, one sentence without the final stop.
        rule: what would have been right.
        received: what was given instead.
        fix: what to do, best as something that works when pasted.
    """

    def __init__(
        self,
        what: str,
        *,
        rule: str | None = None,
        received: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.what, self.rule, self.received, self.fix = what, rule, received, fix
        lines = [what]
        lines += [
            f"  {label}: {text}"
            for label, text in (("rule", rule), ("received", received), ("fix", fix))
            if text
        ]
        # Names from files stand in messages; a terminal must not obey them.
        super().__init__(printable("\n".join(lines)))


class ConfigError(UserError):
    """A recipe, a field or an override is not valid."""


class ContractError(UserError):
    """Two parts do not fit each other.

    Args:
        what: names both sides, as "decoder A cannot follow backbone B".
        wants: what the one side needs, as ("levels", "p3 p4 p5").
        offered: what the other side gives, in the same terms.
        fix: a change that works when pasted.
    """

    def __init__(self, what: str, *, wants: tuple[str, str], offered: str, fix: str) -> None:
        subject, wanted = wants
        width = len(f"wants {subject}") + 3
        super().__init__(what)
        self.rule, self.received, self.fix = wanted, offered, fix
        lines = [
            what,
            f"  {f'wants {subject}':{width}}{wanted}",
            f"  {'is offered':{width}}{offered}",
            f"  fix: {fix}",
        ]
        self.args = (printable("\n".join(lines)),)


class DataError(UserError):
    """A data set, an annotation or an image is not sound; names file and position."""


class ModelFileError(UserError):
    """A model file cannot be opened, or does not hold what its name says."""


class NotFiniteError(UserError):
    """A loss, weights or outputs of a model became infinite or NaN."""


def nearest(name: str, valid: Iterable[str], most: int = 3) -> str:
    """Says which valid names are near `name`, or all of them: "did you mean a, b?"."""
    names = sorted(valid)
    # The comparison takes the square of a name's length, for each valid name.
    close = difflib.get_close_matches(name[:200], names[:_COMPARED], n=most, cutoff=0.5)
    listed = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    if close:
        return f"did you mean {', '.join(close)}? (valid: {listed})"
    return f"valid: {listed}"


def _as_argument(name: str, value: Any) -> str:
    return name if value is None else f"{name}={value!r}"


def _as_flag(name: str, value: Any) -> str:
    flag = f"--{name.replace('_', '-')}"
    return flag if value is None or value is True else f"{flag} {shlex.quote(str(value))}"


_SPELLING: ContextVar[Callable[[str, Any], str]] = ContextVar("spelling", default=_as_argument)


@contextmanager
def spelled(spelling: Callable[[str, Any], str]) -> Iterator[None]:
    """Inside, errors write arguments in this way, so that their fixes can be pasted.

    Args:
        spelling: name of an argument, and its value or None -> text.
    """
    token = _SPELLING.set(spelling)
    try:
        yield
    finally:
        _SPELLING.reset(token)


@contextmanager
def on_command_line() -> Iterator[None]:
    """Inside, errors name options of the command line, elsewhere arguments of Python."""
    with spelled(_as_flag):
        yield


def option(name: str, value: Any = None) -> str:
    """An argument as the user writes it: `at_least=0.8`, on the command line `--at-least 0.8`.

    Args:
        name: of the argument in Python; the command line's option has hyphens.
        value: None names the argument alone.
    """
    return _SPELLING.get()(name, value)
