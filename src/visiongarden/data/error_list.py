"""Errors in a dataset, collected so that one report contains all of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from visiongarden.errors import DataError, UserError, option
from visiongarden.types import ImageSize

_SHOWN, _FIXES = 10, 3
DIGITS = 1e-3
"""Pixels by which a box may exceed the border because coordinates were written with few digits."""
TOLERANCE = 1.0
"""Pixels by which a box may exceed the image's border; it is clipped to the image."""


@dataclass(frozen=True)
class Finding:
    """One issue of a dataset.

    Attributes:
        level: "error" (training is refused), "warning" (probably a mistake) or "note".
        kind: Short name of the category, such as "outside" or "duplicate-image".
        where: File, with the line or the number of the record.
        what: Description in one sentence.
        split: Split that contains the issue; "" if it concerns none in particular.
        fix: What to do about it; "" if the description is enough.
    """

    level: str
    kind: str
    where: str
    what: str
    split: str = ""
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what

    @classmethod
    def of_error(cls, error: DataError, kind: str, split: str = "") -> Finding:
        """Return the finding of an error that was raised; its message contains the file name."""
        received = f" ({error.received})" if error.received else ""
        return cls("error", kind, "", error.what + received, split, error.fix or "")


class ErrorList:
    """Collector of the errors of a dataset and of statistics of its labels.

    Args:
        root: Root of the dataset.
        invalid_boxes: "error", or "drop" to remove invalid boxes and list them in `dropped`.
        repair: Whether to clip boxes that are partly outside the image, remove other invalid boxes,
            and list both in `dropped`.
        shift: Number that is subtracted from class ids as they are read.

    Raises:
        UserError: `invalid_boxes` is neither "error" nor "drop".
    """

    def __init__(
        self, root: Any, invalid_boxes: str = "error", repair: bool = False, shift: int = 0
    ) -> None:
        if invalid_boxes not in ("error", "drop"):
            raise UserError(f"invalid_boxes is {invalid_boxes!r}", rule='"error" or "drop"')
        self.includes: Callable[[Any], bool] = lambda path: True
        """Return whether an image belongs to the split that is read."""
        self.root, self.drop, self.repair = root, invalid_boxes == "drop" or repair, repair
        self.shift = shift
        self.found: list[Finding] = []
        self.dropped: list[str] = []
        self.ids: Counter[object] = Counter()
        """Number of objects per class id or name, including ids that are not in the class map."""
        self.known: frozenset[int] | None = None
        """Valid ids of the labels; None if they are the ids of the class map."""
        self.corner_like = 0
        """Boxes (left, top, width, height) that are inside their image only if read as corners."""
        self.trimmed = 0
        """Boxes among `one_pixel` that exceeded the border by more than `DIGITS`."""
        self.emptied: set[str] = set()
        """Images that have labels, but no valid box."""
        self.one_pixel = 0
        """Boxes that exceeded the border by at most one pixel and were clipped."""
        self.unused: Counter[str] = Counter()
        """Number of objects per kind of label that is not read."""
        self.keypoints = 0
        """Number of objects with labeled keypoints."""
        self.polygons = self.pose_like = 0
        """Number of polygons, and of those that are more plausible as box and keypoints of a pose
        label."""
        self.unlabeled: list[str] = []
        """Images without a label file, in formats that have one file per image."""
        self.notes: list[Finding] = []
        """Labels that are not used, or are used in a way that may be unexpected."""
        self.searched = ""
        """Folders that were searched for label files, and the result, if no image has labels."""
        self.noted: list[Finding] = []
        """What a reader noted; `notes` contains it after the split has been read."""

    def add(self, where: str | Any, what: str, kind: str = "label") -> None:
        """Add an error: the file (and line), and the description of the error."""
        self.found.append(Finding("error", kind, str(where), what))

    def note(self, where: str | Any, what: str, kind: str = "reader") -> None:
        """Add a note: labels that are not used, or are used in a way that may be unexpected."""
        self.noted.append(Finding("note", kind, str(where), what))

    def add_error(self, error: DataError, kind: str = "file") -> None:
        """Add an error that another function raised; its message contains the file name."""
        self.found.append(Finding.of_error(error, kind))

    def box(self, where: str, box: Sequence[float], size: ImageSize) -> list[float] | None:
        """Return the box clipped to the image; None if it is invalid.

        An invalid box is added to the errors, or to `dropped` if invalid boxes are removed.

        Args:
            where: File and line of the box.
            box: xyxy, pixels.
            size: (height, width) of the image.
        """
        wrong = wrong_with(box, size)
        height, width = size
        limits = (width, height, width, height)
        inside = [min(max(v, 0.0), float(limit)) for v, limit in zip(box, limits, strict=True)]
        if wrong is None:
            self.one_pixel += inside != list(box)
            off = max(abs(a - b) for a, b in zip(inside, box, strict=True))
            self.trimmed += off > DIGITS
            return inside
        kind, reason = wrong
        if self.repair and kind == "outside" and wrong_with(inside, size) is None:
            self.dropped.append(f"{where}: {reason}; clipped to the image")
            return inside
        if self.drop:
            self.dropped.append(f"{where}: {reason}")
        else:
            self.found.append(Finding("error", kind, where, reason))
        return None

    def rotated_box(self, where: str, box: Sequence[float], size: ImageSize) -> bool:
        """Return whether a rotated box is valid; otherwise it is added to errors or `dropped`.

        A rotated box may reach beyond the image, if its center is inside: its angle and sides
        would be lost if it were clipped.

        Args:
            where: File and line of the box.
            box: center x, center y, width, height in pixels, angle in degrees.
            size: (height, width) of the image.
        """
        wrong = wrong_rotated_box(box, size)
        if wrong is None:
            return True
        kind, reason = wrong
        if self.drop:
            self.dropped.append(f"{where}: {reason}")
        else:
            self.found.append(Finding("error", kind, where, reason))
        return False

    def without_area(self, where: str, reason: str) -> None:
        """Add an object without area to the errors, or to `dropped` if these are removed."""
        if self.drop:
            self.dropped.append(f"{where}: {reason}")
        else:
            self.add(where, reason, "degenerate")

    def left_off(self, where: str, reason: str, kind: str = "polygon") -> None:
        """Add an error about a part of an object, such as its polygons; its box is still used.

        With `repair` it is listed in `dropped` instead.
        """
        if self.repair:
            self.dropped.append(f"{where}: {reason}; removed, the box is kept")
        else:
            self.add(where, reason, kind)

    def shifted(self, class_id: Any) -> Any:
        """Return a class id minus `shift`; a value that is not an integer is returned unchanged."""
        number = isinstance(class_id, int) and not isinstance(class_id, bool)
        return class_id - self.shift if number else class_id

    def raise_if_any(self) -> None:
        """Raise one `DataError` that lists all errors, if there are any."""
        refuse(self.root, self.found)


