"""Divergence: infinity, NaN, and weights that overflow in the next step."""

import keras
import numpy as np
import pytest

from visiongarden.training.finite import not_finite


def state(value, name="model/kernel", dtype="float32", trainable=True):
    variable = keras.Variable(np.full((2, 2), 1.0), dtype=dtype, trainable=trainable)
    variable.assign(np.array([[1.0, 1.0], [1.0, value]]))
    return [("optimizer/0", keras.Variable(3, dtype="int32", trainable=False)), (name, variable)]


@pytest.mark.parametrize(
    ("loss", "variables", "dtype", "problem"),
    [
        (1.0, state(2.0), "float32", None),
        (float("nan"), state(2.0), "float32", "the loss became nan"),
        (float("inf"), state(2.0), "float32", "the loss became inf"),
        (1.0, state(np.nan), "float32", "model/kernel became infinite or NaN"),
        (1.0, state(np.inf, "optimizer/1"), "float32", "optimizer/1 became infinite or NaN"),
        (1.0, state(np.inf, trainable=False), "float32", "model/kernel became infinite or NaN"),
        (1.0, state(np.nan, dtype="bfloat16"), "bfloat16", "model/kernel became infinite or NaN"),
        # 1.8e19 squared is the largest float32.
        (1.0, state(1e19), "float32", None),
        (1.0, state(-2e19), "float32", "model/kernel became 2e+19, which overflows"),
        (1.0, state(2e19, "optimizer/1"), "float32", None),
        (1.0, state(65504.0), "float16", None),
        (1.0, state(65600.0), "float16", "model/kernel became 7e+04, which overflows"),
        (1.0, state(65600.0), "bfloat16", None),
    ],
)
def test_what_is_not_finite(loss, variables, dtype, problem):
    reported = not_finite(loss, variables, dtype)
    assert (reported or "").startswith(problem or ""), reported
    assert (reported is None) == (problem is None)
