"""Model files: `load`, the `save` method of models, and the checks that both run.

A model file is a regular `.keras` archive whose config contains the three parts, plus the member
`visiongarden.json` (the manifest). The manifest lists the shape and checksum of each weight by
path, each layer with its arguments, and a digest of the source of each custom class. It allows
`load` to detect damaged weights and classes that have changed since the file was written.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
import threading
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from visiongarden.backends.distribution import alone
from visiongarden.backends.garbage import gc_paused
from visiongarden.backends.keras_stubs import add_stubs, import_class
from visiongarden.backends.names import fresh_names
from visiongarden.backends.weightless import fill, is_only_its_weights, weightless
from visiongarden.config.value import REGISTERED, unregistered_in
from visiongarden.errors import ModelFileError, UserError, nearest
from visiongarden.layers.nested import set_trainable, trainable_inside
from visiongarden.models.compiled import OPTIMIZER, restore_compiled
from visiongarden.models.definition import compare_definition, definition
from visiongarden.models.serializable import (
    decorator,
    key_of,
    quantization_error,
    refuse_quantized,
    registered_class,
    required_key,
)
from visiongarden.plugins import imported_by_name, package_of
from visiongarden.registry import registered
from visiongarden.storage import atomic_path, check_file, parse_json

MANIFEST = "visiongarden.json"
_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"

# Already done unless the hook is disabled; the classes of optimizers are found through it, too.
add_stubs()

_FIRST_OBJECT = threading.RLock()

_copying: ContextVar[bool] = ContextVar("_copying", default=False)
"""Whether a model is pickled or copied, which its class need not be registered for."""

# Limits for files from untrusted sources. A few kilobytes can expand to gigabytes of JSON, and the
# groups of an HDF5 file can form cycles.
_MAX_JSON, _MIN_JSON, _JSON_RATIO = 16 * 2**20, 2**20, 200
_MAX_ARRAYS, _MAX_DEPTH = 200_000, 100
_SLACK = 64 * 2**20  # bytes of a weights file besides weights and optimizer state


def load(path: str | Path) -> Any:
    """Load a model saved by `model.save`, with bit-exact weights.

    No code in the file is executed, and no module that the file names is imported or installed.
    Import the modules of your own classes first, so that the classes are registered.

    Args:
        path: Path of the `.keras` file.

    Returns:
        The model, compiled if it was compiled when it was saved, with the state of its optimizer.
        Seeds of random layers such as dropout are not stored in files, as in Keras.

    Raises:
        ModelFileError: If the file does not exist, is not a complete model file, or names a class
            that is not registered (the message contains the missing import); if a weight does not
            have the checksum with which it was saved; or if the classes build other layers than
            when the file was written.

    Warns:
        ChangedCodeWarning: If the code of a custom class has changed since the file was written.
        UserWarning: If the optimizer of a compiled model cannot be restored.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "pets.keras"
        >>> model = vg.Classifier(
        ...     backbone=vg.backbones.CSPDarknet(levels=("p5",)),
        ...     head=vg.heads.Classification(num_classes=2),
        ...     class_map=("cat", "dog"),
        ... )
        >>> model.save(path)
        >>> vg.load(path).class_map.names
        ('cat', 'dog')
    """
    return _open(Path(path), compiled=True)


_OTHER_MODELS = {".bin", ".ckpt", ".h5", ".npz", ".pt", ".pth", ".safetensors"}
"""Endings of files of weights and of models of other tools, whose weights `transfer` reads."""


def _check_kind(path: Path) -> None:
    """Raise an error for a missing file, and for files of other tools by their endings.

    Raises:
        ModelFileError: There is no file, or it ends like an exported model or a file of weights.
    """
    check_file(path, "model file", (".keras",), ModelFileError)
    if path.suffix.lower() == ".onnx":
        raise ModelFileError(
            f"{path} is an exported model",
            rule="a .keras file written by model.save()",
            fix=f"vg.exporters.load({str(path)!r}), or load the .keras file that was exported",
        )
    if path.suffix.lower() in _OTHER_MODELS:
        raise ModelFileError(
            f"{path} is not a .keras file",
            rule="a .keras file written by model.save()",
            fix=f"visiongarden transfer {path} model.keras --output started.keras, to load its "
            "weights into a model",
        )


def _open(path: Path, compiled: bool) -> Any:
    _check_kind(path)
    try:
        # Also where a recipe names the file, whose own names may import packages.
        with zipfile.ZipFile(path) as archive, gc_paused(), imported_by_name(allowed=False):
            config = _read_json(path, archive, _CONFIG)
            manifest = _read_json(path, archive, MANIFEST)
            cls = _model_class(path, config)
            model, variables = _rebuild(path, cls, config, archive.getinfo(_WEIGHTS).file_size)
            with tempfile.TemporaryDirectory() as folder:
                weights = Path(archive.extract(_WEIGHTS, folder))
                with h5py.File(weights, "r") as file:
                    names = _checked(path, file, model)
                    values = _by_checksum(file, names, manifest, model)
                fill(model, variables, values or {})
                if values is None:
                    _load_weights(path, weights, model)
                if compiled and config.get("compile_config"):
                    with h5py.File(weights, "r") as file:
                        restore_compiled(path, model, config["compile_config"], file)
    except (UserError, Warning):
        raise
    except Exception as e:  # A damaged file makes h5py and zipfile raise errors of many types.
        raise ModelFileError(
            f"{path} is not a complete model file",
            rule="a .keras file written by model.save(), with all of its members",
            received=str(e).strip("'\""),
            fix="save the model again, or copy the file again if it is truncated",
        ) from e
    _compare(path, manifest, fingerprints(model))
    compare_definition(path, manifest, model)
    return model


def fingerprints(model: keras.Model) -> dict[str, list[Any]]:
    """Return `{path: [shape, dtype, CRC-32 of the values]}` for every weight of a model."""
    found = {}
    for weight in model.weights:
        array = keras.ops.convert_to_numpy(weight.value)
        found[weight.path] = [list(array.shape), str(array.dtype), zlib.crc32(array.tobytes())]
    return found


class SavedAsParts:
    """Mixin that lets models made of parts save themselves and record which layers are frozen.

    `copy.deepcopy` and pickle return a model of the same class with the same weights and optimizer
    state, also for a class that is not registered.
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None) -> None:
        # For the first object of a class, Keras replaces `Model` among the bases of the class. If
        # two threads do so at the same time, one of them raises a TypeError.
        with _FIRST_OBJECT:
            # Only `name` is passed: Keras silently drops other keyword arguments.
            super().__init__(inputs, outputs, name=name)  # type: ignore[call-arg]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as Keras does, and pass the class itself, which may not be registered."""
        before = _copying.set(True)
        try:
            return _unpickled, (type(self), *super().__reduce__())
        finally:
            _copying.reset(before)

    def get_build_config(self) -> Any:
        """Return Keras's build config, which every way of saving writes.

        `keras.saving.save_model` and a plain Keras model that contains this one do not call `save`.

        Raises:
            UserError: If the class is not registered, or a layer is quantized.
        """
        if not _copying.get():
            self._check_saveable()
        return super().get_build_config()  # type: ignore[misc]

    def _check_saveable(self) -> None:
        required_key(type(self))
        refuse_quantized(self)

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        """Refuse to quantize: Keras quantizes no convolutions.

        Raises:
            UserError: Always. The fix uses half the memory by other means.
        """
        raise quantization_error(self)

    def save(self, filepath: str | Path, overwrite: bool = True, **kwargs: Any) -> None:
        """Save the model atomically, after verifying that the file can be loaded again.

        Args:
            filepath: Path of the file; the name ends in ".keras".
            overwrite: Whether to replace an existing file.
            **kwargs: Further arguments of `keras.Model.save`.

        Raises:
            UserError: If the name does not end in ".keras", the file exists and `overwrite` is
                False, the class of the model, of a part or of an argument is not registered (the
                fix is the decorator to add), or a layer is quantized.
            ModelFileError: If the file could not be loaded again, or not as the same model. No
                file is written then.
        """
        path = Path(filepath)
        if path.suffix != ".keras":
            raise UserError(
                f"cannot save a model as {path}",
                rule="a name that ends in .keras",
                fix=f'model.save("{path.with_suffix(".keras")}")',
            )
        if path.exists() and not overwrite:
            raise UserError(
                f"{path} already exists", fix="choose another name, or pass overwrite=True"
            )
        self._check_saveable()
        with atomic_path(path) as draft:
            super().save(draft, overwrite=True, **kwargs)  # type: ignore[misc]
            with zipfile.ZipFile(draft, "a") as archive:
                archive.writestr(MANIFEST, json.dumps(self._manifest()))
            _read_back(draft, path, self)

    def _manifest(self) -> dict[str, Any]:
        return {"format": 1, "weights": fingerprints(self), **definition(self)}

    def trainable_config(self) -> dict[str, Any]:
        """Return the config entries that record which layers are frozen.

        Returns:
            A dict with "trainable" and "trainable_inside", or an empty dict if no layer is frozen.
        """
        inside = trainable_inside(self)
        if self.trainable and not inside:  # type: ignore[attr-defined]
            return {}
        return {"trainable": bool(self.trainable), "trainable_inside": inside}  # type: ignore[attr-defined]

    def freeze_as(self, config: Mapping[str, Any]) -> Any:
        """Freeze the layers recorded by `trainable_config`, and return the model."""
        inside = config.get("trainable_inside")
        if inside or not config.get("trainable", True):
            inside = inside if isinstance(inside, Mapping) else {}
            set_trainable(self, bool(config.get("trainable", True)), inside)
        return self


