"""Sources of weights: one module per file format. Opening a source reads no values."""

from visiongarden.weights.sources.open import open_source
from visiongarden.weights.sources.stored import Source, Stored

__all__ = ["Source", "Stored", "open_source"]
