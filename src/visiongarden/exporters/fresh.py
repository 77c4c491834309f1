"""Conversion in a new process on the TensorFlow backend, for models of the other backends."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from visiongarden.backends.optional_imports import command_of
from visiongarden.backends.sublayers import with_sublayers
from visiongarden.config import Value
from visiongarden.errors import UserError
from visiongarden.exporters.limits import UnsupportedOperationError
from visiongarden.models.kinds import MadeOfParts
from visiongarden.models.source_digest import module_file
from visiongarden.types import ImageSize

MODEL, JOB, DRAFT, FAILURE = "model.keras", "job.json", "model.onnx", "error.json"
"""Files in the folder that both processes share."""


def convert_fresh(model: Any, size: ImageSize, path: Path) -> None:
    """Write a model as an ONNX file in a new process on the TensorFlow backend.

    A model file is the same on every backend, so TensorFlow can open a model of JAX or PyTorch.

    Args:
        model: A model of this package, in float32.
        size: (height, width) of the images.
        path: Path of the file; an existing file is overwritten.

    Raises:
        UserError: TensorFlow is not installed or cannot open the model.
        UnsupportedOperationError: An operation has no ONNX counterpart.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(
            "tensorflow is not installed; the export converts models of all backends with it",
            fix='pip install "visiongarden[tensorflow-cpu,export]"',
        )
    modules = list(_modules(model))
    with tempfile.TemporaryDirectory(prefix="visiongarden-export-") as name:
        folder = Path(name)
        model.save(folder / MODEL)
        (folder / JOB).write_text(json.dumps({"size": size, "modules": modules}), encoding="utf-8")
        _run(folder)
        shutil.copyfile(folder / DRAFT, path)


def _run(folder: Path) -> None:
    environment = os.environ | {
        "KERAS_BACKEND": "tensorflow",
        # Keeps TensorFlow's log out of stderr, whose last line becomes the error message.
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",  # the running backend holds the GPU's memory
        # `sys.path` may have been extended at run time; modules of the user must be importable too.
        "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
    }
    process = subprocess.run(  # noqa: S603  this package's module in the same Python
        [*command_of("visiongarden.exporters.worker"), str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if (folder / FAILURE).is_file():
        raise _error_from(json.loads((folder / FAILURE).read_text(encoding="utf-8")))
    if process.returncode or not (folder / DRAFT).is_file():
        last = (process.stderr.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        raise UserError(
            "the conversion process failed",
            received=last[:300],
            fix="save the model, then run KERAS_BACKEND=tensorflow visiongarden export MODEL",
        )


def _error_from(fields: dict[str, Any]) -> UserError:
    error_class = UnsupportedOperationError if fields.pop("limit") else UserError
    return error_class(fields.pop("what"), **fields)


def _modules(model: Any) -> Iterator[tuple[str, str | None]]:
    """Yield name and file of each module that defines a layer or part of the model.

    Modules of visiongarden and Keras are left out.
    """
    seen = {"visiongarden", "keras"}
    for cls in _classes(model):
        name = cls.__module__
        if name in seen or name.split(".")[0] in ("visiongarden", "keras"):
            continue
        seen.add(name)
        if name == "__main__":
            raise UserError(
                f"{cls.__name__} is defined in the running script, which the conversion process "
                "cannot import",
                rule="layers and parts are defined in modules",
                fix=f"move {cls.__name__} into a module and import it",
            )
        yield name, module_file(name)


def _classes(model: Any) -> Iterator[type]:
    for part in vars(model.parts).values() if isinstance(model, MadeOfParts) else ():
        yield type(part)
        yield from (type(field) for _, field in part if isinstance(field, Value))
    yield from (type(layer) for layer in with_sublayers(model))