def _unpickled(cls: type, rebuild: Any, arguments: tuple[Any, ...]) -> Any:
    with keras.saving.custom_object_scope({keras.saving.get_registered_name(cls): cls}):
        return rebuild(*arguments)


def _read_back(draft: Path, path: Path, model: Any) -> None:
    """Raise an error if a file that was just written does not load as the same model.

    Args:
        draft: Path of the file under its temporary name.
        path: Path that the file is about to get, for messages.
        model: The saved model.
    """
    # The layers are compared only when the config has changed since the last save of this model,
    # so that saving a checkpoint every epoch does not build the model every time.
    shape = json.dumps(model.get_config(), default=str)
    try:
        # Process 0 writes the files of a run, so that no other one takes part.
        with zipfile.ZipFile(draft) as archive, gc_paused(), fresh_names(), alone():
            config, manifest = (_read_json(path, archive, name) for name in (_CONFIG, MANIFEST))
            if vars(model).get("_visiongarden_read_back") != shape:
                if not is_only_its_weights(model):
                    _open(draft, compiled=False)
                else:
                    # The values are covered by `_check_stored`, so a model without values
                    # suffices.
                    size = archive.getinfo(_WEIGHTS).file_size
                    again, _ = _rebuild(path, _model_class(path, config), config, size)
                    _compare_paths(path, manifest["weights"], [w.path for w in again.weights])
                    compare_definition(path, manifest, again)
            with tempfile.TemporaryDirectory() as folder:
                weights = archive.extract(_WEIGHTS, folder)
                _check_stored(path, weights, manifest["weights"])
    except (ModelFileError, UserError, TypeError, ValueError) as error:
        what = error.what if isinstance(error, UserError) else str(error)
        raise ModelFileError(
            f"{path} was not written, because it could not be loaded again: "
            f"{what.replace(str(draft), str(path))}",
            rule=error.rule if isinstance(error, UserError) else None,
            received=error.received if isinstance(error, UserError) else None,
            fix="make wire() and the classes build the same layers with the same names every time",
        ) from error
    object.__setattr__(model, "_visiongarden_read_back", shape)


