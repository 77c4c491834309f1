"""Sub-structures of a model that repeat, and the blocks that they would make."""

from visiongarden.repetition.report import Place, Repeat, Repeats, repeats, repeats_of
from visiongarden.repetition.write import write

__all__ = ["Place", "Repeat", "Repeats", "repeats", "repeats_of", "write"]
