"""`Tensor` declares what the tensors of every backend have."""

from inspect import isfunction

import keras
import numpy as np
import pytest

from visiongarden.types import Tensor

MEMBERS = [
    name
    for name, value in vars(Tensor).items()
    if isinstance(value, property) or (isfunction(value) and value.__name__ == name)
]


@pytest.mark.backends
def test_every_tensor_has_the_members():
    assert {"shape", "dtype", "__getitem__", "__mul__", "__rmul__"} <= set(MEMBERS)
    for tensor in (keras.ops.ones((2, 2)), keras.KerasTensor((2, 2)), np.ones((2, 2))):
        assert [name for name in MEMBERS if not hasattr(tensor, name)] == [], type(tensor)
