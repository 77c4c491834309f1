"""`lint`: parse a source file and collect its errors, without running it."""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from visiongarden.errors import UserError
from visiongarden.linting.calls import findings_of_call
from visiongarden.linting.classes import File
from visiongarden.linting.constructors import findings_of_class
from visiongarden.linting.finding import Found, LintFinding, LintReport
from visiongarden.linting.state import findings_of_state

_MAX_BYTES = 4 * 2**20
"""Maximum size of a source file in bytes."""


def lint(path: str | Path | Sequence[str | Path]) -> LintReport:
    """Find errors in the layers and parts of Python files, or of all files in folders.

    The source is parsed, never imported or run. The comment `# noqa: VG203` at the end of a line
    suppresses that code there; `# noqa` suppresses all.

    Args:
        path: Path of a Python file, or of a folder that is searched recursively for `.py` files; or
            several of them.

    Returns:
        Errors and warnings sorted by line and column, file by file.

    Raises:
        UserError: If there is no such file, or no Python file in the folder; or if a file is too
            large, cannot be decoded, or has a syntax error, in which case the message contains the
            line.

    Example:
        >>> vg.lint("my_project/blocks.py")  # doctest: +SKIP
        LintReport(0 errors, 0 warnings in 1 file)
    """
    paths: list[Any] = list(path) if isinstance(path, list | tuple) else [path]
    if not paths:
        raise UserError("no path is given", rule="a Python file or a folder", fix='lint("src")')
    files = [file for one in paths for file in _files(one)]
    return LintReport(tuple(finding for file in files for finding in _lint(file)), len(files))


def _files(path: str | Path) -> list[Path]:
    if not isinstance(path, str | Path):
        raise UserError(
            f"path is of type {type(path).__name__}",
            rule="the path of a Python file or a folder",
            fix='lint("src")',
        )
    path = Path(path)
    if not path.is_dir():
        return [path]
    files = sorted(path.rglob("*.py"))
    if not files:
        raise UserError(
            f"the folder {path} contains no Python file",
            rule="a Python file, or a folder that contains some",
            fix="check the path",
        )
    return files


def _lint(path: Path) -> list[LintFinding]:
    if path.suffix not in {".py", ".pyi"} and path.is_file():
        raise UserError(
            f"{path} is not a Python file",
            rule="a name that ends in .py",
            received=f"the suffix {path.suffix!r}",
            fix="visiongarden lint my_project",
        )
    text = _text(path)
    tree = _tree(path, text)
    try:
        # A set: two rules may report the same node.
        found = {found.at(str(path)) for one in _findings(tree) for found in one}
    except RecursionError:
        raise UserError(f"{path} is nested too deeply to be analyzed") from None
    suppressed = _suppressed_codes(text)
    return sorted(f for f in found if not suppressed.get(f.line, set()) & {"", f.code})


def _findings(tree: ast.Module) -> Iterator[Iterator[Found]]:
    file = File(tree)
    for cls in file.classes:
        yield findings_of_class(cls, file)
        yield findings_of_call(cls, file)
        yield findings_of_state(cls, file)


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise UserError(
                f"{path} is too large",
                rule=f"at most {_MAX_BYTES:,} bytes",
                received=f"{size:,} bytes",
            )
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
            f"{path} cannot be decoded with its declared encoding (UTF-8 by default)",
            received=str(error),
            fix="save the file as UTF-8",
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


def _suppressed_codes(text: str) -> dict[int, set[str]]:
    """Map each line with a noqa comment to the codes it suppresses; "" suppresses all."""
    suppressed: dict[int, set[str]] = {}
    # Tokenizing distinguishes comments from strings that contain one.
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            comment = token.string.lstrip("# ")
            if token.type == tokenize.COMMENT and comment.startswith("noqa"):
                codes = comment.removeprefix("noqa").lstrip(": ").replace(",", " ").split()
                # Codes of other linters alone (E501) suppress nothing here.
                suppressed[token.start[0]] = {c for c in codes if c.startswith("VG")} or (
                    set() if codes else {""}
                )
    except (tokenize.TokenError, SyntaxError):
        return suppressed
    return suppressed
