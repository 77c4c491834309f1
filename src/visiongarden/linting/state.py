"""Rules for state: shared layers, untracked tensors, random numbers, statistics without updates."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from visiongarden.linting.classes import Class, File, Function, assigned, on_self
from visiongarden.linting.finding import Found

_GENERATORS = ("numpy.random.default_rng", "numpy.random.RandomState", "random.Random")
_FILLED = {"ones", "zeros", "full"}
STATISTICS = frozenset({
    "mean", "avg", "average", "var", "variance", "std", "moving", "running", "ema", "stat",
    "stats", "statistics", "center", "centre",
})  # fmt: skip
"""Words in the names of weights that are likely running statistics."""


def findings_of_state(cls: Class, file: File) -> Iterator[Found]:
    """Find errors in how a class keeps layers, tensors, random numbers and statistics.

    Args:
        cls: Class to examine.
        file: File that contains the class.

    Yields:
        Errors in no particular order.
    """
    for method in cls.methods.values():
        yield from _repeated(method, file)
    if cls.kind == "part":
        return
    values = _attributes(cls)
    for name in ("__init__", "build"):
        if name in cls.methods:
            yield from _tensors(cls.methods[name], file)
            yield from _untracked(cls.methods[name], file)
    if "call" in cls.methods:
        yield from _frozen(cls.methods["call"], values, file)
        yield from _never_updated(cls, values)
    if "get_config" in cls.methods:
        yield from _arrays(cls.methods["get_config"], values, file)


def _attributes(cls: Class) -> dict[str, list[ast.AST]]:
    """Map each attribute to the expressions that the class assigns to it."""
    values: dict[str, list[ast.AST]] = {}
    for method in cls.methods.values():
        for target, value in assigned(method):
            if on_self(target):
                values.setdefault(on_self(target), []).append(value)
    return values


def _repeated(method: Function, file: File) -> Iterator[Found]:
    """Find containers that repeat one layer, whose weights are then shared (VG211).

    The forms are `[layer] * n`, `dict.fromkeys(keys, layer)` and `[layer for _ in ...]`. A layer
    that is also assigned to an attribute counts as shared on purpose.
    """
    layers = {
        target.id
        for target, value in assigned(method)
        if isinstance(target, ast.Name) and file.makes_layer(value)
    }
    kept = {
        value.id for target, value in assigned(method)
        if on_self(target) and isinstance(value, ast.Name)
    }  # fmt: skip

    def one(node: ast.AST) -> bool:
        named = isinstance(node, ast.Name) and node.id in layers - kept
        return named or bool(file.makes_layer(node))

    for node in ast.walk(method):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            for side in (node.left, node.right):
                if isinstance(side, (ast.List, ast.Tuple)) and any(map(one, side.elts)):
                    yield Found(node, "VG211")
        elif isinstance(node, ast.Call) and _last(node.func) == "fromkeys":
            if len(node.args) == 2 and one(node.args[1]):
                yield Found(node, "VG211")
        elif isinstance(node, (ast.ListComp, ast.DictComp)):
            item = node.elt if isinstance(node, ast.ListComp) else node.value
            if isinstance(item, ast.Name) and one(item):
                yield Found(node, "VG211")


def _tensors(method: Function, file: File) -> Iterator[Found]:
    """Find tensors of zeros, ones or random numbers kept instead of weights (VG213)."""
    for target, value in assigned(method):
        item = value
        if isinstance(value, ast.ListComp):
            item = value.elt
        elif isinstance(value, (ast.List, ast.Tuple)) and value.elts:
            item = value.elts[0]
        if on_self(target) and _is_initial(item, file):
            yield Found(target, "VG213", on_self(target))


def _is_initial(node: ast.AST, file: File) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = file.full(node.func)
    last = name.rpartition(".")[2]
    if name.startswith(("keras.ops.", "tensorflow.", "jax.numpy.", "torch.")) and last in _FILLED:
        # A tensor of rank 3 or higher is as likely a constant filter as a weight.
        shape = node.args[0] if node.args else None
        sides = shape.elts if isinstance(shape, (ast.Tuple, ast.List)) else None
        return sides is None or 0 < len(sides) < 3
    if name.startswith("keras.random.") and last[:1].islower():
        return True
    # `keras.initializers.GlorotUniform()(shape)`: the call of an initializer that was just built.
    inner = node.func
    return isinstance(inner, ast.Call) and file.full(inner.func).startswith("keras.initializers.")


def _untracked(method: Function, file: File) -> Iterator[Found]:
    """Find layers in closures and partial functions, where Keras cannot track them (VG111)."""
    layers = {
        target.id
        for target, value in assigned(method)
        if isinstance(target, ast.Name) and _makes(value, file)
    }
    inner = {
        node.name
        for node in ast.walk(method)
        if isinstance(node, ast.FunctionDef)
        and node is not method
        and any(isinstance(n, ast.Name) and n.id in layers for n in ast.walk(node))
    }
    for target, value in assigned(method):
        name = on_self(target)
        if not name:
            continue
        closes = isinstance(value, ast.Name) and value.id in inner
        called = value.func if isinstance(value, ast.Call) else None
        if isinstance(called, ast.Name) and called.id in file.makers:
            closes = True
        if called is not None and file.full(called) in ("functools.partial", "partial"):
            closes = any(_makes(arg, file) or _named(arg, layers) for arg in value.args)  # type: ignore[attr-defined]
        if closes:
            yield Found(target, "VG111", f"self.{name}")


def _named(node: ast.AST, names: set[str]) -> bool:
    return isinstance(node, ast.Name) and node.id in names


def _makes(node: ast.AST, file: File) -> bool:
    return any(file.makes_layer(inner) for inner in ast.walk(node))


def _frozen(call: Function, values: dict[str, list[ast.AST]], file: File) -> Iterator[Found]:
    """Find random numbers that repeat in every step of a compiled function (VG212)."""
    has_training = "training" in {a.arg for a in (*call.args.args, *call.args.kwonlyargs)}
    for node in ast.walk(call):
        if not isinstance(node, ast.Call):
            continue
        name = file.full(node.func)
        if name.startswith(("numpy.random.", "random.")) and has_training:
            yield Found(node, "VG212", f"{name}()")
        elif _of_generator(node, values, file):
            yield Found(node, "VG212", f"self.{on_self(node.func.value)}")  # type: ignore[attr-defined]
        elif name.startswith("keras.random.") and name[13:14].islower():
            seed = next((k.value for k in node.keywords if k.arg == "seed"), None)
            if _is_number(seed, values, file):
                yield Found(node, "VG212", "an integer seed")


def _of_generator(node: ast.Call, values: dict[str, list[ast.AST]], file: File) -> bool:
    """Return whether a call uses a NumPy or Python generator that the class keeps."""
    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
    made = values.get(on_self(owner), []) if owner is not None else []
    return any(isinstance(v, ast.Call) and file.full(v.func) in _GENERATORS for v in made)


def _is_number(seed: ast.AST | None, values: dict[str, list[ast.AST]], file: File) -> bool:
    if isinstance(seed, ast.Constant):
        return isinstance(seed.value, int)
    made = values.get(on_self(seed), []) if seed is not None else []
    # An argument that is stored unchanged (`self.seed = seed`) is a number, not a generator.
    return bool(made) and all(isinstance(v, (ast.Constant, ast.Name)) for v in made)


def _never_updated(cls: Class, values: dict[str, list[ast.AST]]) -> Iterator[Found]:
    """Find weights named like statistics that `call` reads and nothing updates (VG214)."""
    nodes = [n for m in cls.methods.values() for n in ast.walk(m)]
    updated = {
        on_self(n.value)
        for n in nodes
        if isinstance(n, ast.Attribute) and n.attr.startswith("assign")
    }
    read = {on_self(n) for n in ast.walk(cls.methods["call"]) if isinstance(n, ast.Attribute)}
    for name, made in values.items():
        weight = next((v for v in made if _is_state(v)), None)
        is_statistic = set(name.lower().split("_")) & STATISTICS
        if weight is not None and is_statistic and name in read - updated and len(made) == 1:
            yield Found(weight, "VG214", name)


def _is_state(node: ast.AST) -> bool:
    """Return whether an expression is `self.add_weight(..., trainable=False)`."""
    return (
        isinstance(node, ast.Call)
        and on_self(node.func) == "add_weight"
        and any(
            k.arg == "trainable" and isinstance(k.value, ast.Constant) and k.value.value is False
            for k in node.keywords
        )
    )


def _arrays(config: Function, values: dict[str, list[ast.AST]], file: File) -> Iterator[Found]:
    """Find NumPy arrays in the config, which deserialize to dicts (VG113)."""
    # An array is converted if a method is called on it (`self.grid.tolist()`) or if it is passed
    # to a function.
    plain = {id(n.value) for n in ast.walk(config) if isinstance(n, ast.Attribute)}
    plain |= {
        id(inner)
        for n in ast.walk(config)
        if isinstance(n, ast.Call)
        for inner in ast.walk(n)
        if n.args and inner is not n
    }
    for node in ast.walk(config):
        name = on_self(node)
        made = values.get(name, [])
        is_array = any(
            isinstance(v, ast.Call)
            and file.full(v.func) in ("numpy.array", "numpy.asarray", "numpy.linspace")
            for v in made
        )
        if name and is_array and id(node) not in plain:
            yield Found(node, "VG113", name)


def _last(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else ""
