"""Models: thin wrappers that join parts; `load` reopens what they save."""

# Own parts are registered by being imported: a file may name any of them.
from visiongarden import backbones, decoders, heads  # noqa: F401
from visiongarden.models.detector import Detector, Parts
from visiongarden.models.files import load

__all__ = ["Detector", "Parts", "load"]
