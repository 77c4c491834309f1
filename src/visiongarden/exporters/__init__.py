"""Export to ONNX with a parity check between the exported file and the model."""

from visiongarden.exporters.limits import UnsupportedOperationError
from visiongarden.exporters.onnx import FORMATS, ExportResult, export
from visiongarden.exporters.parity import Parity, compare

__all__ = ["FORMATS", "ExportResult", "Parity", "UnsupportedOperationError", "compare", "export"]
