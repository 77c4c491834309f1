"""An exported ONNX file on ONNX Runtime or OpenVINO."""

import os

import numpy as np

from benchmarks.contenders.worker import each, serve


def prepare(options):
    """A step runs one batch of noise; `file`, `engine`, `batch` and `size`."""
    run = {"onnxruntime": onnxruntime_runner, "openvino": openvino_runner}[options["engine"]]
    step, facts = run(options["file"], options["batch"], options["size"])
    return each(step), facts


def onnxruntime_runner(file, batch, size):
    """ONNX Runtime with all cores."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = os.cpu_count()
    # A waiting thread that spins would take the core from the next contender.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    images = noise(given.shape, batch, size)
    return lambda: session.run(None, {given.name: images}), {"engine": onnxruntime.__version__}


def openvino_runner(file, batch, size):
    """OpenVINO, float32 throughout, batch by batch."""
    import openvino

    core = openvino.Core()
    model = core.read_model(file)
    given = model.input(0)
    shape = [None if side.is_dynamic else side.get_length() for side in given.partial_shape]
    images = noise(shape, batch, size)
    model.reshape({given.get_any_name(): list(images.shape)})
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(model, "CPU", hints)
    return lambda: compiled([images]), {"engine": openvino.__version__}


def noise(shape, batch, size):
    """Float images, channels where the file has them."""
    sides = (batch, 3, size, size) if shape[1] == 3 else (batch, size, size, 3)
    return np.random.default_rng(0).random(sides, np.float32)


if __name__ == "__main__":
    serve(prepare)
