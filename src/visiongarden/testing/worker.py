"""Program of the fresh process that reopens saved models and compares their outputs.

Run as `python -m visiongarden.testing.worker FOLDER` with KERAS_BACKEND set. It reads
FOLDER/jobs.json and writes FOLDER/BACKEND.json. Of the user's code it imports only the modules that
define the saved classes, as a program that loads such a file would do.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np

from visiongarden.backends.sublayers import with_sublayers
from visiongarden.backends.tracing import jit_compiled
from visiongarden.storage import atomic_write
from visiongarden.testing.arrays import difference, inputs_of, leaves, numpy_leaves, packed
from visiongarden.testing.explain import describe


def main(folder: Path) -> None:
    """Run all jobs of a folder; the error of one job is its answer and does not stop the others.

    Args:
        folder: Folder with `jobs.json`, the saved models and their arrays.
    """
    warnings.simplefilter("ignore")
    keras.config.disable_traceback_filtering()
    jobs = json.loads((folder / "jobs.json").read_text(encoding="utf-8"))
    answers = [_answer(folder, job) for job in jobs]
    name = f"{keras.backend.backend()}.json"
    atomic_write(folder / name, json.dumps(answers))


def _answer(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    try:
        _import(job["module"], job["file"])
    except Exception as error:
        return {"import": describe(error)}
    with np.load(folder / f"{job['name']}.npz") as saved:
        inputs = [saved[f"x{i}"] for i in range(job["inputs"])]
        expected = [saved[f"y{i}"] for i in range(job["outputs"])]
    try:
        model = _load(folder / f"{job['name']}.keras", job["parts"])
        got = numpy_leaves(model(_packed(model, inputs), training=False))
    except Exception as error:
        return {"open": describe(error)}
    answer: dict[str, Any] = {"difference": difference(expected, got)}
    for name, attempt in (("jit", _compiled), ("onnx", _exported)):
        if name in job["tasks"]:
            answer[name] = _attempted(attempt, model, inputs, got)
    return answer


def _import(module: str, file: str | None) -> None:
    """Import a module by name, or from its file if the name cannot be imported."""
    if module in sys.modules:
        return
    if importlib.util.find_spec(module.split(".")[0]) is not None:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not module.startswith(str(error.name)):
                raise
        else:
            return
    if file is None:
        raise ModuleNotFoundError(f"there is no module {module}")
    # pytest loads test modules by file, under names that are not importable from `sys.path`.
    spec = importlib.util.spec_from_file_location(module, file)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"the module {module} cannot be loaded from {file}")
    sys.modules[module] = loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)


def _load(path: Path, parts: bool) -> Any:
    if parts:
        importlib.import_module("visiongarden.testing.companions")  # registers its parts
        from visiongarden.models import load

        return load(path)
    return keras.saving.load_model(path, compile=False)


def _packed(model: Any, inputs: list[Any]) -> Any:
    tensors = [keras.ops.convert_to_tensor(array) for array in inputs]
    return packed(inputs_of(model), tensors)


def _attempted(
    attempt: Any, model: Any, inputs: list[Any], expected: list[np.ndarray]
) -> dict[str, Any]:
    try:
        found = attempt(model, inputs)
    except Exception as error:
        return {"error": describe(error)}
    return (
        {"skipped": found}
        if isinstance(found, str)
        else {"difference": difference(expected, found)}
    )


def _compiled(model: Any, inputs: list[Any]) -> Any:
    """Return the outputs of the compiled model, or the reason why it is not compiled."""
    if not all(layer.supports_jit for layer in with_sublayers(model)):
        return "a layer has supports_jit=False"
    run = jit_compiled(lambda x: model(x, training=False))
    if run is None:
        return "compilation is not tested on PyTorch, because it needs a C++ compiler"
    return numpy_leaves(run(_packed(model, inputs)))


def _exported(model: Any, inputs: list[Any]) -> Any:
    """Return the outputs of the exported ONNX file, or the reason why it is not exported."""
    needed = ("onnx", "onnxruntime", "tf2onnx")
    if keras.backend.backend() != "tensorflow":
        return "only TensorFlow exports ONNX"
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        return f"{', '.join(missing)} not installed; run pip install 'visiongarden[export]'"
    import onnxruntime

    from visiongarden.exporters.convert import quiet
    from visiongarden.exporters.operations import complete_tf2onnx

    complete_tf2onnx()
    # A flat list of inputs gives the inputs of the ONNX file a known order.
    tensors = [
        keras.Input(array.shape[1:], dtype=str(array.dtype), name=f"x{i}")
        for i, array in enumerate(inputs)
    ]
    outputs = leaves(model(packed(inputs_of(model), tensors)))
    flat = keras.Model(tensors, outputs)
    # Keras exports only models that have been called.
    flat([keras.ops.convert_to_tensor(array) for array in inputs])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = str(Path(folder) / "model.onnx")
        flat.export(path, format="onnx", verbose=False)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [item.name for item in session.get_inputs()]
        return session.run(None, {names[i]: inputs[i] for i in range(len(names))})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
