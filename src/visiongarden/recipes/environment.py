"""`environment.json`: what a run was carried out with, beside what it was told to do."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

from visiongarden.training.record import write_json

ENVIRONMENT = "environment.json"
_PACKAGES = (
    "visiongarden", "keras", "tensorflow", "tensorflow-cpu", "jax", "jaxlib", "torch", "numpy",
    "opencv-python-headless", "pillow", "grain", "faster-coco-eval", "pydantic",
)  # fmt: skip


def save_environment(folder: Path, seed: int) -> None:
    """Writes `environment.json` into a run's folder."""
    write_json(folder / ENVIRONMENT, environment(seed))


def environment(seed: int) -> dict[str, Any]:
    """Versions, backend, devices, seed, and the state of the working directory's repository."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": dict(sorted(_versions())),
        "backend": keras.backend.backend(),
        "devices": _devices(),
        "seed": seed,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "git": _git(Path.cwd()),
    }


def _versions() -> list[tuple[str, str]]:
    found = []
    for name in _PACKAGES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return found


def _devices() -> list[str]:
    try:
        return [str(device) for device in keras.distribution.list_devices()]
    except (NotImplementedError, RuntimeError, ValueError, AttributeError):
        return []


def _git(folder: Path) -> dict[str, Any] | None:
    """Commit and whether files differ from it; None outside a repository or without git."""
    if shutil.which("git") is None:
        return None
    commit = _asked(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(_asked(folder, "status", "--porcelain"))}


def _asked(folder: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607 (the person's own git)
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
