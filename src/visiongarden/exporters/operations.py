"""What tf2onnx 1.16 to 1.17 cannot convert and vision models use."""

from __future__ import annotations

from typing import Any

from visiongarden.exporters.limits import refuse_limits

_done: list[str] = []


def complete_tf2onnx() -> None:
    """Teaches tf2onnx the operations that it lacks; a second call does nothing.

    - `Erfc` (exact GELU), `Expm1`, `Log1p`.
    - Functions that XLA compiles, as which Keras runs grouped convolutions: they are inlined.
    - What ONNX lacks altogether is refused as soon as the model is traced.
    """
    if _done:
        return
    from tf2onnx import tf_loader
    from tf2onnx.handler import tf_op

    for handler in (_Erfc, _Expm1, _Log1p):
        tf_op(handler.__name__.lstrip("_"))(handler)
    load, optimize = tf_loader.from_function, tf_loader.tf_optimize

    def from_function(function: Any, *arguments: Any, **options: Any) -> Any:
        refuse_limits(function.graph)
        return load(function, *arguments, **options)

    def tf_optimize(input_names: Any, output_names: Any, graph_def: Any) -> Any:
        return optimize(input_names, output_names, without_xla(graph_def))

    tf_loader.from_function, tf_loader.tf_optimize = from_function, tf_optimize
    _done.append("done")


def without_xla(graph_def: Any) -> Any:
    """A TensorFlow GraphDef whose functions are no longer to be compiled by XLA.

    Keras runs grouped convolutions in such functions, because TensorFlow's own kernel for CPUs
    lacks groups; TensorFlow's graph optimizer inlines every function but those.
    """
    for function in graph_def.library.function:
        if function.attr.pop("_XlaMustCompile", None) is not None:
            function.attr.pop("_noinline", None)
        for node in function.node_def:
            node.attr.pop("_XlaMustCompile", None)
    for node in graph_def.node:
        node.attr.pop("_XlaMustCompile", None)
    return graph_def


class _Elementwise:
    """An operation of one input that becomes two nodes."""

    @classmethod
    def nodes(cls, value: str) -> tuple[str, list[str], str, list[str]]:
        """Type and inputs of the first node, then of the second.

        "one" is the constant 1, "first" the first node's output.
        """
        raise NotImplementedError

    @classmethod
    def version_9(cls, ctx: Any, node: Any, **kwargs: Any) -> None:
        """Puts two nodes in the place of one; without it the file would not open."""
        import numpy as np
        from tf2onnx import utils

        dtype, shape = ctx.get_dtype(node.output[0]), ctx.get_shape(node.output[0])
        numpy_dtype = utils.map_onnx_to_numpy_type(dtype)
        ctx.remove_node(node.name)
        names = {"one": ctx.make_const(utils.make_name("one"), np.array(1, numpy_dtype)).output[0]}
        first, given, second, then = cls.nodes(node.input[0])
        names["first"] = ctx.make_node(
            first, [names.get(name, name) for name in given], shapes=[shape], dtypes=[dtype]
        ).output[0]
        ctx.make_node(
            second,
            [names.get(name, name) for name in then],
            outputs=node.output,
            name=node.name,
            shapes=[shape],
            dtypes=[dtype],
        )


class _Erfc(_Elementwise):
    """erfc(x) = 1 - erf(x); ONNX has `Erf` from operator set 9 on."""

    @classmethod
    def nodes(cls, value: str) -> tuple[str, list[str], str, list[str]]:
        """1 - Erf(x)."""
        return "Erf", [value], "Sub", ["one", "first"]


class _Expm1(_Elementwise):
    """expm1(x) = exp(x) - 1; near 0 within float32's rounding of 1."""

    @classmethod
    def nodes(cls, value: str) -> tuple[str, list[str], str, list[str]]:
        """Exp(x) - 1."""
        return "Exp", [value], "Sub", ["first", "one"]


class _Log1p(_Elementwise):
    """log1p(x) = log(1 + x); near 0 within float32's rounding of 1."""

    @classmethod
    def nodes(cls, value: str) -> tuple[str, list[str], str, list[str]]:
        """Log(1 + x)."""
        return "Add", ["one", value], "Log", ["first"]
