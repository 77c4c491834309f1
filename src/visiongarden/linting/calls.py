"""Rules for `call` and for the `wire` of a part (VG201 to VG210)."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from visiongarden.linting.classes import Class, File, Function, assigned, on_self
from visiongarden.linting.finding import Found
from visiongarden.linting.tensors import Tensors

_LEAVES_GRAPH = {"numpy", "item", "tolist"}
_RANDOM_FUNCTIONS = (
    "keras.random.",
    "tensorflow.random.",
    "numpy.random.",
    "random.",
    "jax.random.",
)
_STATE_CALLS = {"assign", "assign_add", "assign_sub", "update_state"}
_VARIABLES = {"keras.Variable", "tensorflow.Variable", "keras.random.SeedGenerator"}
_FLOAT32 = {"keras.float32", "tensorflow.float32", "numpy.float32", "torch.float32"}


def findings_of_call(cls: Class, file: File) -> Iterator[Found]:
    """Find errors in `call`, or in the `wire` of a part.

    `wire` runs once on symbolic tensors and creates layers by design, so only the rules about
    tensor values apply to it.

    Args:
        cls: Class to examine.
        file: File that contains the class.

    Yields:
        Errors in no particular order.
    """
    if "call" in cls.methods and cls.kind != "part":
        call = cls.methods["call"]
        tensors = Tensors(call, file)
        yield from _values(call, tensors, file)
        yield from _state(call, tensors, file)
        yield from _numbers(call, file)
    elif "wire" in cls.methods:
        wire = cls.methods["wire"]
        yield from _values(wire, Tensors(wire, file), file)


def _values(function: Function, tensors: Tensors, file: File) -> Iterator[Found]:
    """Find control flow, NumPy and additions that are unsafe for tensors (VG202 to VG205)."""
    for node in ast.walk(function):
        if isinstance(node, (ast.If, ast.While, ast.IfExp, ast.Assert)):
            if tensors.decides(node.test):
                yield Found(node, "VG202", type(node).__name__.lower().replace("exp", ""))
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            if tensors.holds(node.left) and tensors.holds(node.right):
                yield Found(node, "VG203")
        elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
            if tensors.holds(node.target) and tensors.holds(node.value):
                yield Found(node, "VG203")
        elif isinstance(node, ast.Call):
            if file.full(node.func) == "keras.ops.add" and all(map(tensors.holds, node.args)):
                yield Found(node, "VG203")
            yield from _graph_exits(node, tensors, file)


def _graph_exits(node: ast.Call, tensors: Tensors, file: File) -> Iterator[Found]:
    """Find calls that take a tensor out of the graph (VG202, VG204, VG205)."""
    name = file.full(node.func)
    arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
    takes = any(tensors.holds(argument) for argument in arguments)
    if name in ("int", "float", "bool", "range") and takes:
        yield Found(node, "VG202", f"{name}()")
    elif name.startswith("numpy.") and takes:
        yield Found(node, "VG204", name)
    elif name.endswith("convert_to_numpy") and takes:
        yield Found(node, "VG205", name)
    elif _attribute(node) in _LEAVES_GRAPH and not node.args and tensors.holds(node.func):
        yield Found(node, "VG205", f".{_attribute(node)}()")


def _state(call: Function, tensors: Tensors, file: File) -> Iterator[Found]:
    """Find variables created in `call`, and tensors kept as attributes (VG201, VG210)."""
    for node in ast.walk(call):
        if isinstance(node, ast.Call):
            created = file.makes_layer(node)
            if not created and file.full(node.func) in _VARIABLES:
                created = file.full(node.func)
            if not created and on_self(node.func) == "add_weight":
                created = "a weight"
            if created:
                yield Found(node, "VG201", created)
    for target, value in assigned(call):
        if on_self(target) and tensors.holds(value):
            yield Found(target, "VG210", on_self(target))


def _numbers(call: Function, file: File) -> Iterator[Found]:
    """Find unsafe reshapes, casts, random numbers and training flags (VG206 to VG209)."""
    names = {a.arg for a in (*call.args.args, *call.args.kwonlyargs)}
    # A float32 loss or state update is intended and does not reach the outputs.
    in_loss = {
        id(inner)
        for node in ast.walk(call)
        if isinstance(node, ast.Call)
        and (on_self(node.func) == "add_loss" or _attribute(node) in _STATE_CALLS)
        for inner in ast.walk(node)
    }
    casts = [node for node in ast.walk(call) if isinstance(node, ast.Call) and _is_cast(node, file)]
    # A cast to any other dtype is taken for the cast back to the compute dtype.
    back = any(not _is_float32(_dtype(node), file) for node in casts)
    for node in ast.walk(call):
        if not isinstance(node, ast.Call):
            continue
        name = file.full(node.func)
        if _attribute(node) == "reshape" and _all_fixed(node):
            yield Found(node, "VG206")
        elif node in casts and _is_float32(_dtype(node), file) and not back:
            if id(node) not in in_loss:
                yield Found(node, "VG207")
        elif _is_random(name) and "training" not in names:
            yield Found(node, "VG208", name)
        for keyword in node.keywords:
            constant = isinstance(keyword.value, ast.Constant) and keyword.value.value is True
            if keyword.arg == "training" and constant:
                yield Found(node, "VG209")


def _is_random(name: str) -> bool:
    return name.startswith(_RANDOM_FUNCTIONS) and name not in _VARIABLES


def _attribute(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


def _all_fixed(node: ast.Call) -> bool:
    """Return whether a shape starts with -1 and has numbers for all other sides."""
    shape = node.args[-1] if node.args else None
    sides = shape.elts if isinstance(shape, (ast.Tuple, ast.List)) else []
    if len(sides) < 3 or not _is_number(sides[0]):
        return False
    return isinstance(sides[0], ast.UnaryOp) and all(_is_number(side) for side in sides[1:])


def _is_number(node: ast.AST) -> bool:
    kinds = (ast.Constant, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop)
    return all(isinstance(inner, kinds) for inner in ast.walk(node))


def _is_cast(node: ast.Call, file: File) -> bool:
    return _attribute(node) in ("cast", "astype") or file.full(node.func) in ("cast",)


def _dtype(node: ast.Call) -> ast.AST | None:
    named = next((k.value for k in node.keywords if k.arg == "dtype"), None)
    return named or (node.args[-1] if node.args else None)


def _is_float32(node: ast.AST | None, file: File) -> bool:
    text = isinstance(node, ast.Constant) and node.value in ("float32", "float")
    return text or file.full(node) in _FLOAT32
