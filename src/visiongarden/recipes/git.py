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
        root, git_dir = _find_git_dir(folder.resolve())
        common_dir = _common_dir(git_dir)
        commit = _commit(git_dir, common_dir)
    except (OSError, ValueError):
        return None
    return {"commit": commit, "dirty": _is_dirty(root, git_dir, common_dir, commit)}


def _find_git_dir(folder: Path) -> tuple[Path, Path]:
    """Return the working tree and its git directory; a linked working tree names it in a file."""
    for root in (folder, *folder.parents):
        git_dir = root / ".git"
        if git_dir.is_dir():
            return root, git_dir
        if git_dir.is_file():
            return root, (root / _read_text(git_dir).removeprefix("gitdir:").strip()).resolve()
    raise FileNotFoundError(".git")


def _common_dir(git_dir: Path) -> Path:
    file = git_dir / "commondir"
    return (git_dir / _read_text(file).strip()).resolve() if file.is_file() else git_dir


def _commit(git_dir: Path, common_dir: Path) -> str:
    text = _read_text(git_dir / "HEAD").strip()
    for _ in range(5):  # git also follows at most five symbolic references
        if not text.startswith("ref:"):
            break
        text = _ref(git_dir, common_dir, text.removeprefix("ref:").strip())
    if not _COMMIT.fullmatch(text):
        raise ValueError("HEAD does not resolve to a commit")
    return text


def _ref(git_dir: Path, common_dir: Path, name: str) -> str:
    if not _REF.fullmatch(name) or ".." in name:
        raise ValueError("not a valid reference")
    for base in (git_dir, common_dir):
        if (base / name).is_file():
            return _read_text(base / name).strip()
    for line in _read_text(common_dir / "packed-refs").splitlines():
        commit, _, packed = line.partition(" ")
        if packed == name:
            return commit
    raise ValueError("HEAD does not resolve to a commit")


def _read_text(file: Path) -> str:
    if not file.is_file():  # reading a named pipe would block forever
        raise FileNotFoundError(file)
    with file.open("rb") as stream:
        return stream.read(_MAX_BYTES).decode()


def _is_dirty(root: Path, git_dir: Path, common_dir: Path, commit: str) -> bool | None:
    git = shutil.which("git")
    if git is None:
        return None
    with tempfile.TemporaryDirectory() as empty:
        _make_git_dir(Path(empty), git_dir, commit)
        # Variables of the caller could name another configuration, or programs to run.
        variables = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
        variables |= {
            "GIT_DIR": empty,
            "GIT_WORK_TREE": str(root),
            "GIT_INDEX_FILE": str(git_dir / "index"),
            "GIT_OBJECT_DIRECTORY": str(common_dir / "objects"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_OPTIONAL_LOCKS": "0",  # `git status` would write the refreshed index
            "GIT_NO_LAZY_FETCH": "1",  # a partial clone would fetch missing objects
        }
        # A submodule has its own configuration, which git would read.
        command = [git, "status", "--porcelain", "--ignore-submodules=all"]
        try:
            result = subprocess.run(  # noqa: S603
                command, cwd=root, env=variables, capture_output=True, timeout=20, check=False
            )
        except (OSError, subprocess.SubprocessError):
            return None
    return bool(result.stdout.strip()) if result.returncode == 0 else None


def _make_git_dir(folder: Path, git_dir: Path, commit: str) -> None:
    for name in ("refs", "info"):
        (folder / name).mkdir()
    (folder / "HEAD").write_text(f"{commit}\n", encoding="utf-8")
    (folder / "config").write_text(_CONFIG, encoding="utf-8")
    # Untracked files that the repository ignores here would otherwise count as changes.
    exclude = git_dir / "info" / "exclude"
    if exclude.is_file():
        (folder / "info" / "exclude").write_text(_read_text(exclude), encoding="utf-8")
