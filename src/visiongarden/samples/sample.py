"""`Sample`: one image and everything annotated on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from visiongarden.errors import UserError
from visiongarden.samples import columns, matrices
from visiongarden.samples.field import Field
from visiongarden.samples.instances import Instances
from visiongarden.types import ImageSize

_IDENTITY = columns.read_only(np.eye(3))


@dataclass(frozen=True, slots=True, eq=False)
class ImageInfo:
    """Origin of an image and its placement on the current canvas; immutable.

    Attributes:
        id: id of the image in its dataset, by which metrics match results to ground truth.
        source: location that the image was read from: a path, a member of an archive, or a record;
            None for pixels in memory.
        original_size: (height, width) of the image as stored, in pixels.
        placement: (3, 3), from pixels of the original to pixels of the current image.
        unknown: JSON text of keys of the annotation file that visiongarden does not use, of the
            image and of each of its objects; `visiongarden.samples.unknown_keys` reads it. Writers
            pass these keys on; a transform drops them, because they may contain coordinates.

    Example:
        >>> info = ImageInfo(7, "cat.jpg", (80, 100)).moved(np.diag((2.0, 2.0, 1.0)))
        >>> info.placement.tolist()
        [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0]]
    """

    id: int | str
    source: Any
    original_size: ImageSize
    placement: np.ndarray = field(default_factory=lambda: _IDENTITY)
    unknown: str | None = None

    def __post_init__(self) -> None:
        if len(self.original_size) != 2:
            raise UserError(
                f"the size of the image {self.id!r} is not valid",
                rule="(height, width) in pixels",
                received=f"{tuple(self.original_size)!r:.80}",
                fix="image.shape[:2]",
            )

    def moved(self, matrix: np.ndarray) -> Self:
        """Return the same image after a further transform, without `unknown`.

        Args:
            matrix: (3, 3), from pixels of the current image to pixels of the next.

        Raises:
            UserError: the matrix is not valid.
        """
        placement = columns.read_only(matrices.checked_matrix(matrix) @ self.placement)
        return type(self)(self.id, self.source, self.original_size, placement)


@dataclass(slots=True, repr=False)
class Sample:
    """One image and everything annotated on it, before, between and after transforms.

    Attributes:
        info: origin and placement of the image.
        image: (height, width, channels) uint8, uint16 or float32, values as stored; None: not
            decoded.
        instances: objects of the image.
        semantic: class ids (height, width); 255 is ignored.
        labels: float32 (k,) of the whole image: one-hot, soft or multi-hot classes, or regression
            values; NaN is unknown.
        known_classes: bool (classes,), whether objects of a class are annotated; None: all are.
        extra: further annotations of a custom task; an array (height, width, ...) is warped like
            the image.
    """

    info: ImageInfo
    image: np.ndarray | None = None
    instances: Instances = field(default_factory=Instances.empty)
    semantic: np.ndarray | None = None
    labels: np.ndarray | None = None
    known_classes: np.ndarray | None = None
    extra: dict[str, Field | np.ndarray] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return what the sample contains, without its pixels."""
        parts = [f"id {self.info.id!r}"]
        if self.info.source is not None:
            parts.append(f"{str(self.info.source)!r}")
        arrays = {
            "image": self.image,
            "semantic": self.semantic,
            "labels": self.labels,
            "known_classes": self.known_classes,
        }
        for name, array in arrays.items():
            if array is not None:
                parts.append(f"{name} {array.dtype} {' × '.join(map(str, array.shape))}")
        if len(self.instances):
            parts.append(repr(self.instances))
        parts += self.extra
        return f"Sample({', '.join(parts)})"
