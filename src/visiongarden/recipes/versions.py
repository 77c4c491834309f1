"""`environment.json`: the versions, devices and commit that a run was made with."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

from visiongarden.recipes.git import repository_state
from visiongarden.training.record import write_json

ENVIRONMENT = "environment.json"
_PACKAGES = (
    "visiongarden", "keras", "tensorflow", "tensorflow-cpu", "jax", "jaxlib", "torch", "numpy",
    "opencv-python-headless", "pillow", "grain", "faster-coco-eval", "pydantic",
)  # fmt: skip


def save_environment(folder: Path) -> None:
    """Write `environment.json` into the folder of a run."""
    write_json(folder / ENVIRONMENT, environment())


def environment() -> dict[str, Any]:
    """Return versions, backend, devices, command, and the state of the git repository."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": dict(sorted(_versions())),
        "backend": keras.backend.backend(),
        "devices": _devices(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "git": repository_state(Path.cwd()),
    }


def versions_in_use() -> dict[str, str]:
    """Return the versions that must be equal in all processes of a run, by name."""
    backend = keras.backend.backend()
    listed = {"python": platform.python_version(), "backend": backend} | dict(_versions())
    others = {"tensorflow", "tensorflow-cpu", "jax", "jaxlib", "torch"} - {
        name for name in listed if name.startswith(backend)
    }
    return {name: version for name, version in listed.items() if name not in others}


def _versions() -> list[tuple[str, str]]:
    versions = []
    for name in _PACKAGES:
        try:
            versions.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return versions


def _devices() -> list[str]:
    try:
        return [str(device) for device in keras.distribution.list_devices()]
    except (NotImplementedError, RuntimeError, ValueError, AttributeError):
        return []
