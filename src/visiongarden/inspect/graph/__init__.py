"""What Keras models, Darknet cfgs and ONNX files have in common: a flat graph of operations."""

from visiongarden.inspect.graph.op import Graph, Op, graph, settings

__all__ = ["Graph", "Op", "graph", "settings"]
