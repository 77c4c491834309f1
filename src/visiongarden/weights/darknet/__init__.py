"""Darknet in and out: cfg and weights files."""

from visiongarden.weights.darknet.cfg import Cfg, parse_cfg
from visiongarden.weights.darknet.convert import export_darknet, import_darknet, import_files
from visiongarden.weights.darknet.model import DarknetModel
from visiongarden.weights.darknet.nms import DarknetNms
from visiongarden.weights.darknet.section import Section

__all__ = [
    "Cfg",
    "DarknetModel",
    "DarknetNms",
    "Section",
    "export_darknet",
    "import_darknet",
    "import_files",
    "parse_cfg",
]
