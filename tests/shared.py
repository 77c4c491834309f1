"""Material outside the project; tests that need it are skipped if it is missing."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def shared(*parts):
    """The path of a file or folder of the shared material; skips the test where it is missing."""
    folder = Path(os.environ.get("VISIONGARDEN_SHARED", ROOT.parent / "shared"))
    path = folder.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs {'/'.join(parts)} of the shared material")
    return path


def inference(model, x):
    """What a model makes of images, compiled on JAX, which else compiles each operation."""
    import keras

    if keras.backend.backend() != "jax":
        return model(x, training=False)
    import jax

    return jax.jit(lambda x: model(x, training=False))(x)


def for_one_step():
    """How `compile` takes least: TensorFlow's graph is not worth one step, JAX's is."""
    import keras

    backend = keras.backend.backend()
    return {"jit_compile": backend == "jax", "run_eagerly": backend == "tensorflow"}
