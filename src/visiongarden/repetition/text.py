"""The words of a report: a line for each step of a block, a paragraph for each repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from visiongarden.inspect.graph import Op
from visiongarden.repetition.grammar import IN, Rule
from visiongarden.repetition.vary import Term

if TYPE_CHECKING:
    from visiongarden.repetition.report import Named, Place, Repeat, Repeats

_MOST_PLACES = 8


def text(found: Repeats) -> str:
    """The whole report."""
    lines = [f"{found.source}: {found.operations} operations, {len(found.repeats)} repeat(s)"]
    if not found.repeats:
        lines.append("nothing with one entry and one exit repeats")
    for each in found.repeats:
        lines += ["", *_paragraph(each, found.unit)]
    return "\n".join(lines)


def _paragraph(each: Repeat, unit: str) -> list[str]:
    arguments = f"({', '.join(each.parameters)})"
    inside = f", in {', '.join(each.used_in)}" if each.used_in else ""
    saved = f"{each.saves} line{'s' if each.saves != 1 else ''}"
    lines = [
        f"{each.name}{arguments} ×{len(each.places)}{inside}: saves {saved} "
        f"({each.flat} flat; the block {each.lines}, its calls {len(each.places)})"
    ]
    lines += [f"    {number}  {step}" for number, step in enumerate(each.steps, start=1)]
    lines += [f"  {_place(place, unit)}" for place in each.places[:_MOST_PLACES]]
    if len(each.places) > _MOST_PLACES:
        lines.append(f"  and {len(each.places) - _MOST_PLACES} more")
    return lines


def _place(place: Place, unit: str) -> str:
    given = " ".join(f"{name}={value}" for name, value in place.arguments.items())
    where = f"{unit}s {place.start}-{place.end}"
    return f"{where}: {place.first} … {place.last}" + (f"  {given}" if given else "")


def steps(named: Named, rule: Rule) -> list[str]:
    """The body of a rule, a line a position."""
    found, varies = named.grammar, named.varying[rule.number]
    lines = []
    for position, symbol in enumerate(rule.symbols):
        item = rule.instances[0][position]
        if isinstance(item, int):
            words = operation(found.graph.ops[item], varies.widths.get(position))
        else:
            times = varies.repeats[position]
            words = _run(named, found.runs[symbol], varies.inner.get(position, {}))
            if str(times) != "1":
                words = f"{times} × {words}"
        reads = rule.inputs[position]
        if reads != ((position - 1) if position else IN,):
            words += " of " + " and ".join("the entry" if i == IN else str(i + 1) for i in reads)
        lines.append(words)
    return lines


def _run(named: Named, rule: Rule, inner: dict[str, Term]) -> str:
    if len(rule) == 1:
        item = rule.instances[0][0]
        if not isinstance(item, int):
            return "a run of runs"
        own = named.varying[rule.number].widths.get(0)
        return operation(named.grammar.graph.ops[item], inner.get(own.name, own) if own else None)
    given = ", ".join(f"{name}={term}" for name, term in inner.items())
    return f"{named.names[rule.number]}({given})"


def operation(op: Op, width: Term | None) -> str:
    """An operation in words: "conv 3×3 / 2, filters // 2, batch norm, silu"."""
    kernel, stride = op.get("kernel"), op.get("stride", (1, 1))
    head = op.kind
    if kernel:
        head += " " + "×".join(map(str, kernel))
    if max(stride) > 1:
        head += (" × " if op.kind == "upsample" else " / ") + str(max(stride))
    words: list[Any] = [head]
    if width is not None:
        words.append(width)
    elif op.width is not None:
        words.append(op.width)
    shown = {"kernel", "stride", "pad", "bias", "norm", "act", "cut", "pool"}
    words += [f"{key}={value}" for key, value in op.fixed if key not in shown and value]
    if op.get("bias") and op.get("norm"):
        words.append("bias")
    if op.get("norm"):
        words.append(f"{op.get('norm')} norm")
    if op.get("act"):
        words.append(op.get("act"))
    return ", ".join(map(str, words))
