"""Errors that the user can resolve: what is wrong, the rule, the received value and a fix.

A fix is written for the place where the user works: `option` spells an argument as Python, as an
option of the command line, or as an override of a recipe (`data.val=train`), ready to be pasted.
`model_field` spells a field of a model as an override (`model.head.levels='[p3, p4]'`) where a
recipe describes the model.
"""

from __future__ import annotations

import difflib
import shlex
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import PurePath
from typing import Any, TypeAlias

from visiongarden.terminal import printable

_SHOWN, _COMPARED = 60, 2000


class UserError(ValueError):
    """Base class of the errors that the user can resolve; `str(error)` is one paragraph.

    Args:
        what: the problem, one sentence without a final period.
        rule: the condition that is violated.
        received: the value that violates it.
        fix: what to do next, preferably text that works when pasted.

    Example:
        >>> print(vg.UserError("'p' is not a valid level", rule="p and a digit", fix="p3"))
        'p' is not a valid level
          rule: p and a digit
          fix: p3
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
        # A message may contain names from files, whose control characters could clear the screen
        # or change the title of the terminal.
        super().__init__(printable("\n".join(lines)))


class ConfigError(UserError):
    """Error of an invalid recipe, field or override."""


class ContractError(UserError):
    """Error of two parts that cannot be connected.

    Args:
        what: the problem with both parts, such as "decoder A cannot follow backbone B".
        wants: subject and requirement of one part, such as ("levels", "p3 p4 p5").
        offered: what the other part provides, in the same terms.
        fix: a change that works when pasted.

    Example:
        >>> wants = ("levels", "p3 p4")
        >>> print(vg.ContractError("cannot connect", wants=wants, offered="p4 p5", fix="use p4"))
        cannot connect
          expects levels   p3 p4
          got              p4 p5
          fix: use p4
    """

    def __init__(self, what: str, *, wants: tuple[str, str], offered: str, fix: str) -> None:
        subject, wanted = wants
        width = len(f"expects {subject}") + 3
        super().__init__(what)
        self.rule, self.received, self.fix = wanted, offered, fix
        lines = [
            what,
            f"  {f'expects {subject}':{width}}{wanted}",
            f"  {'got':{width}}{offered}",
            f"  fix: {fix}",
        ]
        self.args = (printable("\n".join(lines)),)


class DataError(UserError):
    """Error of an invalid dataset, annotation or image; the message names file and position."""


class MissingLibraryError(UserError):
    """Error of a library that is not required, but needed here, and cannot be imported."""


class ModelFileError(UserError):
    """Error of a model file that cannot be opened or has unexpected contents."""


class NotFiniteError(UserError):
    """Error of a loss, weights or outputs that became infinite or NaN."""


def raised_at(error: BaseException, kind: type) -> str:
    """Return "file:line" of the last line of a class's module that led to an error.

    Args:
        error: error that was raised and caught.
        kind: class of the user, whose module may call other libraries.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == _file_of(kind)]
    last = (own or frames)[-1]
    return f"{PurePath(last.filename).name}:{last.lineno}"


def _file_of(kind: type) -> str | None:
    module = sys.modules.get(kind.__module__)
    return None if module is None else module.__file__


def nearest(name: str, valid: Iterable[str], limit: int = 3) -> str:
    """Return a hint with the valid names that are most similar to `name`.

    Args:
        name: the unknown name.
        valid: the names that are accepted.
        limit: largest number of suggestions.

    Returns:
        "did you mean a, b? (valid: a, b, c)", or "valid: a, b, c" if no name is similar; "" if
        there are no valid names.

    Example:
        >>> nearest("ResNt", ["ResNet", "Darknet"])
        'did you mean ResNet? (valid: Darknet, ResNet)'
        >>> nearest("YOLO", ["coco", "yolo"])
        'did you mean yolo? (valid: coco, yolo)'
    """
    names = sorted(valid)
    if not names:
        return ""
    close = closest(name, names, limit)
    listed = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    if close:
        return f"did you mean {', '.join(close)}? (valid: {listed})"
    return f"valid: {listed}"


def closest(name: str, names: Sequence[str], limit: int = 3) -> list[str]:
    """Return the names that are most similar to `name`, the most similar first.

    A name that differs only in case is the only one.

    Args:
        name: the misspelled name.
        names: names to choose from, of which the first thousands are compared.
        limit: maximum number of names.

    Example:
        >>> closest("ResNt", ["Darknet", "ResNet"])
        ['ResNet']
    """
    # The time of `get_close_matches` grows with the square of a name's length for each valid name.
    # Names may come from files, so their length and number are limited.
    same = [each for each in names if each.casefold() == name.casefold()]
    return same or difflib.get_close_matches(name[:200], names[:_COMPARED], n=limit, cutoff=0.5)


def _as_argument(name: str, value: Any) -> str:
    return name if value is None else f"{name}={value!r}"


def _as_flag(name: str, value: Any) -> str:
    flag = f"--{name.replace('_', '-')}"
    return flag if value is None or value is True else f"{flag} {shlex.quote(str(value))}"


_SPELLING: ContextVar[Callable[[str, Any], str]] = ContextVar("spelling", default=_as_argument)


@contextmanager
def spelled(spelling: Callable[[str, Any], str]) -> Iterator[None]:
    """Set how errors that are raised inside the block spell arguments.

    Args:
        spelling: function from the name of an argument and its value, or None, to text.
    """
    token = _SPELLING.set(spelling)
    try:
        yield
    finally:
        _SPELLING.reset(token)


@contextmanager
def on_command_line() -> Iterator[None]:
    """Spell arguments as options of the command line in errors raised inside the block."""
    with spelled(_as_flag):
        yield


FieldSpelling: TypeAlias = Callable[[Any, str, Any], str | None]
"""Function from a part (None for the model), the name of its field and the value to text."""

_FIELDS: ContextVar[FieldSpelling | None] = ContextVar("fields", default=None)


@contextmanager
def fields_spelled(spelling: FieldSpelling) -> Iterator[None]:
    """Set how errors that are raised inside the block spell fields of a model and its parts.

    Args:
        spelling: function that returns an override, or None for a part that the recipe lacks.
    """
    token = _FIELDS.set(spelling)
    try:
        yield
    finally:
        _FIELDS.reset(token)


def model_field(name: str, value: Any, part: Any = None) -> str | None:
    """Return an override of a field of the model, or None where no recipe describes the model.

    Args:
        name: name of the field.
        value: value of the field.
        part: part of the model that has the field; None for the model itself.
    """
    spelling = _FIELDS.get()
    return None if spelling is None else spelling(part, name, value)


def option(name: str, value: Any = None) -> str:
    """Return an argument as the user writes it: `min_coverage=0.8` or `--min-coverage 0.8`.

    Args:
        name: name of the argument in Python; the option of the command line has hyphens.
        value: value of the argument; None returns the name alone.
    """
    return _SPELLING.get()(name, value)
