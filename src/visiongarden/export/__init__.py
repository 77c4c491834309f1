"""Export: ONNX, behind a gate that compares what the file finds with what the model finds."""

from visiongarden.export.agreement import Agreement, agreement
from visiongarden.export.limits import UnsupportedOperationError
from visiongarden.export.onnx import export_file, to_onnx

__all__ = ["Agreement", "UnsupportedOperationError", "agreement", "export_file", "to_onnx"]
