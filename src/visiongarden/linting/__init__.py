"""`lint`: faults of layers and parts that stand in their source, found without running it."""

from visiongarden.linting.fault import Fault
from visiongarden.linting.source import lint

__all__ = ["Fault", "lint"]
