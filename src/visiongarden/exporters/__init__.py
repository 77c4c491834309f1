"""Export with a parity check between the exported file and the model, and use of the files."""

from visiongarden.exporters.convert import with_decoding
from visiongarden.exporters.exported import ExportedModel
from visiongarden.exporters.exporter import Exporter, exporter_for, load
from visiongarden.exporters.exporting import ExportResult, export
from visiongarden.exporters.limits import UnsupportedOperationError
from visiongarden.exporters.onnx import ONNX
from visiongarden.exporters.parity import Parity, compare
from visiongarden.exporters.signature import Signature

__all__ = [
    "ONNX",
    "ExportResult",
    "ExportedModel",
    "Exporter",
    "Parity",
    "Signature",
    "UnsupportedOperationError",
    "compare",
    "export",
    "exporter_for",
    "load",
    "with_decoding",
]
