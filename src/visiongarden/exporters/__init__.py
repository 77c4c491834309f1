"""Export to ONNX with a parity check between the exported file and the model."""

from visiongarden.exporters.limits import UnsupportedOperationError
from visiongarden.exporters.onnx import export_file, to_onnx
from visiongarden.exporters.parity import Agreement, agreement

__all__ = ["Agreement", "UnsupportedOperationError", "agreement", "export_file", "to_onnx"]