def _check_stored(path: Path, weights: str, expected: dict[str, list[Any]]) -> None:
    """Raise an error if a weights file lacks an array of one of these shapes and checksums."""
    stored: set[tuple[tuple[int, ...], int]] = set()

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            array = np.asarray(item[()])
            stored.add((array.shape, zlib.crc32(array.tobytes())))

    with h5py.File(weights, "r") as file:
        file.visititems(visit)
    missing = [
        name for name, (shape, _, crc) in expected.items() if (tuple(shape), crc) not in stored
    ]
    if missing:
        raise ModelFileError(
            f"{len(missing)} of {len(expected)} weights are not in the file",
            rule="layers in attributes whose names Keras does not use; it saves no others",
            received=_some(missing),
        )


def written(part: Any) -> dict[str, Any]:
    """Serialize a part in the format that Keras uses for registered objects.

    Returns:
        A dict with the module, class name, registered key and fields of the part.

    Raises:
        UserError: If the class of the part, or of a value in its fields, is not registered, so that
            no process could load the file.
    """
    cls = type(part)
    key = required_key(cls)
    for each in unregistered_in(part):  # a loss, or a part of it
        required_key(each)
    return {
        "module": cls.__module__,
        "class_name": cls.__name__,
        "registered_name": key,
        "config": part.get_config(),
    }


