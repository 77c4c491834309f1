"""Data-flow analysis of `call`: which expressions are tensors computed from its arguments."""

from __future__ import annotations

import ast

from visiongarden.linting.classes import File, Function, assigned, on_self

# Attributes, functions and operations whose results are known while a graph is traced: shapes,
# dtypes, names and lengths are not tensors, even if they are taken from one.
_STATIC = {"shape", "ndim", "rank", "dtype", "keys", "name", "names"}
_STATIC_CALLS = {
    "len", "isinstance", "type", "hasattr", "str", "repr", "getattr", "id", "enumerate", "range",
    "int", "float", "bool",
}  # fmt: skip
_STATIC_OPS = ("shape", "ndim", "rank", "standardize_dtype", "is_tensor", "is_keras_tensor")
_NO_TENSORS = {"self", "training", "mask"}


class Tensors:
    """Names in a function that hold tensors, found by following assignments.

    Args:
        function: Syntax tree of `call` or `wire`. Its arguments without defaults are tensors.
        file: File that resolves imported names.
    """

    def __init__(self, function: Function, file: File) -> None:
        self._file = file
        arguments = function.args.args[1:]
        plain = len(arguments) - len(function.args.defaults)
        self._names = {a.arg for a in arguments[: max(plain, 0)]} - _NO_TENSORS
        pairs = list(assigned(function))
        # Repeat until no name is added: in a loop, a value may use a name that is assigned later.
        before = -1
        while before != len(self._names):
            before = len(self._names)
            for target, value in pairs:
                if self.holds(value):
                    self._names |= self._targets(target)

    def holds(self, node: ast.AST | None) -> bool:
        """Return whether the value of an expression is or contains a tensor.

        Args:
            node: Expression; None is no tensor.
        """
        if node is None or isinstance(node, (ast.Constant, ast.JoinedStr, ast.Lambda)):
            return False
        if isinstance(node, ast.Name):
            return node.id in self._names
        if isinstance(node, ast.Attribute):
            return node.attr not in _STATIC and self.holds(node.value)
        if isinstance(node, ast.Compare):
            return self._compares(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Subscript):
            return self.holds(node.value)
        if isinstance(node, (ast.ListComp, ast.GeneratorExp, ast.SetComp)):
            return self.holds(node.elt) or any(self.holds(g.iter) for g in node.generators)
        if isinstance(node, ast.IfExp):
            return self.holds(node.body) or self.holds(node.orelse)
        return any(self.holds(child) for child in ast.iter_child_nodes(node))

    def decides(self, test: ast.AST) -> bool:
        """Return whether a condition depends on the value of a tensor.

        Conditions on whether an argument is None, or whether a list or dict is empty, do not.

        Args:
            test: Condition of an `if`, `while`, conditional expression or `assert`.
        """
        if isinstance(test, ast.BoolOp):
            return any(self.decides(value) for value in test.values)
        if isinstance(test, ast.UnaryOp):
            return self.decides(test.operand)
        # A private method may test a shape or a setting rather than a value.
        if isinstance(test, ast.Call) and on_self(test.func).startswith("_"):
            return False
        # `if maps:` tests whether a list or dict is empty. Only computed expressions are values.
        return not isinstance(test, (ast.Name, ast.Attribute)) and self.holds(test)

    def _compares(self, node: ast.Compare) -> bool:
        if any(isinstance(op, (ast.Is, ast.IsNot, ast.In, ast.NotIn)) for op in node.ops):
            return False
        return any(self.holds(side) for side in (node.left, *node.comparators))

    def _call(self, node: ast.Call) -> bool:
        name = self._file.full(node.func)
        if name in _STATIC_CALLS or name.rpartition(".")[2] in _STATIC_OPS:
            return False
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        if isinstance(node.func, ast.Attribute):
            if node.func.attr in _STATIC:
                return False
            arguments.append(node.func.value)
        return any(self.holds(argument) for argument in arguments)

    def _targets(self, target: ast.AST) -> set[str]:
        if isinstance(target, ast.Name):
            return {target.id}
        if isinstance(target, (ast.Tuple, ast.List)):
            return {name for item in target.elts for name in self._targets(item)}
        if isinstance(target, ast.Starred):
            return self._targets(target.value)
        return set()
