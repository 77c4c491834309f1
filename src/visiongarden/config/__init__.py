"""Define typed values and convert them to and from dicts and YAML.

The package knows nothing about models and imports no backend.
"""

from visiongarden.config.files import reading_files, writing_files
from visiongarden.config.keras_object import (
    KerasCallback,
    KerasInitializer,
    KerasMetric,
    KerasObject,
    KerasOptimizer,
    KerasSchedule,
)
from visiongarden.config.named import Named, place
from visiongarden.config.overrides import apply_overrides
from visiongarden.config.unknown import Unknown
from visiongarden.config.value import Concise, Typed, Value
from visiongarden.config.yaml import dump_yaml, load_yaml, save_yaml

__all__ = [
    "Concise",
    "KerasCallback",
    "KerasInitializer",
    "KerasMetric",
    "KerasObject",
    "KerasOptimizer",
    "KerasSchedule",
    "Named",
    "Typed",
    "Unknown",
    "Value",
    "apply_overrides",
    "dump_yaml",
    "load_yaml",
    "place",
    "reading_files",
    "save_yaml",
    "writing_files",
]
