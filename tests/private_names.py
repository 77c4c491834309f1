"""Private names of Keras and the backends in source code, found in its syntax tree."""

import ast
import functools
import importlib.util
import re
from pathlib import Path

BACKENDS = {"keras", "tensorflow", "jax", "jaxlib", "torch"}
PRIVATE_MODULES = re.compile(r"keras\.src\b|tensorflow\.python\b|.*\._[A-Za-z]")
PUBLIC_UNDERSCORES = {"_replace", "_asdict", "_fields", "_exit", "_getframe"}
"""Public names that start with an underscore: of named tuples, `os` and `sys`."""


@functools.cache
def private_names_of_keras():
    """Names with an underscore of layers, models, graphs, variables and optimizers of Keras."""
    folder = Path(importlib.util.find_spec("keras").origin).parent / "src"
    parts = ("layers/layer.py", "models", "ops/operation.py", "ops/node.py", "ops/function.py",
             "ops/symbolic_arguments.py", "layers/convolutional/base_conv.py", "utils/tracking.py",
             "optimizers/base_optimizer.py", "backend/common", "trainers", "metrics/metric.py",
             "backend/torch/layer.py", "backend/tensorflow/layer.py")  # fmt: skip
    files = [f for p in parts for f in [folder / p, *(folder / p).rglob("*.py")] if f.is_file()]
    classes = [
        node
        for file in files
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef)
    ]
    return frozenset(n for each in classes for n in own_names(each) if is_private(n))


def is_private(name):
    return re.match(r"_[A-Za-z]", name) is not None


def own_names(tree):
    """Names that a module defines or assigns, also as attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Call) and last_name(node.func) == "__setattr__":
            yield from (text.value for text in node.args if isinstance(text, ast.Constant))


def imported_modules(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def private_uses(tree, own, of_keras=frozenset()):
    """Yield (line, name) of each use of a private name of Keras or a backend in a module.

    Args:
        tree: Module.
        own: Names that the package defines itself.
        of_keras: Names of the classes that derive from one of Keras.
    """
    keras_names = private_names_of_keras()
    on_self, on_others = own | PUBLIC_UNDERSCORES, (own - keras_names) | PUBLIC_UNDERSCORES
    for node in ast.walk(tree):
        for name in imported_modules(node):
            if name.partition(".")[0] in BACKENDS and PRIVATE_MODULES.match(name):
                yield node.lineno, name
        if isinstance(node, ast.ClassDef) and node.name in of_keras:
            # Such an attribute or method would replace that of Keras.
            names = [n.name for n in node.body if isinstance(n, ast.FunctionDef)]
            found = [a for a in ast.walk(node) if isinstance(a, ast.Attribute) and is_on_self(a)]
            for name in {*names, *(a.attr for a in found)} & keras_names:
                yield node.lineno, f"{node.name}.{name}"
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            allowed = on_self if is_on_self(node) else on_others
            if node.attr not in allowed:
                yield node.lineno, node.attr
        # Names as text: `vars(layer)["_layers"]`, `getattr(tensor, "_keras_history")`.
        for text in texts_of_names(node):
            if isinstance(text, ast.Constant) and text.value in keras_names:
                yield node.lineno, text.value


def texts_of_names(node):
    """Return the nodes whose text may be the name of an attribute."""
    if isinstance(node, ast.Subscript):
        return [node.slice]
    if isinstance(node, ast.Call):
        name = last_name(node.func)
        return (
            node.args if name in ("getattr", "hasattr", "setattr", "delattr", "get", "pop") else []
        )
    return []


def last_name(node):
    """Return the name of a variable, or of the attribute of any object."""
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", None)


def is_on_self(attribute):
    value = attribute.value
    if isinstance(value, ast.Call):
        return last_name(value.func) == "super" and not value.args
    return isinstance(value, ast.Name) and value.id in {"self", "cls"}


def classes_of_keras(trees):
    """Names of the classes that derive from one of Keras, also through classes in between."""
    bases = {}
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = [ast.unparse(base) for base in node.bases]
    found = set()
    while True:
        more = {
            name
            for name, named in bases.items()
            if any(base.startswith("keras.") or base.split(".")[-1] in found for base in named)
        }
        if more <= found:
            return found
        found |= more


@functools.cache
def parsed(folder):
    """Return the syntax tree of each Python file in a folder."""
    return {file: ast.parse(file.read_text("utf-8")) for file in sorted(folder.rglob("*.py"))}
