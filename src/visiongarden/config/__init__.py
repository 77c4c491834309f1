"""Values, dicts and YAML: the same thing in three spellings. Knows no model."""

from visiongarden.config.overrides import apply_overrides
from visiongarden.config.value import Typed, Value
from visiongarden.config.yaml import dump_yaml, load_yaml, save_yaml

__all__ = ["Typed", "Value", "apply_overrides", "dump_yaml", "load_yaml", "save_yaml"]
