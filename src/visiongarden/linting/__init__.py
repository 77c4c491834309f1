"""`lint`: static analysis of layers and parts, without running their code."""

from visiongarden.linting.fault import Fault
from visiongarden.linting.source import lint

__all__ = ["Fault", "lint"]
