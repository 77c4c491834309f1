"""Search for repeated sub-structures of a model, and generation of blocks from them."""

from visiongarden.repetition.report import Place, Repeat, Repeats, repeats, repeats_of
from visiongarden.repetition.writing import write

__all__ = ["Place", "Repeat", "Repeats", "repeats", "repeats_of", "write"]
