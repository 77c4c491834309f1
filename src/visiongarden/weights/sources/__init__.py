"""Where weights come from: each file here opens one kind of source and reads no value yet."""

from visiongarden.weights.sources.open import open_source
from visiongarden.weights.sources.stored import Source, Stored

__all__ = ["Source", "Stored", "open_source"]
