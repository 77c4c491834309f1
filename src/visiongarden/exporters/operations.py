"""Conversions of operations that vision models use and tf2onnx 1.16 and 1.17 lack."""

from __future__ import annotations

from typing import Any

from visiongarden.exporters.limits import check_operations

_registered: list[str] = []


def complete_tf2onnx() -> None:
    """Register the operations that tf2onnx lacks; a second call has no effect.

    - Adds `Erfc` (exact GELU), `Expm1` and `Log1p`.
    - Inlines functions compiled by XLA, in which Keras runs grouped convolutions.
    - Raises an error for operations that ONNX lacks, as soon as a model is traced.
    """
    if _registered:
        return
    from tf2onnx import tf_loader
    from tf2onnx.handler import tf_op

    for handler in (_Erfc, _Expm1, _Log1p):
        tf_op(handler.__name__.lstrip("_"))(handler)
    # tf2onnx has no hook between tracing and conversion, so two of its functions are wrapped.
    load, optimize = tf_loader.from_function, tf_loader.tf_optimize

    def from_function(function: Any, *arguments: Any, **options: Any) -> Any:
        check_operations(function.graph)
        return load(function, *arguments, **options)

    def tf_optimize(input_names: Any, output_names: Any, graph_def: Any) -> Any:
        return optimize(input_names, output_names, without_xla(graph_def))

    tf_loader.from_function, tf_loader.tf_optimize = from_function, tf_optimize
    _registered.append("registered")


def without_xla(graph_def: Any) -> Any:
    """Return a TensorFlow GraphDef without the attributes that request compilation by XLA.

    Keras runs grouped convolutions in such functions, because TensorFlow's CPU kernel does not
    support groups. TensorFlow's graph optimizer inlines all functions except these.
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
    """Base class of conversions of an operation with one input into two nodes."""

    @classmethod
    def nodes(cls, value: str) -> tuple[str, list[str], str, list[str]]:
        """Return type and inputs of the first node, then of the second node.

        The name "one" stands for the constant 1, "first" for the output of the first node.
        """
        raise NotImplementedError

    @classmethod
    def version_9(cls, ctx: Any, node: Any, **kwargs: Any) -> None:
        """Replace the node by two; tf2onnx calls this for operator sets from 9 on.

        Without the conversion, ONNX Runtime could not open the file.
        """
        import numpy as np
        from tf2onnx import utils

        dtype, shape = ctx.get_dtype(node.output[0]), ctx.get_shape(node.output[0])
        numpy_dtype = utils.map_onnx_to_numpy_type(dtype)
        ctx.remove_node(node.name)
        names = {"one": ctx.make_const(utils.make_name("one"), np.array(1, numpy_dtype)).output[0]}
        first, first_inputs, second, second_inputs = cls.nodes(node.input[0])
        names["first"] = ctx.make_node(
            first, [names.get(name, name) for name in first_inputs], shapes=[shape], dtypes=[dtype]
        ).output[0]
        ctx.make_node(
            second,
            [names.get(name, name) for name in second_inputs],
            outputs=node.output,
            name=node.name,
            shapes=[shape],
            dtypes=[dtype],
        )


class _Erfc(_Elementwise):
    """erfc(x) = 1 - erf(x); ONNX has `Erf` since operator set 9."""

    @classmethod
    def nodes(cls, value: str) -> tuple[str, list[str], str, list[str]]:
        """Return the nodes of 1 - Erf(x)."""
        return "Erf", [value], "Sub", ["one", "first"]


class _Expm1(_Elementwise):
    """expm1(x) = exp(x) - 1; near 0 its error is float32's rounding error at 1."""

    @classmethod
    def nodes(cls, value: str) -> tuple[str, list[str], str, list[str]]:
        """Return the nodes of Exp(x) - 1."""
        return "Exp", [value], "Sub", ["first", "one"]


class _Log1p(_Elementwise):
    """log1p(x) = log(1 + x); near 0 its error is float32's rounding error at 1."""

    @classmethod
    def nodes(cls, value: str) -> tuple[str, list[str], str, list[str]]:
        """Return the nodes of Log(1 + x)."""
        return "Add", ["one", value], "Log", ["first"]
