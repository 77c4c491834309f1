"""Parameters of a rule: as few as explain all widths and run lengths of its instances."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from visiongarden.repetition.grammar import Grammar, Rule, Run

_LARGEST_FACTOR = 8
"""Maximum ratio of a width to its parameter, and maximum denominator of the ratio."""


@dataclass(frozen=True)
class Term:
    """Value inside a block: a constant, or a parameter multiplied by a ratio.

    Attributes:
        name: Name of the parameter; "" for a constant.
        ratio: Factor of the parameter, or the constant itself.
    """

    name: str
    ratio: Fraction

    def __str__(self) -> str:
        if not self.name:
            return str(self.ratio)
        up, down = self.ratio.numerator, self.ratio.denominator
        text = self.name if up == 1 else f"{up} * {self.name}"
        return text if down == 1 else f"{text} // {down}"


@dataclass
class Varying:
    """Parameters of a rule, and where the body uses them.

    Attributes:
        names: Names of the parameters; the first width is "filters".
        arguments: Value of each parameter, by `id` of the instance.
        widths: Filters by position.
        repeats: Length of the run by position.
        inner: Arguments of the rule of a run, by position.
    """

    names: tuple[str, ...] = ()
    arguments: dict[int, dict[str, int]] = field(default_factory=dict)
    widths: dict[int, Term] = field(default_factory=dict)
    repeats: dict[int, Term] = field(default_factory=dict)
    inner: dict[int, dict[str, Term]] = field(default_factory=dict)


Slot = tuple[int, str]  # position and inner parameter; "": width or run length


def varying(grammar: Grammar) -> dict[int, Varying]:
    """Return the parameters of each rule except the graph itself, by rule number."""
    result: dict[int, Varying] = {}

    def visit(rule: Rule) -> None:
        if rule.number in result:
            return
        for symbol in rule.symbols:
            if symbol in grammar.runs:
                visit(grammar.runs[symbol])
        result[rule.number] = _of_rule(grammar, rule, result)

    for rule in grammar.rules[1:]:
        visit(rule)
    return result


def _of_rule(grammar: Grammar, rule: Rule, known: dict[int, Varying]) -> Varying:
    widths: dict[Slot, list[int]] = {}
    lengths: dict[Slot, list[int]] = {}
    for position in reversed(range(len(rule))):  # the last width is usually that of the output
        items = [instance[position] for instance in rule.instances]
        if isinstance(items[0], Run):
            runs = [item for item in items if isinstance(item, Run)]
            lengths[position, ""] = [len(run.copies) for run in runs]
            inner = known[runs[0].rule.number]
            for name in inner.names:
                values = [inner.arguments[id(run.copies[0])][name] for run in runs]
                (lengths if name.startswith("repeats") else widths)[position, name] = values
        else:
            ops = [grammar.graph.ops[item] for item in items if isinstance(item, int)]
            if ops[0].width is not None:
                widths[position, ""] = [op.width or 0 for op in ops]
    names: dict[str, list[int]] = {}
    terms = _terms(widths, ("filters", "hidden"), names, ratios=True)
    terms_of_lengths = _terms(lengths, ("repeats", "repeats"), names, ratios=False)
    result = Varying(tuple(names))
    result.arguments = {
        id(instance): {name: values[i] for name, values in names.items()}
        for i, instance in enumerate(rule.instances)
    }
    for (position, name), term in sorted((terms | terms_of_lengths).items()):
        if name:
            result.inner.setdefault(position, {})[name] = term
        elif (position, "") in lengths:
            result.repeats[position] = term
        else:
            result.widths[position] = term
    return result


def _terms(
    slots: dict[Slot, list[int]],
    words: tuple[str, str],
    names: dict[str, list[int]],
    ratios: bool,
) -> dict[Slot, Term]:
    terms = {}
    parameters: dict[str, list[int]] = {}
    for slot, values in slots.items():
        # Equal in all instances: a constant of the block, not an argument.
        if len(set(values)) == 1:
            terms[slot] = Term("", Fraction(values[0]))
            continue
        for name, base in parameters.items():
            ratio = _ratio(values, base)
            if ratio is not None and (ratios or ratio == 1):
                terms[slot] = Term(name, ratio)
                break
        else:
            name = words[0] if not parameters else words[1]
            same = sum(each.rstrip("0123456789") == name for each in parameters)
            name = f"{name}{same + 1}" if same else name
            parameters[name] = values
            terms[slot] = Term(name, Fraction(1))
    names |= parameters
    return terms


def _ratio(values: list[int], base: list[int]) -> Fraction | None:
    """Return the ratio of `values` to `base`, up to rounding down; None without a valid ratio."""
    # The largest width determines the ratio best, because rounding changes it least.
    largest = max(range(len(base)), key=base.__getitem__)
    if not base[largest]:
        return None
    ratio = Fraction(values[largest], base[largest]).limit_denominator(_LARGEST_FACTOR)
    if not 0 < ratio <= _LARGEST_FACTOR:
        return None
    up, down = ratio.numerator, ratio.denominator
    same = all(value == up * b // down for value, b in zip(values, base, strict=True))
    return ratio if same else None


@dataclass(frozen=True)
class Named:
    """Grammar with the parameters and the name of each rule, from which `write` generates code."""

    grammar: Grammar
    varying: dict[int, Varying]
    names: dict[int, str]
