"""Weight transfer: `transfer` copies weights by path, never by position, and returns a report."""

from visiongarden.weights.library import published, read_rules
from visiongarden.weights.proof import Compared, Proof
from visiongarden.weights.rename import parse_renames
from visiongarden.weights.report import Mismatch, Moved, TransferReport, Weight
from visiongarden.weights.rules import Change, Rules
from visiongarden.weights.transferring import transfer

__all__ = [
    "Change",
    "Compared",
    "Mismatch",
    "Moved",
    "Proof",
    "Rules",
    "TransferReport",
    "Weight",
    "parse_renames",
    "published",
    "read_rules",
    "transfer",
]
