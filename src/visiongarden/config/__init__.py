"""Values, dicts and YAML: the same thing in three spellings. Knows no model."""

from visiongarden.config.value import Typed, Value

__all__ = ["Typed", "Value"]
