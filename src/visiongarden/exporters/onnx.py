"""`ONNX`: exporter of ONNX files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from visiongarden.errors import ModelFileError, UserError
from visiongarden.exporters.convert import convert
from visiongarden.exporters.exported import ExportedModel, opened
from visiongarden.exporters.exporter import Exporter
from visiongarden.exporters.fresh import convert_fresh
from visiongarden.exporters.signature import Signature
from visiongarden.registry import register


@register
class ONNX(Exporter):
    """ONNX files, which ONNX Runtime and many other runtimes open.

    The fields of the signature are entries of the file's metadata, each as JSON.
    """

    format: ClassVar[str] = "onnx"
    suffix: ClassVar[str] = ".onnx"
    extra: ClassVar[str] = "export"
    packages: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "tf2onnx")

    def export(
        self,
        model: Any,
        path: Path,
        signature: Signature,
        data: Iterable[np.ndarray] | None = None,
    ) -> None:
        """Write the file; models of other backends are converted on TensorFlow.

        Raises:
            UnsupportedOperationError: An operation has no ONNX counterpart.
        """
        import onnx

        # tf2onnx converts graphs of TensorFlow only.
        write = convert if keras.backend.backend() == "tensorflow" else convert_fresh
        write(model, signature.image_size, path)
        graph = onnx.load(str(path))
        metadata = signature.to_dict() | {"producer": "visiongarden"}
        texts = {key: json.dumps(value) for key, value in metadata.items()}
        onnx.helper.set_model_props(graph, texts)
        onnx.checker.check_model(graph)
        onnx.save(graph, str(path))

    def load(self, path: Path) -> ExportedModel:
        """Open the file with ONNX Runtime, on the processor.

        Raises:
            UserError: ONNX Runtime cannot open the file.
            ModelFileError: The file has no valid signature, or another input or other outputs.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only
        providers = ["CPUExecutionProvider"]
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # onnxruntime's classes derive from Exception alone
            raise UserError(
                f"ONNX Runtime cannot open {path}",
                rule="operations and shapes that ONNX Runtime can run",
                received=" ".join(str(error).split())[:300],
                fix="use other keras.ops in the layer above, without loops over a tensor's length",
            ) from error
        signature = Signature.read(session.get_modelmeta().custom_metadata_map, path)
        _check_graph(session, signature, path)
        names = list(signature.outputs)
        (source,) = (each.name for each in session.get_inputs())

        def run(images: np.ndarray) -> dict[str, np.ndarray]:
            return dict(zip(names, session.run(names, {source: images}), strict=True))

        return opened(signature, run, Path(path).stem)


_TYPES = {"uint8": "tensor(uint8)", "uint16": "tensor(uint16)", "float32": "tensor(float)"}
"""Names of the types of pixel values in ONNX Runtime."""


def _check_graph(session: Any, signature: Signature, path: Path) -> None:
    """Compare the graph with the signature: a shape or type that differs is not an exported file.

    Raises:
        ModelFileError: They differ.
    """
    inputs = [(each.type, list(each.shape)[1:]) for each in session.get_inputs()]
    expected = (_TYPES[signature.dtype], [*signature.image_size, signature.channels])
    outputs = {each.name for each in session.get_outputs()}
    if inputs != [expected] or not outputs >= set(signature.outputs):
        raise ModelFileError(
            f"{path} does not have the input and outputs of its signature",
            rule=f"one input {expected[0]} {expected[1]}, and {', '.join(signature.outputs)}",
            received=f"{inputs}, and {', '.join(sorted(outputs))}",
            fix='vg.export("best.keras")',
        )
