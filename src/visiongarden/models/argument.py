"""Models as arguments: most functions take a model or the path of a model file."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from visiongarden.errors import UserError
from visiongarden.models.files import load
from visiongarden.models.kinds import WithTask

_MODELS = "a Detector, Classifier, Segmenter or DarknetModel"


def as_model(model: Any) -> Any:
    """Return a model, which is loaded if the argument is the path of a model file.

    Args:
        model: A `Detector`, `Classifier`, `Segmenter`, `DarknetModel` or `ExportedModel`, or the
            path of a model file (.keras) or of an exported file.

    Raises:
        ModelFileError: The file does not exist or is not a model file.
        UserError: The argument is neither a model nor a path.
    """
    if isinstance(model, str | Path):
        if Path(model).suffix == ".keras":
            return load(model)
        # Above the models.
        exporters = importlib.import_module("visiongarden.exporters")
        is_exported = exporters.exporter_for(model) is not None
        return exporters.load(model) if is_exported else load(model)
    # Any object with a task is a model here: the user's own, or a stand-in in a test.
    if isinstance(model, WithTask) and model.task is not None:
        return model
    raise UserError(
        f"model is of type {type(model).__name__}",
        rule=f"{_MODELS}, or the path of a model file (.keras)",
        fix='vg.load("best.keras")',
    )
