"""Steps of a block as text, one line each."""

from __future__ import annotations

from typing import Any

from visiongarden.graphs import Op
from visiongarden.repetition.grammar import IN, Rule
from visiongarden.repetition.vary import Named, Term


def steps(named: Named, rule: Rule) -> list[str]:
    """Return the body of a rule as text, one line per position."""
    grammar, varies = named.grammar, named.varying[rule.number]
    lines = []
    for position, symbol in enumerate(rule.symbols):
        item = rule.instances[0][position]
        if isinstance(item, int):
            words = operation(grammar.graph.ops[item], varies.widths.get(position))
        else:
            times = varies.repeats[position]
            words = _run(named, grammar.runs[symbol], varies.inner.get(position, {}))
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
            return "nested runs"
        width = named.varying[rule.number].widths.get(0)
        return operation(
            named.grammar.graph.ops[item], inner.get(width.name, width) if width else None
        )
    arguments = ", ".join(f"{name}={term}" for name, term in inner.items())
    return f"{named.names[rule.number]}({arguments})"


def operation(op: Op, width: Term | None) -> str:
    """Describe an operation: "conv 3×3 / 2, filters // 2, batch norm, silu"."""
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
