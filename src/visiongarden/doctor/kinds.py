"""Map formats to their type of labels."""

from __future__ import annotations

from visiongarden.doctor.boxes import Boxes
from visiongarden.doctor.classes import Classes
from visiongarden.doctor.labeling import Labeling
from visiongarden.doctor.masks import Masks


def labeling_of(format: str) -> type[Labeling]:
    """Return the `Labeling` of a format: class folders, mask folders, or boxes for all others."""
    return {"folders": Classes, "masks": Masks}.get(format, Boxes)
