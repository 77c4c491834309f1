"""Import and export of Darknet networks: cfg and weights files."""

from visiongarden.darknet.cfg import Cfg, parse_cfg
from visiongarden.darknet.convert import export_darknet, import_darknet, import_files
from visiongarden.darknet.model import DarknetModel
from visiongarden.darknet.nms import DarknetNms
from visiongarden.darknet.resize import DarknetResize
from visiongarden.darknet.section import Section

__all__ = [
    "Cfg",
    "DarknetModel",
    "DarknetNms",
    "DarknetResize",
    "Section",
    "export_darknet",
    "import_darknet",
    "import_files",
    "parse_cfg",
]
