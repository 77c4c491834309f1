"""Initial values on JAX are those of Keras, with few compilations."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import visiongarden as vg
from visiongarden.backends.initial_values import quick_samples, sample_length

pytestmark = [
    pytest.mark.backends,
    pytest.mark.skipif(
        keras.backend.backend() != "jax", reason="only JAX compiles random functions"
    ),
]

INITIALIZERS = ("glorot_uniform", "he_normal", "random_normal", "truncated_normal", "zeros")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("shape", [(1,), (3, 3, 5, 7), (3, 3, 64, 80), (2, 0)])
def test_values_are_those_of_keras(name, shape, dtype):
    kind = type(keras.initializers.get(name))
    make = (lambda: kind()) if name == "zeros" else (lambda: kind(seed=7))
    expected = make()(shape, dtype=dtype)
    with quick_samples():
        found = make()(shape, dtype=dtype)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


@given(st.integers(0, 2**30))
def test_a_sample_is_long_enough_and_of_few_lengths(count):
    length = sample_length(count)
    assert length >= max(count, 1)
    assert length in {2**k for k in (9, 12, 15, *range(18, 31))}
    assert length <= max(512, 8 * count if count <= 2**18 else 2 * count)


def test_a_model_has_the_weights_that_it_has_without(monkeypatch):
    def weights():
        keras.utils.set_random_seed(3)
        backbone = vg.backbones.CSPDarknet(depth=0.33, width=0.125)
        return [np.asarray(w.value) for w in backbone.as_model(image_size=(64, 64)).weights]

    from visiongarden.backends import initial_values

    quick = weights()
    monkeypatch.setattr(initial_values, "_applies", lambda: False)
    for a, b in zip(quick, weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_compiled_function_samples_the_same_values():
    import jax

    @jax.jit
    def sampled():
        with quick_samples():
            return keras.random.uniform((3, 5), seed=1)

    np.testing.assert_array_equal(np.asarray(sampled()), keras.random.uniform((3, 5), seed=1))
