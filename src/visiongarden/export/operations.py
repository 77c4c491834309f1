"""What tf2onnx 1.16 to 1.17 cannot convert and vision models use: exact GELU's `Erfc`."""

from __future__ import annotations

from typing import Any

_done: list[str] = []


def complete_tf2onnx() -> None:
    """Teaches tf2onnx the operations that it lacks; a second call does nothing."""
    if _done:
        return
    from tf2onnx.handler import tf_op

    tf_op("Erfc")(_Erfc)
    _done.append("Erfc")


class _Erfc:
    """erfc(x) = 1 - erf(x); ONNX has `Erf` from operator set 9 on."""

    @classmethod
    def version_9(cls, ctx: Any, node: Any, **kwargs: Any) -> None:
        """Puts two nodes in the place of one; without it the file would not open."""
        import numpy as np
        from tf2onnx import utils

        dtype, shape = ctx.get_dtype(node.output[0]), ctx.get_shape(node.output[0])
        numpy_dtype = utils.map_onnx_to_numpy_type(dtype)
        ctx.remove_node(node.name)
        erf = ctx.make_node("Erf", node.input, shapes=[shape], dtypes=[dtype])
        one = ctx.make_const(utils.make_name("one"), np.array(1, numpy_dtype))
        ctx.make_node(
            "Sub",
            [one.output[0], erf.output[0]],
            outputs=node.output,
            name=node.name,
            shapes=[shape],
            dtypes=[dtype],
        )
