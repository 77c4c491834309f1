"""Check of random numbers in training: every step, also a compiled one, must sample new ones."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np

from visiongarden.backends.keras_internals import global_seed_state
from visiongarden.testing.arrays import TOLERANCE, difference, numpy_leaves
from visiongarden.testing.hooks import fixed_seeds
from visiongarden.testing.instances import attributes
from visiongarden.testing.report import Finding, failed, passed
from visiongarden.testing.subject import Subject

_ADVICE = (
    "make self.seeds = keras.random.SeedGenerator() in __init__ and pass seed=self.seeds to "
    "keras.random in call(), or use a layer such as Dropout"
)


def fresh_noise(subject: Subject) -> Finding:
    """Check that random numbers in training come from Keras's seed generators.

    The state of a `keras.random.SeedGenerator` is a variable, which a compiled step advances.
    Numbers from Python's or NumPy's generators are sampled once, while the step is traced, and
    become constants of the graph. An integer seed gives the same numbers in every step.
    """
    layer = subject.main
    before = _generators(layer)
    with fixed_seeds() as in_training:
        first = _in_training(subject, layer)
    if _generators(layer) != before:
        return failed(
            "call() takes random numbers from Python or NumPy, which a compiled step draws only "
            "once, while it is traced",
            _ADVICE,
        )
    if in_training and len(in_training) > len(_seeds_in_inference(subject)):
        seed, place = in_training[-1]
        return failed(
            f"training uses the integer seed {seed}{place}, so that each step gets the same "
            "random numbers",
            _ADVICE,
        )
    # With all states restored, a second run must repeat the first one exactly. If it does not, the
    # numbers come from a source that is unknown to Keras.
    worst = difference(first, _in_training(subject, layer))
    if worst > TOLERANCE and _is_frozen(subject, layer):
        return failed(
            f"training differs by {worst:.2g} although all states are equal: these random numbers "
            "are drawn once where a step is compiled",
            _ADVICE,
        )
    return passed("random numbers, if any, come from Keras's generators")


def _seeds_in_inference(subject: Subject) -> list[tuple[int, str]]:
    with fixed_seeds() as found:
        subject.call(subject.main)
    return found


def _in_training(subject: Subject, layer: Any) -> list[np.ndarray]:
    """Run the layer in training and restore every state, including Keras's and PyTorch's seeds."""
    if keras.backend.backend() == "torch":
        import torch

        # Keras's Dropout without a seed uses PyTorch's global generator, which advances in each
        # step as it should.
        with torch.random.fork_rng():
            return _with_states_kept(subject, layer)
    return _with_states_kept(subject, layer)


def _with_states_kept(subject: Subject, layer: Any) -> list[np.ndarray]:
    variables = [*layer.variables, *layer.metrics_variables, global_seed_state()]
    values = [np.array(keras.ops.convert_to_numpy(v.value)) for v in variables]
    try:
        return numpy_leaves(subject.call(layer, training=True))
    finally:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def _is_frozen(subject: Subject, layer: Any) -> bool:
    """Return whether two runs of one traced call give equal outputs.

    TensorFlow's own random operations sample new numbers in each run of a graph, so they are valid
    in training although they ignore Keras's seeds.
    """
    if keras.backend.backend() != "tensorflow":
        return True
    import tensorflow as tf

    tensors = subject.tensors()
    run = tf.function(lambda *given: layer(*given, training=True), autograph=False)
    return difference(numpy_leaves(run(*tensors)), numpy_leaves(run(*tensors))) == 0


def _generators(layer: Any) -> list[str]:
    """Return the states of Python's and NumPy's global generators and of a layer's own ones."""
    own = []
    for _, value in attributes(layer):
        if isinstance(value, random.Random):
            own.append(repr(value.getstate()))
        elif isinstance(value, np.random.Generator):
            own.append(repr(value.bit_generator.state))
        elif isinstance(value, np.random.RandomState):
            own.append(repr(value.get_state(legacy=False)))
    state: Any = np.random.get_state(legacy=False)
    words = state["state"]
    return [repr(random.getstate()), f"{words['pos']} {words['key'].tobytes()!r}", *own]
