"""Contender: an exported ONNX file on ONNX Runtime or OpenVINO."""

import os

import numpy as np

from benchmarks.contenders.worker import each, serve


def prepare(options):
    """Return a step that runs one batch of noise; options: `file`, `engine`, `batch`, `size`."""
    run = {"onnxruntime": onnxruntime_runner, "openvino": openvino_runner}[options["engine"]]
    step, facts = run(options["file"], options["batch"], options["size"])
    return each(step), facts


def onnxruntime_runner(file, batch, size):
    """Return a step and facts of ONNX Runtime on all cores."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = os.cpu_count()
    # Spinning threads would occupy the cores while the next contender runs.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    (model_input,) = session.get_inputs()
    images = noise(model_input.shape, batch, size, model_input.type.removeprefix("tensor("))
    return lambda: session.run(None, {model_input.name: images}), {
        "engine": onnxruntime.__version__
    }


def openvino_runner(file, batch, size):
    """Return a step and facts of OpenVINO in float32."""
    import openvino

    core = openvino.Core()
    model = core.read_model(file)
    model_input = model.input(0)
    shape = [None if side.is_dynamic else side.get_length() for side in model_input.partial_shape]
    images = noise(shape, batch, size, model_input.get_element_type().to_dtype().name)
    model.reshape({model_input.get_any_name(): list(images.shape)})
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(model, "CPU", hints)
    return lambda: compiled([images]), {"engine": openvino.__version__}


def noise(shape, batch, size, dtype):
    """Return random images in the file's type, with the channels first or last as in the file."""
    sides = (batch, 3, size, size) if shape[1] == 3 else (batch, size, size, 3)
    rng = np.random.default_rng(0)
    if dtype.startswith("uint8"):
        return rng.integers(0, 256, sides, np.uint8)
    return rng.random(sides, np.float32)


if __name__ == "__main__":
    serve(prepare)
