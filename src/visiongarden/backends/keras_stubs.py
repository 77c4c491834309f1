"""Stubs that let Keras open files with visiongarden's classes before their modules are imported.

**Why.** Keras finds a class of a file in `keras.saving.get_custom_objects()`, in which a module
registers its classes when it is imported. `import visiongarden` imports no such module, so that
`keras.saving.load_model` would not find `Detector`. **Gain:** importing them would import Keras and
a backend, which takes 3 to 10 s and 300 to 780 MB, also in the worker processes of the loader and
in `visiongarden --help`. **Switch:** `keras_hook` disables the finder. The files then open after
`import keras, visiongarden` in this order, or after `import visiongarden.models`.

- Each key has a stub in `get_custom_objects()` instead. Its `from_config` imports the module, which
  replaces the stub by the class, and continues with the class.
- If Keras is imported already, the stubs are added by `import visiongarden`. Otherwise a finder in
  `sys.meta_path` adds them when the one module `keras` has been imported, and then removes itself.
  The hook imports neither Keras nor a module of visiongarden, and changes nothing else of the
  import. It adds less than 1 ms to each of the two imports.

`scripts/keras-classes` generates the table of keys in `keras_classes.py`.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from typing import Any

from visiongarden.backends.keras_classes import CLASSES, FUNCTIONS
from visiongarden.backends.onednn import without_notes
from visiongarden.backends.optional_imports import optional_imports_skipped
from visiongarden.backends.switches import is_named


def prepare() -> None:
    """Add the stubs if Keras is imported; otherwise, add them when it will be imported."""
    if "keras" in sys.modules:
        add_stubs()
    elif not is_named("keras_hook") and not any(isinstance(f, _Finder) for f in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def add_stubs() -> None:
    """Add a stub for each key of visiongarden that is not registered yet; imports Keras."""
    # The submodule, because the module `keras` may be initialized only in part.
    from keras.saving import get_custom_objects, register_keras_serializable

    objects = get_custom_objects()
    for key in CLASSES:
        objects.setdefault(key, _stub_class(key))
    for key in FUNCTIONS:
        if key not in objects:
            package, name = key.split(">")
            # Registered under the key as well, so that a model that was opened with the stub is
            # saved like one with the function itself.
            register_keras_serializable(package, name)(_stub_function(key))


def import_class(key: str) -> None:
    """Import the module of visiongarden that registers `key`; do nothing for any other key."""
    if key in CLASSES:
        importlib.import_module(CLASSES[key])


class _Stub:
    """Placeholder of a class in `get_custom_objects()` until its module is imported."""

    key: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError(f"{self.key} is a stub, which only Keras's deserialization may use")

    @classmethod
    def from_config(cls, config: dict[str, Any], **kwargs: Any) -> Any:
        """Import the class and deserialize an object of it."""
        return _real(cls.key, CLASSES[cls.key]).from_config(config, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Exist, as Keras requires of every registered class; a stub has no objects."""
        return {}


def _stub_class(key: str) -> type:
    name = key.split(">")[1]
    return type(name, (_Stub,), {"key": key, "__doc__": f"Stub of {CLASSES[key]}.{name}."})


def _stub_function(key: str) -> Any:
    def stub(*args: Any, **kwargs: Any) -> Any:
        return _real(key, FUNCTIONS[key])(*args, **kwargs)

    stub.__name__ = stub.__qualname__ = key.split(">")[1]
    return stub


def _real(key: str, module: str) -> Any:
    from keras.saving import get_custom_objects

    importlib.import_module(module)
    # Not `get_registered_object`: inside `load_model`, it searches a copy of the custom objects
    # first, which may still contain the stub, and the stub would call itself.
    found = get_custom_objects()[key]
    if found.__module__ == __name__:
        raise LookupError(f"{module} does not register {key}")
    return found


class _Finder:
    """Finder for the name `keras` that adds the stubs once the module has been executed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the spec that the other finders find, with a loader that adds the stubs."""
        if name != "keras":
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                self._wrap(spec.loader)
                return spec
        return None

    def _wrap(self, loader: Any) -> None:
        # A loader of an extension or of another tool may lack the method.
        execute = getattr(loader, "exec_module", None)
        if execute is None:  # A namespace package; Keras is not installed.
            return

        def exec_module(module: Any) -> None:
            with without_notes(), optional_imports_skipped():
                execute(module)
            # Only now, so that the stubs are also added if a first import of Keras fails, for
            # example because of its backend, and a second one succeeds.
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            add_stubs()

        # On the loader object instead of in a class around it: `inspect` and `importlib.resources`
        # depend on the loader's type.
        loader.exec_module = exec_module
