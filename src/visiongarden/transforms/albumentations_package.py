"""Import the user's albumentations 2.0, and put its transforms into a pipeline of their own."""

from __future__ import annotations

import copy
import importlib
import os
import warnings
from importlib import metadata
from typing import Any

from visiongarden.errors import UserError

_VERSION = "2.0"
_INSTALL = "pip install albumentations==2.0.8"
_SMALLEST_SIDE = 1e-3
"""In pixels. With 0, albumentations keeps boxes outside the image, and then refuses them."""


def package() -> Any:
    """Return the module `albumentations` of the distribution of that name.

    Raises:
        UserError: it is not installed, has another version, or the module is that of the
            distribution `albumentationsx`.
    """
    if _version("albumentationsx") is not None:
        raise UserError(
            "albumentationsx is installed, which replaces the module albumentations",
            rule="albumentations 2.0.8, whose license is MIT; that of albumentationsx is AGPL-3.0, "
            "which would apply to what is built with it",
            received=f"albumentationsx {_version('albumentationsx')}",
            fix=f"pip uninstall albumentationsx && {_INSTALL}",
        )
    version = _version("albumentations")
    if version is None:
        raise UserError(
            "albumentations is not installed, which the transform Albumentations needs",
            rule="albumentations 2.0.8",
            fix=_INSTALL,
        )
    if not version.startswith(f"{_VERSION}."):
        raise UserError(
            f"albumentations {version} is not supported",
            rule="albumentations 2.0.8",
            received=version,
            fix=_INSTALL,
        )
    # When it is imported, it asks a server for newer versions unless this is set.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    try:
        return importlib.import_module("albumentations")
    except Exception as error:
        raise UserError(
            f"albumentations cannot be imported: {type(error).__name__}: {error}",
            rule="albumentations 2.0.8",
            fix=_INSTALL,
        ) from error


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def is_object(value: Any) -> bool:
    """Return whether a value is an object of a class that derives from albumentations."""
    modules = {cls.__module__.partition(".")[0] for cls in type(value).__mro__}
    return "albumentations" in modules and callable(value)


def from_config(config: dict[str, Any]) -> Any:
    """Return the object that a config describes, as its `to_dict()` returns it.

    Raises:
        UserError: albumentations cannot build it.
    """
    module = package()
    try:
        return module.from_dict(copy.deepcopy(config))
    except Exception as error:
        raise UserError(
            f"albumentations cannot build the transform: {type(error).__name__}: {error}",
            rule="the config that to_dict() of an albumentations object returns",
            received=f"{config!r:.100}",
            fix="A.Compose([A.HorizontalFlip()]).to_dict()",
        ) from error


def composed(value: Any) -> Any:
    """Return a pipeline that applies a copy of an object and does not filter boxes.

    The parameters for boxes and keypoints of the object itself have no effect.
    """
    module = package()
    value = copy.deepcopy(value)
    if isinstance(value, module.Compose):
        value = module.Sequential(list(value.transforms), p=value.p)
    boxes = module.BboxParams(
        format="pascal_voc",
        label_fields=["rows"],
        min_area=0.0,
        min_visibility=0.0,
        min_width=_SMALLEST_SIDE,
        min_height=_SMALLEST_SIDE,
        check_each_transform=False,
        clip=False,
    )
    # Some transforms remove points all the same, so each has its index as a label.
    points = module.KeypointParams(
        format="xy", label_fields=["points"], remove_invisible=False, check_each_transform=False
    )
    with warnings.catch_warnings():
        # Of a transform of pixels alone: that it does not use the processors of boxes.
        warnings.filterwarnings("ignore", "Got processor for", UserWarning)
        return module.Compose([value], bbox_params=boxes, keypoint_params=points)
