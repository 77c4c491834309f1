"""Layers, models and parts of a source file, and resolution of imported names.

Only one file is read and nothing is imported, so the kind of a class follows from the names of its
base classes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

_ROOTS = {
    "keras.Layer": "layer",
    "keras.layers.Layer": "layer",
    "keras.Model": "model",
    "keras.models.Model": "model",
}
_PARTS = ("Backbone", "Decoder", "Head", "Part", "FeaturePart")

Function = ast.FunctionDef


@dataclass
class Class:
    """Class of the file that is a layer, a model or a part.

    Attributes:
        node: Syntax tree of the class.
        kind: "layer", "model" or "part".
        composite: Whether the class derives from `Composite`, which provides `get_config` and
            `build`.
        concrete_base: Whether a base class already defines `call`, as `Conv2D` does.
        methods: Methods by name.
    """

    node: ast.ClassDef
    kind: str
    composite: bool = False
    concrete_base: bool = False
    methods: dict[str, Function] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the class."""
        return self.node.name

    @property
    def is_private(self) -> bool:
        """Whether the name starts with an underscore; such classes need not be serializable."""
        return self.name.startswith("_")


class File:
    """Layers and parts of a file, and the names that its imports bind.

    Args:
        tree: Syntax tree of the file.

    Attributes:
        classes: Classes that are layers, models or parts, in the order of the file.
        based_on: Names of their base classes.
        holders: Names of other classes that create layers. Keras does not track layers inside them.
        makers: Names of functions that create layers and return a closure over them.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._names = dict(_imports(tree))
        self.classes: list[Class] = []
        self.based_on: set[str] = set()
        self.holders: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                self._add(node)
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        self.makers = {node.name for node in functions if self._returns_closure(node)}

    def full(self, node: ast.AST | None) -> str:
        """Return the full name of an expression, such as `keras.layers.Dense` for `layers.Dense`.

        Names are resolved through the imports of the file, and `tf.keras` becomes `keras`. The
        result is empty if the expression is not a dotted name.

        Args:
            node: Expression.
        """
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        name = ".".join([self._names.get(node.id, node.id), *reversed(parts)])
        return name.removeprefix("tensorflow.") if name.startswith("tensorflow.keras") else name

    def makes_layer(self, node: ast.AST) -> str:
        """Return the class name if the node is a call that creates a layer; otherwise "".

        Args:
            node: Expression.
        """
        if not isinstance(node, ast.Call):
            return ""
        name = self.full(node.func)
        last = name.rpartition(".")[2]
        is_visiongarden = name.startswith(("visiongarden.layers.", "visiongarden.blocks."))
        known = name.startswith("keras.layers.") or is_visiongarden or name in {"keras.Sequential"}
        is_local = any(cls.name == name and cls.kind != "part" for cls in self.classes)
        return name if is_local or (known and last[:1].isupper()) else ""

    def _returns_closure(self, node: Function) -> bool:
        """Return whether a function creates layers and returns a function defined inside it."""
        inner = {n.name for n in ast.walk(node) if isinstance(n, ast.FunctionDef) and n is not node}
        returned = {
            n.value.id
            for n in node.body
            if isinstance(n, ast.Return) and isinstance(n.value, ast.Name)
        }
        makes = any(self.makes_layer(n) for n in ast.walk(node))
        return makes and bool(inner & returned)

    def _add(self, node: ast.ClassDef) -> None:
        methods = {n.name: n for n in node.body if isinstance(n, ast.FunctionDef)}
        for base in node.bases:
            kind, composite, concrete = self._kind(base)
            if kind:
                self.based_on.add(self.full(base))
                self.classes.append(Class(node, kind, composite, concrete, methods))
                return
        if any(self.makes_layer(n) for m in methods.values() for n in ast.walk(m)):
            self.holders.add(node.name)

    def _kind(self, base: ast.AST) -> tuple[str, bool, bool]:
        name = self.full(base)
        first, _, last = name.rpartition(".")
        for cls in self.classes:
            if cls.name == name:
                concrete = cls.concrete_base or "call" in cls.methods
                return cls.kind, cls.composite, concrete
        if name in _ROOTS:
            return _ROOTS[name], False, False
        if name.startswith("keras.layers.") or name.startswith("visiongarden.blocks."):
            return "layer", name.startswith("visiongarden."), True
        if last == "Composite":
            return "layer", True, False
        if name.startswith("visiongarden.layers."):
            return "layer", True, True
        if last in _PARTS and first.startswith("visiongarden"):
            return "part", False, False
        # The base class is defined in another file, which is not read. Only its name can show that
        # it is a layer.
        return (
            ("layer", False, False)
            if last.endswith("Layer") and last != "Layer"
            else ("", False, False)
        )


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.name if alias.asname else alias.name.split(".")[0]
                yield alias.asname or name, name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def on_self(node: ast.AST) -> str:
    """Return "x" for the expression `self.x`, and "" for any other."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.attr if node.value.id == "self" else ""
    return ""


def assigned(function: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Iterate over the targets and values of all assignments; tuples are unpacked.

    Args:
        function: Syntax tree to search.

    Yields:
        Target and value of one assignment.
    """
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
            pairs = [(node.target, node.value)]
        else:
            continue
        for target, value in pairs:
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                yield from zip(target.elts, value.elts, strict=False)
            else:
                yield target, value


def is_abstract(function: Function) -> bool:
    """Return whether a method ends with `raise NotImplementedError`, so subclasses override it."""
    last = function.body[-1]
    raised = last.exc if isinstance(last, ast.Raise) else None
    called = raised.func if isinstance(raised, ast.Call) else raised
    return isinstance(called, ast.Name) and called.id == "NotImplementedError"
