"""Which labelling a format has."""

from __future__ import annotations

from visiongarden.data.doctor.boxes import Boxes
from visiongarden.data.doctor.classes import Classes
from visiongarden.data.doctor.labelling import Labelling
from visiongarden.data.doctor.masks import Masks


def labelling_of(format: str) -> type[Labelling]:
    """What the doctor knows of a format's labels; those of all others are boxes."""
    return {"folders": Classes, "masks": Masks}.get(format, Boxes)
