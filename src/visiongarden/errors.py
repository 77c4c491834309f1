"""Errors for people: what went wrong, the rule, what was received, and a fix that can be pasted."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
        super().__init__("\n".join(lines))


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
        self.args = ("\n".join(lines),)


class DataError(UserError):
    """A data set, an annotation or an image is not sound; names file and position."""


class ModelFileError(UserError):
    """A model file cannot be opened, or does not hold what its name says."""


def nearest(name: str, valid: Iterable[str], most: int = 3) -> str:
    """Says which valid names are near `name`, or all of them: "did you mean a, b?"."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=most, cutoff=0.5)
    if close:
        return f"did you mean {', '.join(close)}? (valid: {', '.join(names)})"
    return f"valid: {', '.join(names)}"
