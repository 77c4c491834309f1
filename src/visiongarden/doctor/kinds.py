"""Which labelling a format has."""

from __future__ import annotations

from visiongarden.doctor.boxes import Boxes
from visiongarden.doctor.classes import Classes
from visiongarden.doctor.labelling import Labelling
from visiongarden.doctor.masks import Masks


def labelling_of(format: str) -> type[Labelling]:
    """What the doctor knows of a format's labels; those of all others are boxes."""
    return {"folders": Classes, "masks": Masks}.get(format, Boxes)
