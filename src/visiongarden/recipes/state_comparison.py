"""`ResumeProof`: two states of a run, compared to the last bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from visiongarden import markup
from visiongarden.terminal import counted, table
from visiongarden.training import Progress

_GROUPS = {
    "model": "weights",
    "average": "moving average",
    "optimizer": "optimizer",
    "state": "random states",
    "generator": "random states",
    "means": "means of the epoch",
}
"""What is compared, by the first word of the names of the arrays of a checkpoint."""
_PROGRESS = ("epoch", "step", "best", "best_epoch", "waited", "unfrozen", "callbacks")
"""Fields of `Progress` that must be equal; the time of the parts of a run differs."""


@dataclass(frozen=True)
class Kill:
    """One kill of a run.

    Attributes:
        after: Last step before it.
        resumed_from: Step of the checkpoint from which the killed process had continued; 0: it had
            begun the run.
        delay: Seconds that it came after the step that was waited for.
    """

    after: int
    resumed_from: int
    delay: float

    def __str__(self) -> str:
        begun = f"resumed from step {self.resumed_from}" if self.resumed_from else "new"
        return f"killed after step {self.after} + {1000 * self.delay:.0f} ms ({begun})"


@dataclass(frozen=True)
class ComparedState:
    """One kind of state in both runs.

    Attributes:
        what: What it is, such as "weights".
        values: Number of values that were compared.
        different: Number of values that differ.
        first: First value that differs, and by how much; "" if none does.
    """

    what: str
    values: int
    different: int
    first: str = ""


@dataclass(frozen=True, repr=False)
class ResumeProof:
    """Result of `prove_resume`; `str()` is the table of what was compared.

    Attributes:
        data: Dataset of the recipe.
        steps: Steps that both runs trained.
        seed: Seed of the times of the kills.
        kills: The kills, in order.
        compared: The kinds of state, in order.
    """

    data: str
    steps: int
    seed: int
    kills: tuple[Kill, ...]
    compared: tuple[ComparedState, ...]

    @property
    def ok(self) -> bool:
        """Whether the process was killed, and no value differs."""
        return bool(self.kills) and not any(each.different for each in self.compared)

    @property
    def verdict(self) -> str:
        """Result in one line."""
        count = len(self.kills)
        runs = f"{self.steps} steps with {counted(count, 'kill')} and without"
        if not self.kills:
            return f"{runs}: the run ended before it was killed; train more steps"
        bad = [each for each in self.compared if each.different]
        if not bad:
            return f"{runs} are equal to the last bit"
        return f"{runs} differ in {', '.join(each.what for each in bad)}"

    def to_dict(self) -> dict[str, Any]:
        """Convert the result to a JSON-serializable dict."""
        return {"ok": self.ok, "verdict": self.verdict} | asdict(self)

    def __repr__(self) -> str:
        return f"ResumeProof({self.verdict})"

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            ("≠" if row.different else "=", row.what, f"{row.values:,}", f"{row.different:,}",
             row.first)
            for row in self.compared
        ]  # fmt: skip

    def __str__(self) -> str:
        kills = "\n".join(f"  {kill}" for kill in self.kills)
        compared = table(_TITLES, self._rows(), right=("values", "different"))
        return f"seed {self.seed}\n{kills}\n\n{compared}\n\n{self.verdict}"

    def _repr_html_(self) -> str:
        return markup.section(self.verdict, markup.table(_TITLES, self._rows()))


_TITLES = ("", "state", "values", "different", "first difference")

State = tuple[Progress, Mapping[str, np.ndarray]]


def compare_states(whole: State, parts: State) -> tuple[ComparedState, ...]:
    """Compare two states of a run.

    Args:
        whole: Progress and arrays of a run that was not killed.
        parts: Progress and arrays of a run that was killed and resumed.
    """
    rows = []
    for what in dict.fromkeys(_GROUPS.values()):
        words = [word for word, title in _GROUPS.items() if title == what]
        one, other = (
            {n: array for n, array in arrays.items() if n.split("/")[0] in words}
            for _, arrays in (whole, parts)
        )
        if one or other:
            rows.append(_compared_arrays(what, one, other))
    histories = [_flat(progress.history) for progress, _ in (whole, parts)]
    fields = [
        _flat({name: vars(progress)[name] for name in _PROGRESS}) for progress, _ in (whole, parts)
    ]
    rows += [_compared_values("history", *histories), _compared_values("progress", *fields)]
    return tuple(rows)


def _compared_arrays(
    what: str, one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]
) -> ComparedState:
    different, first = 0, ""
    for name in dict.fromkeys([*one, *other]):
        a, b = one.get(name), other.get(name)
        if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
            different += max(each.size for each in (a, b) if each is not None)
            first = first or f"{name} exists in one run, or has another shape"
            continue
        # As bits: NaN equals NaN, and 0 differs from -0.
        bits = (a.reshape(-1, 1).view(np.uint8) != b.reshape(-1, 1).view(np.uint8)).any(axis=1)
        if bits.any():
            different += int(bits.sum())
            gap = np.abs(a.astype(np.float64) - b.astype(np.float64)).max()
            first = first or f"{name}, by up to {gap:.3g}"
    return ComparedState(what, sum(array.size for array in one.values()), different, first)


def _compared_values(what: str, one: dict[str, Any], other: dict[str, Any]) -> ComparedState:
    names = dict.fromkeys([*one, *other])
    # As text, in which NaN equals NaN; that of a float has all its digits.
    bad = [n for n in names if repr(one.get(n, "none")) != repr(other.get(n, "none"))]
    first = f"{bad[0]}: {one.get(bad[0], 'none')} and {other.get(bad[0], 'none')}" if bad else ""
    return ComparedState(what, len(one), len(bad), first)


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Return nested values by their path, such as "1.loss"."""
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value, start=1))
    else:
        return {name: value}
    return {
        k: v for key, each in items for k, v in _flat(each, f"{name}.{key}".lstrip(".")).items()
    }
