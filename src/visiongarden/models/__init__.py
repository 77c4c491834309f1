"""Models: thin wrappers that connect parts, and `load`, which opens the files they save."""

# Importing these packages registers visiongarden's own parts, any of which a model file may name.
from visiongarden import backbones, decoders, heads  # noqa: F401
from visiongarden.models.argument import as_model
from visiongarden.models.classifier import Classifier
from visiongarden.models.detector import Detector
from visiongarden.models.files import load
from visiongarden.models.joined import Joined, Parts
from visiongarden.models.multi_head import MultiHead
from visiongarden.models.segmenter import Segmenter

__all__ = [
    "Classifier",
    "Detector",
    "Joined",
    "MultiHead",
    "Parts",
    "Segmenter",
    "as_model",
    "load",
]
