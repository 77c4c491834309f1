"""Flat graph of operations, the common form of Keras models, Darknet cfgs and ONNX files."""

from visiongarden.graphs.op import Graph, Op, graph, settings

__all__ = ["Graph", "Op", "graph", "settings"]
