"""Generation of a module of blocks from repeats, and of a test for it."""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from pathlib import Path

from visiongarden.errors import UserError
from visiongarden.inspect.graph import Op
from visiongarden.repetition.code import Unwritable, block
from visiongarden.repetition.grammar import Rule
from visiongarden.repetition.layout import WIDTH
from visiongarden.repetition.report import Repeats
from visiongarden.repetition.shapes import Case, cases
from visiongarden.repetition.vary import Named
from visiongarden.storage import atomic_write

_HEAD = '''"""Blocks that `visiongarden repeats --write` found.

Source: {source}.
"""

from __future__ import annotations

from typing import Any
{imports}
'''
_TEST = '''"""Each block gives the shapes and has the parameters of the regions that it stands for.

Source: {source}.
"""

import importlib.util
import math
import sys
from pathlib import Path

import keras
import pytest

_PATH = Path(__file__).with_name("{module}.py")
_SPEC = importlib.util.spec_from_file_location("{module}", _PATH)
blocks = sys.modules.setdefault("{module}", importlib.util.module_from_spec(_SPEC))
_SPEC.loader.exec_module(blocks)

# Class, arguments, input and output (height, width, channels), parameters with moving statistics.
CASES = [
{cases}
]


@pytest.mark.parametrize(("name", "arguments", "takes", "gives", "parameters"), CASES)
def test_block_is_the_region_that_it_stands_for(name, arguments, takes, gives, parameters):
    block = getattr(blocks, name)(**arguments)
    output = block(keras.KerasTensor((1, *takes)))
    assert tuple(output.shape[1:]) == gives
    assert sum(math.prod(weight.shape) for weight in block.weights) == parameters
    again = type(block).from_config(block.get_config())
    assert again.get_config() == block.get_config()
'''


def write(found: Repeats, path: str | Path) -> tuple[Path, Path, dict[str, str]]:
    """Write the repeats as a module of blocks, and a test beside it.

    Args:
        found: Result of `repeats`.
        path: Path of the module, a `.py` file that does not exist; the test is named `test_` +
            name.

    Returns:
        Path of the module, path of the test, and for each repeat that cannot be written the reason.

    Raises:
        UserError: A file exists, the name is not that of a module, or no repeat can be written.
    """
    path = Path(path)
    test = path.with_name(f"test_{path.name}")
    _check_names(path, test)
    named: Named = found.rules
    source = _plain(found.source)
    code, order, refused = _blocks(named, source, found.unit)
    if not order:
        told = "; ".join(f"{name}: {why}" for name, why in refused.items())
        raise UserError(
            f"nothing that repeats in {found.source} can be written as a block",
            received=told or "no repeats",
        )
    imports = _imports("".join(code), named.grammar.graph.ops)
    module = _HEAD.format(source=source, imports=imports) + "".join(f"\n\n{text}" for text in code)
    rows = [row for rule in order for row in cases(named, rule)]
    # Occurrences with equal arguments and shapes are one case.
    listed = "\n".join(_row(row) for row in dict.fromkeys(rows))
    checks = _TEST.format(module=path.stem, source=source, cases=listed)
    _write(path, module)
    _write(test, checks)
    return path, test, refused


def _check_names(path: Path, test: Path) -> None:
    if path.suffix != ".py" or not path.stem.isidentifier() or keyword.iskeyword(path.stem):
        raise UserError(
            f"cannot write blocks to {path}",
            rule="the name of a Python module, ending in .py",
            fix="--write blocks.py",
        )
    for each in (path, test):
        if each.exists():
            raise UserError(
                f"{each} exists already", rule="nothing is overwritten", fix="another name"
            )


def _blocks(named: Named, source: str, unit: str) -> tuple[list[str], list[Rule], dict[str, str]]:
    """Return the code of the blocks, inner blocks first, their rules, and reasons for gaps."""
    code: list[str] = []
    order: list[Rule] = []
    refused: dict[str, str] = {}
    done: set[int] = set()

    def visit(rule: Rule) -> None:
        if rule.number in done:
            return
        done.add(rule.number)
        inner = [named.grammar.runs[s] for s in rule.symbols if s in named.grammar.runs]
        for other in inner:
            if len(other) > 1:
                visit(other)
        name = named.names[rule.number]
        lost = [named.names[o.number] for o in inner if named.names.get(o.number) in refused]
        # A block that uses a missing block would not run.
        if lost:
            refused[name] = f"holds {lost[0]}"
            return
        try:
            code.append(block(named, rule, source, unit))
            order.append(rule)
        except Unwritable as reason:
            refused[name] = str(reason)

    by_name = {name: number for number, name in named.names.items()}
    for each in sorted(by_name.values()):
        visit(named.grammar.rules[each])
    return code, order, refused


def _imports(code: str, ops: Sequence[Op]) -> str:
    lines = []
    if "keras." in code:
        lines.append("\nimport keras")
    lines.append("\nimport visiongarden as vg")
    names = ["Composite", "ConvNormAct", "DepthwiseNormAct", "Sum", "activation"]
    used = [name for name in names if f"{name}(" in code or f"({name})" in code]
    wanted = {("visiongarden.layers", name) for name in used}
    classes = {(op.module, op.source.partition("(")[0]) for op in ops if op.source}
    wanted |= {(module, name) for module, name in classes if f"= {name}(" in code}
    modules = sorted({module for module, _ in wanted})
    lines += [
        f"from {module} import {', '.join(sorted(n for m, n in wanted if m == module))}"
        for module in modules
    ]
    return "\n".join(lines)


def _row(case: Case) -> str:
    given = [f'"{name}": {value}' for name, value in case.arguments]
    numbers = [str(case.takes), str(case.gives), str(case.parameters)]
    line = f'    ("{case.name}", {{{", ".join(given)}}}, {", ".join(numbers)}),'
    if len(line) <= WIDTH:
        return line
    arguments = f"        {{{', '.join(given)}}},"
    if len(arguments) > WIDTH:
        each = "".join(f"            {item},\n" for item in given)
        arguments = f"        {{\n{each}        }},"
    cells = "".join(f"        {cell},\n" for cell in numbers)
    return f'    (\n        "{case.name}",\n{arguments}\n{cells}    ),'


def _plain(text: str) -> str:
    """Replace all characters of a name from outside that could end a docstring."""
    return "".join(c if c.isalnum() or c in "._- " else "_" for c in text)[-60:]


def _write(path: Path, text: str) -> None:
    try:
        atomic_write(path, text, overwrite=False)
    except FileExistsError:
        raise UserError(f"{path} exists already", rule="nothing is overwritten") from None