BOX_KINDS = ("outside", "degenerate", "not-finite")
"""Categories of errors that `invalid_boxes="drop"` removes."""


def refuse(root: Any, found: Sequence[Finding]) -> None:
    """Raise one `DataError` that lists the findings, if there are any."""
    if not found:
        return
    shown = "\n    ".join(str(finding) for finding in found[:_SHOWN])
    rest = len(found) - _SHOWN
    fixes = fixes_of(found)
    if all(finding.kind in BOX_KINDS for finding in found):
        fix = f"correct the files, or drop these boxes: {option('invalid_boxes', 'drop')}"
    elif len(fixes) == 1:
        (fix,) = fixes
    else:
        fix = f"correct the files; visiongarden data check {root} lists and shows all errors"
    more = f"\n    … and {rest} more" if rest > 0 else ""
    raise DataError(
        f"{root} has {len(found)} error{'s' * (len(found) > 1)}:\n    {shown}{more}",
        rule="a dataset is read completely or not at all",
        fix=fix,
    )


def fixes_of(found: Sequence[Finding]) -> list[str]:
    """Return the first three different fixes of findings."""
    return list(dict.fromkeys(finding.fix for finding in found if finding.fix))[:_FIXES]


def wrong_with(box: Sequence[float], size: ImageSize) -> tuple[str, str] | None:
    """Return why a box is invalid, as (category, reason); None if it is valid.

    Args:
        box: xyxy, pixels.
        size: (height, width) of the image.

    Example:
        >>> wrong_with((10, 10, 10, 40), size=(100, 200))
        ('degenerate', 'box (10, 10, 10, 40) has no area')
    """
    text = ", ".join(f"{v:g}" for v in box)
    if not all(map(math.isfinite, box)):
        return "not-finite", f"box ({text}) is not finite"
    x1, y1, x2, y2 = box
    height, width = size
    if min(x1, y1) < -TOLERANCE or x2 > width + TOLERANCE or y2 > height + TOLERANCE:
        return "outside", f"box ({text}) is outside the image of {width} × {height} pixels"
    if min(x2, width) <= max(x1, 0) or min(y2, height) <= max(y1, 0):
        return "degenerate", f"box ({text}) has no area"
    return None


def wrong_rotated_box(box: Sequence[float], size: ImageSize) -> tuple[str, str] | None:
    """Return why a rotated box is invalid, as (category, reason); None if it is valid.

    Args:
        box: center x, center y, width, height in pixels, angle in degrees.
        size: (height, width) of the image.
    """
    text = ", ".join(f"{v:g}" for v in box)
    if not all(map(math.isfinite, box)):
        return "not-finite", f"rotated box ({text}) is not finite"
    x, y, w, h = box[:4]
    height, width = size
    if w <= 0 or h <= 0:
        return "degenerate", f"rotated box ({text}) has no area"
    if not (0 <= x <= width and 0 <= y <= height):
        outside = f"has its center outside the image of {width} × {height} pixels"
        return "outside", f"rotated box ({text}) {outside}"
    return None


def wrong_size(given: Sequence[object], size: ImageSize) -> str:
    """Describe a (height, width) in an annotation that differs from the image's size."""
    text = (
        f"the annotated size is {given[1]} × {given[0]} pixels, the image has {size[1]} × {size[0]}"
    )
    if tuple(given) == (size[1], size[0]):
        text += "; width and height are swapped: was it labeled without the image's EXIF rotation?"
    return text


def all_valid(boxes: np.ndarray, size: ImageSize) -> bool:
    """Return whether all boxes (n, 4) are inside the image and have an area, without clipping."""
    if not len(boxes):
        return True
    low, high = boxes[:, :2], boxes[:, 2:]
    # NaN is rejected as well, because every comparison with it is False.
    return bool((low >= 0).all() and (high <= (size[1], size[0])).all() and (high > low).all())