def read_part(config: Any, role: type) -> Any:
    """Deserialize a part that `written` serialized. Classes are looked up, never imported.

    Args:
        config: The serialized part.
        role: `Backbone`, `Decoder` or `Head`.

    Raises:
        ModelFileError: If the config is not a serialized part, or its class is not registered.
    """
    if not isinstance(config, Mapping) or not isinstance(config.get("config"), Mapping):
        raise ModelFileError(
            f"the file contains no {role.__name__.lower()}", received=repr(config)[:80]
        )
    return _registered(config, role).from_config(config["config"])


def _registered(config: Mapping[str, Any], kind: type) -> Any:
    key = str(config.get("registered_name"))
    # Only modules of visiongarden itself, from its own table; a file never causes another import.
    import_class(key)
    found = registered_class(key, kind)
    if found is not None:
        return found
    module, what = config.get("module"), f"the file needs the {kind.__name__.lower()} {key!r}"
    defined = _defined(module, config.get("class_name"), kind)
    if defined is not None:
        raise ModelFileError(
            f"{what}, which is not registered",
            rule=REGISTERED,
            received=f"the class {defined.__name__} of {module}, without @vg.register",
            fix=f"put {decorator(defined)} above class {defined.__name__}",
        )
    raise ModelFileError(
        f"{what}, which is not registered",
        rule="loading imports nothing; import the module that registers the class first",
        received=_provider(module),
        fix=_registration(key, module, kind),
    )


def _defined(module: Any, name: Any, kind: type) -> Any:
    """Return a class of a module that the user has imported, or None."""
    imported = sys.modules.get(module) if isinstance(module, str) else None
    found = None if imported is None else vars(imported).get(str(name))
    if isinstance(found, type) and issubclass(found, kind) and key_of(found) is None:
        return found
    return None


def _provider(module: Any) -> str | None:
    """Name the installed package that contains a module of the user, without importing it."""
    steps = module.split(".") if isinstance(module, str) else []
    own = ("visiongarden", "__main__", "builtins")
    if not steps or steps[0] in own or not all(step.isidentifier() for step in steps):
        return None
    package = package_of(module)
    if package is not None:
        return f"the installed package {package} has the module {module}, which is not imported"
    if steps[0] not in sys.modules and importlib.util.find_spec(steps[0]) is None:
        return f"no installed package has the module {module}"
    return None


def _registration(key: str, module: Any, kind: type) -> str:
    """Return the fix for a class that is not registered."""
    steps = module.split(".") if isinstance(module, str) else []
    if steps[:1] == ["visiongarden"]:
        return nearest(key, registered(kind))
    if (
        steps
        and steps[0] not in ("__main__", "builtins")
        and all(step.isidentifier() for step in steps)
    ):
        return f"import {module}  # on the command line: --import {module}"
    # Defined in a script or a notebook, or saved without being registered.
    package, _, name = key.rpartition(">")
    package, name = (half if half.isidentifier() else "" for half in (package, name))
    return (
        f'put @vg.register(package="{package or "my_project"}") above class {name or "Name"}, run '
        "that code, and "
        + ("load the file again" if package else "save the model again before loading it")
    )


