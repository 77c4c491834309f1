"""One-hot encoding of class ids, without waiting for the device."""

from __future__ import annotations

from keras import ops

from visiongarden.ops.wide_dtype import wide
from visiongarden.types import Tensor


def one_hot(classes: Tensor, count: int) -> Tensor:
    """Return one-hot rows; a class id outside 0 to `count` - 1, such as -1 padding, gives zeros.

    On PyTorch, `keras.ops.one_hot` reads the ids back from the device. Every training step would
    wait for the device, and the step could not be captured (`backends/captured.py`).

    Args:
        classes: (...) int32.
        count: number of classes.

    Returns:
        (..., count) float32.
    """
    columns = ops.arange(count, dtype="int32")
    same = ops.equal(ops.expand_dims(ops.cast(classes, "int32"), -1), columns)
    return ops.cast(same, wide())
