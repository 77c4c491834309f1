"""`Match`: what raw predictions that were fitted to a target decode to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Match:
    """Comparison of one image's target with the decoded result.

    Attributes:
        learned: Whether the highest score is high enough to count as a detection; if not, there is
            nothing to compare. Always True for tasks whose results are no detections.
        correct: Whether the result matches the target.
        expected: Description of the target for messages.
        got: Description of the result for messages.
        advice: What loss and decoding must agree on, beyond the meaning of each value.
    """

    learned: bool
    correct: bool
    expected: str
    got: str
    advice: str = ""
