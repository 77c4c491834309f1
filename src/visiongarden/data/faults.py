"""Faults of a data set: collected, so that one report names them all."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from visiongarden.errors import DataError, UserError, option
from visiongarden.types import ImageSize

_SHOWN = 10
DIGITS = 1e-3
"""Pixels that a box may stand over the border because its shares have too few digits."""
TOLERANCE = 1.0
"""Pixels by which a box may stand over the image's border; it is cut there."""


@dataclass(frozen=True)
class Finding:
    """One thing about a data set.

    Attributes:
        level: "error" (training refuses), "warning" (likely a mistake) or "note".
        kind: short name of what it is, as "outside" or "duplicate-image".
        where: file, and line or number in it.
        what: one sentence.
        split: in which it was found; "" where that means nothing.
    """

    level: str
    kind: str
    where: str
    what: str
    split: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class Faults:
    """Collects what is wrong with a data set.

    Args:
        root: of the data set.
        invalid_boxes: "error", or "drop" to leave out boxes that cannot be, and list them.
        mend: cut boxes at the border, leave out those of which nothing is left, and list both.
        shift: what class ids are too high by; it is taken off as they are read.
    """

    def __init__(
        self, root: Any, invalid_boxes: str = "error", mend: bool = False, shift: int = 0
    ) -> None:
        if invalid_boxes not in ("error", "drop"):
            raise UserError(
                f"unknown choice {invalid_boxes!r} for invalid boxes", rule='"error" or "drop"'
            )
        self.includes: Callable[[Any], bool] = lambda path: True
        """Whether an image belongs to the part of a set that is read."""
        self.root, self.drop, self.mend = root, invalid_boxes == "drop" or mend, mend
        self.shift = shift
        self.found: list[Finding] = []
        self.dropped: list[str] = []
        self.ids: Counter[object] = Counter()
        """How often the files name each class, known or not."""
        self.known: frozenset[int] | None = None
        """The ids that the labels may use, where they are not those of the class map."""
        self.corner_like = 0
        """Boxes (left, top, width, height) that fit their image as corners, and only so."""
        self.trimmed = 0
        """Those of them that are not over it by rounded digits alone."""
        self.emptied: set[str] = set()
        """Images that have labels, none of which is kept."""
        self.one_pixel = 0
        """Boxes that stood over the border by less than a pixel, and were cut."""
        self.unused: Counter[str] = Counter()
        """What labels hold that no task uses yet, as "keypoints of pose labels": objects."""
        self.polygons = self.four_points = self.pose_like = 0
        """Polygons; those of four points; those that read better as the box and keypoints of a
        pose label."""
        self.unlabeled: list[str] = []
        """Images without a label file, in formats with one for each image."""
        self.notes: list[Finding] = []
        """What is not used of the labels, or used in a way that may surprise."""
        self.searched = ""
        """Where labels were looked for and what was found there, if no image has any."""

    def add(self, where: str | Any, what: str, kind: str = "label") -> None:
        """One fault: file (and line), and what is wrong there."""
        self.found.append(Finding("error", kind, str(where), what))

    def add_error(self, error: DataError, kind: str = "file") -> None:
        """A fault that another function found; its message names the file."""
        received = f" ({error.received})" if error.received else ""
        self.found.append(Finding("error", kind, "", error.what + received))

    def box(self, where: str, box: Sequence[float], size: ImageSize) -> list[float] | None:
        """The box cut at the border; None, with a fault, where it cannot be a box."""
        wrong = wrong_with(box, size)
        height, width = size
        limits = (width, height, width, height)
        inside = [min(max(v, 0.0), float(most)) for v, most in zip(box, limits, strict=True)]
        if wrong is None:
            self.one_pixel += inside != list(box)
            off = max(abs(a - b) for a, b in zip(inside, box, strict=True))
            self.trimmed += off > DIGITS
            return inside
        kind, reason = wrong
        if self.mend and kind == "outside" and wrong_with(inside, size) is None:
            self.dropped.append(f"{where}: {reason}; cut at the border")
            return inside
        if self.drop:
            self.dropped.append(f"{where}: {reason}")
        else:
            self.found.append(Finding("error", kind, where, reason))
        return None

    def left_off(self, where: str, reason: str, kind: str = "outline") -> None:
        """Something about an object that cannot be used; its box can, and is kept."""
        if self.mend:
            self.dropped.append(f"{where}: {reason}; left out, the box is kept")
        else:
            self.add(where, reason, kind)

    def shifted(self, class_id: Any) -> Any:
        """A class id as it was meant; what is no number stays as it is."""
        number = isinstance(class_id, int) and not isinstance(class_id, bool)
        return class_id - self.shift if number else class_id

    def raise_if_any(self) -> None:
        """Raises one report of all faults."""
        refuse(self.root, self.found)


BOX_KINDS = ("outside", "degenerate", "not-finite")
"""Kinds of faults that `invalid_boxes="drop"` leaves out."""


def refuse(root: Any, found: Sequence[Finding]) -> None:
    """Raises one report of findings, where there are any."""
    if not found:
        return
    shown = "\n    ".join(str(finding) for finding in found[:_SHOWN])
    rest = len(found) - _SHOWN
    more = f"\n    … and {rest} more" if rest > 0 else ""
    raise DataError(
        f"{root} has {len(found)} fault{'s' * (len(found) > 1)}:\n    {shown}{more}",
        rule="nothing is dropped in silence: a data set is read whole, or not at all",
        fix=f"correct the files, or leave these boxes out: {option('invalid_boxes', 'drop')}"
        if all(finding.kind in BOX_KINDS for finding in found)
        else f"correct the files; visiongarden data check {root} lists and shows them all",
    )


def wrong_with(box: Sequence[float], size: ImageSize) -> tuple[str, str] | None:
    """Why xyxy pixels can be no box on an image of (height, width): kind and reason, or None."""
    text = ", ".join(f"{v:g}" for v in box)
    if not all(map(math.isfinite, box)):
        return "not-finite", f"box ({text}) is not finite"
    x1, y1, x2, y2 = box
    height, width = size
    if min(x1, y1) < -TOLERANCE or x2 > width + TOLERANCE or y2 > height + TOLERANCE:
        return "outside", f"box ({text}) lies outside the image of {width} × {height} pixels"
    if min(x2, width) <= max(x1, 0) or min(y2, height) <= max(y1, 0):
        return "degenerate", f"box ({text}) has no area"
    return None


def wrong_size(said: Sequence[object], size: ImageSize) -> str:
    """What to say of a (height, width) in an annotation that the image does not have."""
    text = f"the size is given as {said[1]} × {said[0]} pixels, the image has {size[1]} × {size[0]}"
    if tuple(said) == (size[1], size[0]):
        text += "; the sides are swapped: labelled without the image's EXIF rotation?"
    return text


def all_sound(boxes: np.ndarray, size: ImageSize) -> bool:
    """Whether boxes (n, 4) all lie inside the image and have an area, without a cut."""
    if not len(boxes):
        return True
    low, high = boxes[:, :2], boxes[:, 2:]
    # A comparison with NaN is False.
    return bool((low >= 0).all() and (high <= (size[1], size[0])).all() and (high > low).all())
