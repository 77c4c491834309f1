"""Read the commit and state of the repository that a run started in, without running its programs.

`git status` runs programs that a repository's own configuration names: `core.fsmonitor`, filters,
hooks. A downloaded folder may contain such a configuration, so git never sees it here. The commit
is read from the files, and git compares the working tree under an empty configuration.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF = re.compile(r"refs/[^\s\0\\:?*\[~^]{1,200}")
_MAX_BYTES = 16 * 2**20
_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tbare = false\n"


def repository_state(folder: Path) -> dict[str, Any] | None:
    """Return the commit, and whether files differ from it; None outside a repository.

    `dirty` is None if it cannot be determined: git is not installed, or the repository has a format
    that git opens only with the repository's own configuration.
    """
    try:
        root, own = _find(folder.resolve())
        common = _common(own)
        commit = _commit(own, common)
    except (OSError, ValueError):
        return None
    return {"commit": commit, "dirty": _is_dirty(root, own, common, commit)}


def _find(folder: Path) -> tuple[Path, Path]:
    """Return the working tree and its git directory; a linked working tree names it in a file."""
    for root in (folder, *folder.parents):
        own = root / ".git"
        if own.is_dir():
            return root, own
        if own.is_file():
            return root, (root / _text(own).removeprefix("gitdir:").strip()).resolve()
    raise FileNotFoundError(".git")


def _common(own: Path) -> Path:
    file = own / "commondir"
    return (own / _text(file).strip()).resolve() if file.is_file() else own


def _commit(own: Path, common: Path) -> str:
    text = _text(own / "HEAD").strip()
    for _ in range(5):  # git also follows at most five symbolic references
        if not text.startswith("ref:"):
            break
        text = _ref(own, common, text.removeprefix("ref:").strip())
    if not _COMMIT.fullmatch(text):
        raise ValueError("HEAD names no commit")
    return text


def _ref(own: Path, common: Path, name: str) -> str:
    if not _REF.fullmatch(name) or ".." in name:
        raise ValueError("not a reference")
    for base in (own, common):
        if (base / name).is_file():
            return _text(base / name).strip()
    for line in _text(common / "packed-refs").splitlines():
        commit, _, packed = line.partition(" ")
        if packed == name:
            return commit
    raise ValueError("HEAD names no commit")


def _text(file: Path) -> str:
    if not file.is_file():  # reading a named pipe would block forever
        raise FileNotFoundError(file)
    with file.open("rb") as stream:
        return stream.read(_MAX_BYTES).decode()


def _is_dirty(root: Path, own: Path, common: Path, commit: str) -> bool | None:
    git = shutil.which("git")
    if git is None:
        return None
    with tempfile.TemporaryDirectory() as empty:
        _make_git_directory(Path(empty), own, commit)
        # Variables of the caller could name another configuration, or programs to run.
        settings = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
        settings |= {
            "GIT_DIR": empty,
            "GIT_WORK_TREE": str(root),
            "GIT_INDEX_FILE": str(own / "index"),
            "GIT_OBJECT_DIRECTORY": str(common / "objects"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_OPTIONAL_LOCKS": "0",  # `git status` would write the refreshed index
            "GIT_NO_LAZY_FETCH": "1",  # a partial clone would fetch missing objects
        }
        # A submodule has its own configuration, which git would read.
        words = [git, "status", "--porcelain", "--ignore-submodules=all"]
        try:
            answer = subprocess.run(  # noqa: S603
                words, cwd=root, env=settings, capture_output=True, timeout=20, check=False
            )
        except (OSError, subprocess.SubprocessError):
            return None
    return bool(answer.stdout.strip()) if answer.returncode == 0 else None


def _make_git_directory(folder: Path, own: Path, commit: str) -> None:
    for name in ("refs", "info"):
        (folder / name).mkdir()
    (folder / "HEAD").write_text(f"{commit}\n", encoding="utf-8")
    (folder / "config").write_text(_CONFIG, encoding="utf-8")
    # Untracked files that the repository ignores here would otherwise count as changes.
    exclude = own / "info" / "exclude"
    if exclude.is_file():
        (folder / "info" / "exclude").write_text(_text(exclude), encoding="utf-8")
