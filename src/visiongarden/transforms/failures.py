"""Turn what goes wrong inside a custom transform into one error that names the transform."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from visiongarden.errors import UserError, raised_at
from visiongarden.samples import Sample
from visiongarden.transforms.transform import Transform


@contextmanager
def named(transform: Transform, method: str, sample: Sample) -> Iterator[None]:
    """Name the transform, the image and the line in an exception that a custom class raises.

    Exceptions of visiongarden's own transforms, and each `UserError`, pass.

    Raises:
        UserError: the code inside changes its sample in place, or raised another exception.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        kind = type(transform)
        # NumPy writes "read-only", OpenCV "readonly".
        if "read-only" in str(error) or "readonly" in str(error):
            raise UserError(
                f"{kind.__name__} changes an array of its sample in place",
                rule="a new array, because decoded images are used again",
                fix="image = sample.image.copy()",
            ) from error
        if kind.__module__.startswith("visiongarden."):
            raise
        text = " ".join(str(error).split())
        raise UserError(
            f"{kind.__name__}.{method} failed on image {sample.info.id!r}",
            rule=f"`{method}` takes every image; vg.check({kind.__name__}(...)) tries some",
            received=f"{type(error).__name__}: {text:.200} ({raised_at(error, kind)})",
            fix=f"correct {kind.__module__}.{kind.__qualname__}.{method}",
        ) from error


def check_pixel_type(transform: Transform, before: np.ndarray, after: np.ndarray | None) -> None:
    """Check that a transform keeps dtype and number of channels.

    Raises:
        UserError: it does not.
    """
    fix = "return dataclasses.replace(sample, image=image)"
    received = type(after).__name__
    if isinstance(after, np.ndarray):
        received = f"{after.dtype} of shape {after.shape}"
        if after.ndim == 3 and after.dtype == before.dtype and after.shape[2] == before.shape[2]:
            return
    if isinstance(after, np.ndarray) and after.shape[2:] == before.shape[2:]:
        fix = f"image = np.clip(image, 0, {_highest(before)}).astype(sample.image.dtype)"
        if before.dtype.kind == "f":
            fix = "image = image.astype(sample.image.dtype)"
    elif isinstance(after, np.ndarray) and after.shape[2:] in ((), (1,)):
        fix = f"image = np.repeat(image.reshape(*image.shape[:2], 1), {before.shape[2]}, axis=2)"
    raise UserError(
        f"{type(transform).__name__}.apply changes the type of the image",
        rule=f"{before.dtype} with {before.shape[2]} channel{'s' * (before.shape[2] > 1)}, "
        "as it was",
        received=received,
        fix=fix,
    )


def _highest(image: np.ndarray) -> int:
    return int(np.iinfo(image.dtype).max) if image.dtype.kind in "iu" else 0
