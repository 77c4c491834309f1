"""Value ranges of the fields of parts.

The ranges are wider than any published model, and narrow enough that a file from an untrusted
source cannot request a graph of unlimited size.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

Multiplier = Annotated[float, Field(gt=0, le=20)]
"""Width or depth as a multiple of the paper's."""

Channels = Annotated[int, Field(gt=0, le=65_536)]
"""Number of feature channels."""

HalvedChannels = Annotated[int, Field(ge=8, le=65_536, multiple_of=2)]
"""Number of channels of a block that splits them in halves, twice."""

Repeats = Annotated[int, Field(ge=0, le=64)]
"""Number of units inside a block."""

Classes = Annotated[int, Field(gt=0, le=100_000)]
"""Number of classes, without background."""

Prior = Literal["auto"] | Annotated[float, Field(gt=0, lt=1)]
"""Probability that an untrained head predicts; "auto" derives it from classes and cells."""

Groups = Annotated[int, Field(gt=0, le=1024)]
"""Number of groups of a grouped convolution."""

Bins = Annotated[int, Field(gt=1, le=256)]
"""Number of values of a discrete distribution."""
