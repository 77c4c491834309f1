"""Rules for a class, its constructor, its `build` and its config (VG101 to VG112)."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from visiongarden.backends.reserved_names import PRIVATE
from visiongarden.linting.classes import Class, File, assigned, is_abstract, on_self
from visiongarden.linting.finding import Found

_BASE = {"name", "dtype", "trainable"}
_RESERVED = PRIVATE | {  # attributes and methods of keras.Layer that a subclass must not assign
    "path", "dtype", "compute_dtype", "variable_dtype", "input_dtype", "variables", "weights",
    "trainable_variables", "trainable_weights", "non_trainable_variables", "losses", "metrics",
    "non_trainable_weights", "quantization_mode", "input", "output", "call", "build", "get_config",
    "metrics_variables", "count_params", "name",
    "add_weight", "add_loss", "add_metric", "add_variable", "stateless_call", "get_weights",
    "set_weights", "compute_output_shape", "compute_output_spec", "from_config", "quantize",
}  # fmt: skip
_CHANGES = {"append", "extend", "insert", "add", "update", "setdefault", "pop", "clear"}


def findings_of_class(cls: Class, file: File) -> Iterator[Found]:
    """Find errors of a class outside of `call` and `wire`.

    Args:
        cls: Class to examine.
        file: File that contains the class.

    Yields:
        Errors in no particular order.
    """
    yield from _registration(cls, file)
    if cls.kind == "part":
        return
    if not cls.is_private:
        yield from _config(cls)
    yield from _constructor(cls, file)
    yield from _containers(cls, file)
    yield from _build(cls, file)


def _registration(cls: Class, file: File) -> Iterator[Found]:
    """Find a class that is not registered (VG101)."""
    calls = [n.func if isinstance(n, ast.Call) else n for n in cls.node.decorator_list]
    decorated = any("register" in file.full(node) for node in calls)
    work = [cls.methods[name] for name in ("call", "wire") if name in cls.methods]
    concrete = cls.concrete_base or any(not is_abstract(method) for method in work)
    # Base classes and abstract classes are never written to a file, so they need no key.
    if not decorated and concrete and cls.name not in file.based_on and not cls.is_private:
        yield Found(cls.node, "VG101", cls.name)


def _config(cls: Class) -> Iterator[Found]:
    """Find constructor arguments that the config drops or cannot hold (VG103, VG104, VG112)."""
    config = cls.methods.get("get_config")
    if cls.kind == "model":
        return
    if config is None:
        if not cls.composite:
            yield from _unserializable(cls)
        return
    texts = {n.value for n in ast.walk(config) if isinstance(n, ast.Constant)}
    texts |= {n.arg for n in ast.walk(config) if isinstance(n, ast.keyword) and n.arg}
    names = {n.id for n in ast.walk(config) if isinstance(n, ast.Name)}
    attributes = {n.attr for n in ast.walk(config) if isinstance(n, ast.Attribute)}
    if not _calls_super(config, "get_config") and not texts >= _BASE:
        yield Found(config, "VG103")
    if "vars" in names or "__dict__" in attributes or is_abstract(config):
        return
    # A config may return a dict that `__init__` filled: `return self._config_dict`.
    for method in cls.methods.values():
        for target, value in assigned(method):
            if on_self(target) in attributes:
                texts |= {n.value for n in ast.walk(value) if isinstance(n, ast.Constant)}
                texts |= {n.arg for n in ast.walk(value) if isinstance(n, ast.keyword) and n.arg}
    known = texts | _BASE | _given_to_base(cls)
    for argument in _parameters(cls):
        if argument.arg not in known and not cls.composite:
            yield Found(config, "VG104", argument.arg)


def _unserializable(cls: Class) -> Iterator[Found]:
    """Find arguments that are stored and called, so they are layers or functions.

    Keras's automatic config records only plain values. Without `get_config`, such an argument makes
    saving fail.
    """
    init, call = cls.methods.get("__init__"), cls.methods.get("call")
    if init is None or call is None:
        return
    called = {on_self(n.func) for n in ast.walk(call) if isinstance(n, ast.Call)}
    arguments = {argument.arg: argument for argument in _parameters(cls)}
    for target, value in assigned(init):
        if isinstance(value, ast.Name) and value.id in arguments and on_self(target) in called:
            yield Found(arguments[value.id], "VG112", value.id)


def _constructor(cls: Class, file: File) -> Iterator[Found]:
    """Find defaults and attributes that break saving or sharing (VG105 to VG108, VG110)."""
    for method in cls.methods.values():
        for default in (*method.args.defaults, *method.args.kw_defaults):
            if _is_mutable(default):
                yield Found(default or method, "VG108")
        for target, value in assigned(method):
            name = on_self(target)
            if name and isinstance(value, ast.Lambda):
                yield Found(value, "VG106", name)
            # `self.name = name` is harmless: Keras stores the name in the same attribute.
            same = isinstance(value, ast.Name) and value.id == name == "name"
            if name in _RESERVED and not same and method.name in ("__init__", "build"):
                yield Found(target, "VG110", name)
        for node in ast.walk(method):
            if isinstance(node, ast.Call) and file.full(node.func) == "keras.layers.Lambda":
                yield Found(node, "VG107")
    if "__init__" in cls.methods and cls.kind == "layer":
        yield from _passing_on(cls.methods["__init__"])


def _passing_on(init: ast.FunctionDef) -> Iterator[Found]:
    """Find constructors that do not pass name, dtype and trainable to the base (VG105)."""
    supers = [n for n in ast.walk(init) if _is_super(n, "__init__")]
    given = {k.arg for call in supers for k in call.keywords}  # type: ignore[attr-defined]
    names = {a.arg for a in (*init.args.args, *init.args.kwonlyargs)}
    whole = None in given and init.args.kwarg is not None
    explicit = {"name", "dtype"} <= given or (None in given and {"name", "dtype"} <= names)
    if not whole and not explicit:
        yield Found(supers[0] if supers and init.args.kwarg else init, "VG105")


def _containers(cls: Class, file: File) -> Iterator[Found]:
    """Find layers that Keras does not track because of their container (VG109, VG111)."""
    yield from _shared_attributes(cls)
    for method in cls.methods.values():
        # Keras wraps a list when it is added to a tracked list. Layers that are appended to the
        # original list afterwards are not tracked.
        local = {
            target.id
            for target, value in assigned(method)
            if isinstance(target, ast.Name) and _is_mutable(value)
        }
        appended = [n for n in ast.walk(method) if _append(n)]
        for call in appended:
            owner, item = call.func.value, call.args[0]  # type: ignore[attr-defined]
            late = isinstance(item, ast.Name) and item.id in local
            if (
                on_self(owner)
                and late
                and any(
                    isinstance(other.func.value, ast.Name)  # type: ignore[attr-defined]
                    and other.func.value.id == item.id  # type: ignore[attr-defined]
                    and other.lineno > call.lineno  # type: ignore[attr-defined]
                    for other in appended
                )
            ):
                yield Found(call, "VG111", f"self.{on_self(owner)}")
        for target, value in assigned(method):
            made = file.full(value.func) if isinstance(value, ast.Call) else ""
            if on_self(target) and made in file.holders:
                yield Found(value, "VG111", made)


def _shared_attributes(cls: Class) -> Iterator[Found]:
    """Find mutable class attributes that methods change (VG109)."""
    changed = set()
    for method in cls.methods.values():
        for node in ast.walk(method):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr in _CHANGES:
                    changed.add(_attribute(node.func.value))
            elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
                changed.add(_attribute(node.value))
    own = {on_self(target) for m in cls.methods.values() for target, _ in assigned(m)}
    for statement in cls.node.body:
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and _is_mutable(statement.value):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for target in targets:
                name = target.id if isinstance(target, ast.Name) else ""
                if name in changed and name not in own:
                    yield Found(statement, "VG109", name)


def _build(cls: Class, file: File) -> Iterator[Found]:
    """Find layers that `build` creates without building them (VG102)."""
    build = cls.methods.get("build")
    if build is None or (_calls_super(build, "build") and cls.composite):
        return
    used = {on_self(n.value) for n in ast.walk(build) if isinstance(n, ast.Attribute)}
    used |= {on_self(n.func) for n in ast.walk(build) if isinstance(n, ast.Call)}
    looped = {on_self(n.iter) for n in ast.walk(build) if isinstance(n, ast.For)}
    for target, value in assigned(build):
        name = on_self(target)
        if name and file.makes_layer(value) and name not in used | looped:
            yield Found(target, "VG102", name)


def _parameters(cls: Class) -> list[ast.arg]:
    init = cls.methods.get("__init__")
    return [*init.args.args[1:], *init.args.kwonlyargs] if init else []


def _given_to_base(cls: Class) -> set[str]:
    """Return the names of arguments that are passed to a base class, whose config contains them."""
    init = cls.methods.get("__init__")
    if init is None or not cls.concrete_base:
        return set()
    supers = [n for n in ast.walk(init) if _is_super(n, "__init__")]
    return {n.id for call in supers for n in ast.walk(call) if isinstance(n, ast.Name)}


def _is_super(node: ast.AST, name: str) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    owner = node.func.value
    if isinstance(owner, ast.Call) and isinstance(owner.func, ast.Name):
        owner = owner.func if owner.func.id == "super" else owner
    # Includes the explicit form `Base.__init__(self, ...)`.
    return node.func.attr == name and isinstance(owner, (ast.Name, ast.Attribute))


def _calls_super(function: ast.AST, name: str) -> bool:
    return any(_is_super(node, name) for node in ast.walk(function))


def _is_mutable(node: ast.AST | None) -> bool:
    made = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return isinstance(node, (ast.List, ast.Dict, ast.Set, ast.ListComp)) or (
        made and node.func.id in ("list", "dict", "set")  # type: ignore[union-attr]
    )


def _append(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "append"
        and len(node.args) == 1
    )


def _attribute(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else ""