def _model_class(path: Path, config: Any) -> Any:
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise ModelFileError(f"{path} contains no model", received="config.json without a config")
    if str(config.get("module", "")).startswith("keras"):
        raise ModelFileError(
            f"{path} contains a plain Keras model ({config.get('class_name')})",
            rule="a model made of parts",
            fix=f'keras.saving.load_model("{path}")',
        )
    return _registered(config, keras.Model)


def _rebuild(
    path: Path, cls: Any, config: dict[str, Any], weights_size: int
) -> tuple[Any, list[keras.Variable]]:
    """Build the model of a file without values; `fill` later initializes the returned variables.

    Initializing random weights that the file replaces would take time, and on JAX one compilation
    for each shape.
    """
    try:
        # No weight takes less than two bytes.
        with weightless(max_weights=weights_size // 2) as variables:
            model = cls.from_config(config["config"])
    except ModelFileError:
        raise
    except Exception as error:  # A field of the wrong type can fail anywhere in a class.
        received = (
            str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        )
        raise ModelFileError(
            f"{path} does not describe a valid model", received=received[:1000]
        ) from error
    # A small file must not allocate a large model. A file much larger than its model is invalid
    # too; the factor of 4 leaves room for the state of an optimizer.
    needed = _size_of(model)
    if needed > weights_size or weights_size > 4 * needed + _SLACK:
        raise ModelFileError(
            f"{path} does not contain the weights of its model",
            rule=f"about {needed:,} bytes of weights",
            received=f"{weights_size:,} bytes",
        )
    return model, variables


def _size_of(model: keras.Model) -> int:
    total = 0
    for weight in model.weights:
        size = keras.backend.standardize_dtype(weight.dtype)
        count = 1
        for side in weight.shape:
            count *= side
        total += count * {"float16": 2, "bfloat16": 2, "float64": 8}.get(size, 4)
    return total


def _read_json(path: Path, archive: zipfile.ZipFile, member: str) -> Any:
    if member not in archive.namelist():
        raise ModelFileError(
            f"{path} is not a visiongarden model file",
            rule=f"a .keras file written by model.save(), which contains {member}",
            received=", ".join(archive.namelist()[:5]) or "an empty archive",
            fix=f'for a plain Keras model: keras.saving.load_model("{path}")',
        )
    return json_member(path, archive, member)


def json_member(path: Path, archive: zipfile.ZipFile, member: str) -> Any:
    """Read a JSON member of an archive, with a limit on its size against decompression bombs.

    Raises:
        ModelFileError: If the member is too large, too large compared to its compressed length, or
            not valid JSON.
    """
    info = archive.getinfo(member)
    if info.file_size > min(_MAX_JSON, _MIN_JSON + _JSON_RATIO * info.compress_size):
        raise ModelFileError(
            f"{path}: {member} is too large",
            rule=f"at most {_MAX_JSON:,} bytes, and {_JSON_RATIO} times its compressed size",
            received=f"{info.file_size:,} bytes, {info.compress_size:,} compressed",
        )
    return parse_json(archive.read(member), f"{path}: {member}", ModelFileError)


def _load_weights(path: Path, weights: Path, model: keras.Model) -> None:
    try:
        model.load_weights(weights)
    except Exception as error:  # A damaged file makes Keras and h5py raise errors of many types.
        raise ModelFileError(
            f"{path} does not contain the weights of its model",
            received=" ".join(str(error).split())[:300],
        ) from error


def _checked(path: Path, file: h5py.File, model: keras.Model) -> list[str]:
    """Return the names of a weights file's arrays, except those of the optimizer.

    Raises:
        ModelFileError: If the file contains links, an array larger than any weight of the model, or
            an array that HDF5 would unpack with a plugin.
    """
    largest = max((4 * _count(weight.shape) for weight in model.weights), default=0)
    total = sum(4 * _count(weight.shape) for weight in model.weights)
    names: list[str] = []

    seen: set[int] = set()

    def max_bytes(name: str) -> int:
        # visiongarden's optimizers keep their state as one vector of all weights.
        return 2 * (total if name.startswith(f"/{OPTIMIZER}/") else largest) + 1024

    def visit(group: h5py.Group, depth: int) -> None:
        address = h5py.h5o.get_info(group.id).addr
        if address in seen or len(seen) > _MAX_ARRAYS or depth > _MAX_DEPTH:
            raise ModelFileError(f"{path}: the groups of the weights file do not form a tree")
        seen.add(address)
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ModelFileError(
                    f"{path}: {name} is a link", rule="weights stored in the file itself"
                )
            item = group[name]
            if isinstance(item, h5py.Group):
                visit(item, depth + 1)
            elif (
                item.is_virtual
                or item.external
                or _plugins(item)
                or item.nbytes > max_bytes(item.name)
            ):
                raise ModelFileError(
                    f"{path}: array {item.name} is not a weight of this model",
                    received=f"shape {item.shape}",
                )
            else:
                names.append(item.name)

    visit(file, 0)
    return [name for name in names if not name.startswith(f"/{OPTIMIZER}/")]


def _plugins(item: h5py.Dataset) -> bool:
    """Return whether HDF5 would load a shared library in order to unpack an array."""
    plan = item.id.get_create_plist()
    # HDF5 assigns filter numbers from 256 on to third parties, whose code it loads as plugins.
    return any(plan.get_filter(i)[0] >= 256 for i in range(plan.get_nfilters()))


def _by_checksum(
    file: h5py.File, names: list[str], manifest: Any, model: keras.Model
) -> dict[str, np.ndarray] | None:
    """Find the value of every weight by the shape and checksum in the manifest.

    Keras finds weights by walking through all attributes of all layers, which takes a fifth of a
    warm start.

    Returns:
        The values by path of the weight, or None if Keras has to load the file: if layers have
        state besides their weights, an array is missing, or two arrays of one shape and checksum
        have different values.
    """
    wanted = manifest.get("weights") if isinstance(manifest, dict) else None
    if not isinstance(wanted, dict) or not is_only_its_weights(model):
        return None
    # At most as many arrays of a shape are read as the model has weights of that shape, so that
    # no file takes more memory than its model.
    left = Counter(tuple(weight.shape) for weight in model.weights)
    found: dict[tuple[Any, int], np.ndarray] = {}
    for name in names:
        stored = file[name]
        if stored.dtype != np.float32 or not left[stored.shape]:
            return None
        left[stored.shape] -= 1
        array = np.asarray(stored[()])
        same = found.setdefault((stored.shape, zlib.crc32(array.tobytes())), array)
        if not np.array_equal(same, array, equal_nan=True):
            return None
    values = {}
    for weight in model.weights:
        entry = wanted.get(weight.path)
        if not isinstance(entry, list) or len(entry) != 3 or type(entry[2]) is not int:
            return None
        value = found.get((tuple(weight.shape), entry[2]))
        if value is None:
            return None
        values[weight.path] = value.copy()  # A backend may keep the memory and update it in place.
    return values


def _count(shape: Any) -> int:
    count = 1
    for side in shape:
        count *= side
    return count


def _compare(path: Path, manifest: Any, now: dict[str, list[Any]]) -> None:
    then = manifest.get("weights") if isinstance(manifest, dict) else None
    if not isinstance(then, dict):
        raise ModelFileError(f"{path}: {MANIFEST} does not list the weights")
    _compare_paths(path, then, now)
    changed = [name for name, entry in then.items() if entry != now[name]]
    if changed:
        raise ModelFileError(
            f"{path}: {len(changed)} of {len(now)} weights differ from the saved ones",
            received=_some(changed),
            rule="the shape and checksum that each weight had when it was saved",
            fix="save the model again; if the code of a custom class has changed, undo that first",
        )


def _compare_paths(path: Path, then: Iterable[str], now: Iterable[str]) -> None:
    removed, added = sorted(set(then) - set(now)), sorted(set(now) - set(then))
    if removed or added:
        raise ModelFileError(
            f"{path} was written with another version of its classes",
            rule="classes that build the same weights as when the file was written",
            received=f"only in the file: {_some(removed)}; only in the classes: {_some(added)}",
        )


def _some(names: list[str]) -> str:
    return (", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")) or "none"
