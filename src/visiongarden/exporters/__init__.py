"""Export: ONNX, behind a gate that compares what the file finds with what the model finds."""

from visiongarden.exporters.agreement import Agreement, agreement
from visiongarden.exporters.limits import UnsupportedOperationError
from visiongarden.exporters.onnx import export_file, to_onnx

__all__ = ["Agreement", "UnsupportedOperationError", "agreement", "export_file", "to_onnx"]
