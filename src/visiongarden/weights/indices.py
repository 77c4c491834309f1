"""Integers in rename rules: `layer{n}` matches one, `stage{n+1}` computes one from it."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping

from visiongarden.errors import UserError

BRACES = r"\{[^{}]*\}"
"""Regular expression of an integer in a rule."""

_MATCHED = re.compile(r"\{([a-z]\w*)(?:=(\d+)\.\.(\d+))?\}")
_MAX_LENGTH, _MAX_DIGITS = 40, 6
_OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def group(braces: str, known: set[str]) -> str:
    """Return the regular expression for `{n}` or `{n=2..5}` on the left of a rule.

    Args:
        braces: The text with its braces.
        known: Names of the integers to the left of it, to which the name is added. A repeated name
            matches the same integer again.

    Raises:
        UserError: If the text is not a name, or a name with a range.
    """
    found = _MATCHED.fullmatch(braces)
    if found is None:
        raise UserError(
            f"{braces} is not an index on the left of a rule",
            rule="{n}, which matches any integer, or {n=2..5}, which matches one of a range",
            fix="{n}",
        )
    name = found[1]
    if name in known:
        return f"(?P={name})"
    known.add(name)
    return f"(?P<{name}>[0-9]{{1,{_MAX_DIGITS}}})"


def in_ranges(pattern: str, indices: Mapping[str, str]) -> bool:
    """Return whether the integers that the left of a rule matched are in its ranges."""
    return all(
        low is None or int(low) <= int(indices[name]) <= int(high)
        for name, low, high in (m.groups() for m in _MATCHED.finditer(pattern))
    )


def computed(braces: str, indices: Mapping[str, str]) -> str:
    """Compute `{n+1}` on the right of a rule.

    Args:
        braces: The text with its braces: integers, names of the left, and + - * // %.
        indices: Integers by name that the left matched, as text.

    Raises:
        UserError: If the text is not such an expression.
    """
    text = braces[1:-1]
    try:
        found = _value(ast.parse(text[:_MAX_LENGTH], mode="eval").body, indices)
    except (SyntaxError, ValueError, KeyError, ZeroDivisionError, RecursionError) as error:
        raise UserError(
            f"{braces} is not an index on the right of a rule",
            rule="integers, the names of the indices on the left, and + - * // %",
            received=f"indices on the left: {', '.join(indices) or 'none'}",
            fix="{n+1}",
        ) from error
    return str(found)


def _value(node: ast.expr, indices: Mapping[str, str]) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name):
        return int(indices[node.id])
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _value(node.left, indices), _value(node.right, indices)
        return _OPERATORS[type(node.op)](left, right)
    raise ValueError
