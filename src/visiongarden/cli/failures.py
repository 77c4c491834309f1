"""Report of a failed command: one paragraph on stderr, and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback

from visiongarden.errors import UserError
from visiongarden.terminal import printable

FINDINGS = SKIPPED = 1
INVALID, INTERNAL, INTERRUPTED, STOPPED = 2, 70, 130, 143
"""Exit codes: completed with findings, a difference or skipped inputs; nothing done because of the
arguments or the input, as Typer ends for a wrong option; internal error; Ctrl-C; SIGTERM or SIGUSR1
of a system that ends a job."""

_EXTRAS = {
    "tensorflow": "tensorflow",
    "jax": "jax",
    "torch": "torch",
    "onnx": "export",
    "onnxruntime": "export",
    "tf2onnx": "export",
    "tensorboard": "tensorboard",
}
"""Extra of visiongarden that installs a missing module."""
_FIXABLE_ERRNOS = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EISDIR,
    errno.EEXIST, errno.ENOENT,
    errno.ENOTDIR, errno.ENAMETOOLONG,
}  # fmt: skip
"""Error numbers that the user can fix: permissions, disk space, file names."""


def report(error: BaseException, debug: bool) -> int:
    """Print an error to stderr and return the exit code.

    Args:
        error: Exception that a command raised.
        debug: Whether to print the traceback too.

    Returns:
        The exit code: 2 if the user can fix the error, 130 after Ctrl-C, 143 after another signal,
        70 for a bug.
    """
    if debug:
        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    fixable = error if isinstance(error, UserError) else _as_user_error(error)
    if fixable is not None:
        print(printable(f"error: {fixable}"), file=sys.stderr)
        return INVALID
    print(printable(f"error: {_bug(error)}"), file=sys.stderr)
    return INTERNAL


def _as_user_error(error: BaseException) -> UserError | None:
    """Return an error of the user's environment as a `UserError`, or None if it is a bug."""
    if isinstance(error, ModuleNotFoundError) and error.name in _EXTRAS:
        fix = f"pip install 'visiongarden[{_EXTRAS[error.name]}]'"
        if error.name == os.environ.get("KERAS_BACKEND", "tensorflow"):
            fix += ", or set KERAS_BACKEND to an installed backend (tensorflow, jax, torch)"
        return UserError(f"{error.name} is not installed", fix=fix)
    if isinstance(error, OSError) and error.errno in _FIXABLE_ERRNOS:
        place = f"{error.filename}: " if error.filename is not None else ""
        return UserError(f"{place}{error.strerror}", fix="check the path and its permissions")
    return None


def _bug(error: BaseException) -> UserError:
    message = next((line for line in str(error).splitlines() if line.strip()), "")
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" ({frame.filename}:{frame.lineno})" for frame in last)
    return UserError(
        "this is a bug in visiongarden or in a module that you import",
        received=f"{type(error).__name__}: {message:.300}{where}",
        fix="run again with --debug, and report the error with its traceback",
    )
