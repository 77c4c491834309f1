"""Export: ONNX, behind a gate that compares its detections with the model's."""

from visiongarden.export.agreement import Agreement, agreement
from visiongarden.export.onnx import export_file, to_onnx

__all__ = ["Agreement", "agreement", "export_file", "to_onnx"]
