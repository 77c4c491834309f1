"""Reads a source file as text and gathers its faults; nothing in it is run."""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path

from visiongarden.errors import UserError
from visiongarden.linting.calls import faults_of_call
from visiongarden.linting.classes import File
from visiongarden.linting.constructors import faults_of_class
from visiongarden.linting.fault import Fault, Found
from visiongarden.linting.state import faults_of_state

_MOST_BYTES = 4 * 2**20


def lint(path: str | Path) -> list[Fault]:
    """Faults of the layers and parts in a Python file, or in all files of a folder.

    The source is parsed, never run or imported. `# noqa: VG203` at a line's end keeps that fault
    silent there, `# noqa` all of them.

    Args:
        path: of a file, or of a folder, of which every `.py` below is read.

    Raises:
        UserError: there is no such file, or it is not Python: names the line.

    Example:
        >>> lint("my_project/blocks.py")
        []
    """
    path = Path(path)
    if path.is_dir():
        return [fault for file in sorted(path.rglob("*.py")) for fault in lint(file)]
    text = _text(path)
    tree = _tree(path, text)
    try:
        found = {found.at(str(path)) for one in _faults(tree) for found in one}
    except RecursionError:
        raise UserError(f"{path} is nested too deeply to be read") from None
    silent = _silenced(text)
    return sorted(f for f in found if not silent.get(f.line, set()) & {"", f.code})


def _faults(tree: ast.Module) -> Iterator[Iterator[Found]]:
    file = File(tree)
    for cls in file.classes:
        yield faults_of_class(cls, file)
        yield faults_of_call(cls, file)
        yield faults_of_state(cls, file)


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise UserError(f"{path} has {size:,} bytes", rule=f"at most {_MOST_BYTES:,}")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}", fix="check the path of the Python file"
        ) from error
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise UserError(
            f"{path} is no text in the encoding that it states (UTF-8, where it states none)",
            received=str(error),
            fix="save it as UTF-8",
        ) from error


def _tree(path: Path, text: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        raise UserError(
            f"{path}:{error.lineno}:{error.offset}: {error.msg}",
            rule="a file that Python can parse",
            received=(error.text or "").strip()[:80] or None,
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{path} cannot be parsed", received=str(error)[:80] or "nesting") from None


def _silenced(text: str) -> dict[int, set[str]]:
    """Line -> codes that `# noqa` silences there; the empty one silences all."""
    silent: dict[int, set[str]] = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            comment = token.string.lstrip("# ")
            if token.type == tokenize.COMMENT and comment.startswith("noqa"):
                codes = comment.removeprefix("noqa").lstrip(": ").replace(",", " ").split()
                silent[token.start[0]] = {c for c in codes if c.startswith("VG")} or (
                    set() if codes else {""}
                )
    except (tokenize.TokenError, SyntaxError):
        return silent
    return silent
