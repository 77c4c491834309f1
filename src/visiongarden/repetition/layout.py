"""Layout of long statements as ruff formats them.

A statement takes one line if it fits, else its inside takes one line, else one line per argument.
"""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 100


def bracket(before: str, items: Sequence[str], after: str, indent: int = 0) -> str:
    """Format `before`, items and `after` as `f(a, b)`; `before` ends with the opening bracket."""
    space = " " * indent
    one = f"{space}{before}{', '.join(items)}{after}"
    if len(one) <= WIDTH:
        return one
    inner = f"{space}    {', '.join(items)}"
    if len(inner) <= WIDTH:
        return f"{space}{before}\n{inner}\n{space}{after}"
    each = "".join(f"{space}    {item},\n" for item in items)
    return f"{space}{before}\n{each}{space}{after}"


def comprehension(target: str, call: tuple[str, Sequence[str]], loop: str, indent: int) -> str:
    """Format `target = [call(...) for ...]`; `call` is a name and its arguments."""
    space, inner = " " * indent, " " * (indent + 4)
    whole = f"{call[0]}({', '.join(call[1])})"
    one = f"{space}{target} = [{whole} {loop}]"
    if len(one) <= WIDTH:
        return one
    if len(f"{inner}{whole} {loop}") <= WIDTH:
        return f"{space}{target} = [\n{inner}{whole} {loop}\n{space}]"
    element = bracket(f"{call[0]}(", call[1], ")", indent + 4)
    return f"{space}{target} = [\n{element}\n{inner}{loop}\n{space}]"
