"""Models: thin wrappers that join parts; `load` reopens what they save."""

# Own parts are registered by being imported: a file may name any of them.
from visiongarden import backbones, decoders, heads  # noqa: F401
from visiongarden.models.classifier import Classifier
from visiongarden.models.detector import Detector
from visiongarden.models.files import load
from visiongarden.models.joined import Joined, Parts
from visiongarden.models.segmenter import Segmenter

__all__ = ["Classifier", "Detector", "Joined", "Parts", "Segmenter", "load"]
