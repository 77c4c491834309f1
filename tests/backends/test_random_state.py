"""Seeds equal those of Keras, without importing TensorFlow on another backend."""

import random
import subprocess
import sys

import keras
import numpy as np
import pytest

from visiongarden.backends.random_state import seed_everything

DRAWS = """
import random, sys, keras, numpy as np
if sys.argv[1] == "own":
    from visiongarden.backends.random_state import seed_everything as seed
else:
    seed = keras.utils.set_random_seed
seed(7)
kernel = keras.layers.Dense(3)
kernel.build((None, 2))
tensors = keras.random.normal((4,)), kernel.kernel
values = [keras.ops.convert_to_numpy(x).tolist() for x in tensors]
rest = [random.random(), float(np.random.uniform()), keras.random.SeedGenerator().get_config()]
loaded = [x for x in ("tensorflow",) if x in sys.modules]
print(values, rest, loaded if sys.argv[1] == "own" else [])
"""


@pytest.mark.backends
@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="TensorFlow is there already")
def test_seeds_equal_those_of_keras_without_importing_tensorflow():
    own, keras_own = (
        subprocess.run(
            [sys.executable, "-c", DRAWS, name], capture_output=True, text=True, check=True
        ).stdout
        for name in ("own", "keras")
    )
    assert own == keras_own
    assert own.count("]") > 5


def test_a_seed_restarts_every_generator():
    found = []
    for _ in range(2):
        seed_everything(3)
        normal = keras.ops.convert_to_numpy(keras.random.normal((2,)))
        found.append((random.random(), np.random.uniform(), *normal))
    assert found[0] == found[1]
