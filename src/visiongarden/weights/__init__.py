"""Weight transfer: `transfer` copies weights by path, never by position, and returns a report."""

from visiongarden.weights.rename import rules
from visiongarden.weights.report import Mismatch, Moved, TransferReport, Weight
from visiongarden.weights.transferring import transfer

__all__ = ["Mismatch", "Moved", "TransferReport", "Weight", "rules", "transfer"]
