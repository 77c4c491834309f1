"""`KerasObject`: an optimizer, schedule, metric or callback of Keras as plain data.

Keras is imported when a name is looked up, not with this module.
"""

from __future__ import annotations

import importlib
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Protocol, Self, TypeAlias, runtime_checkable

from pydantic import Field, model_validator

from visiongarden import plugins, registry
from visiongarden.backends.recorded_arguments import is_derived_by_keras
from visiongarden.config.keras_signature import Parameters, parameters_of
from visiongarden.config.value import Value, defined_as, not_registered, subclasses
from visiongarden.errors import ConfigError, UserError, nearest
from visiongarden.kinds import PACKAGE

_Class: TypeAlias = type[Any]
# In the classes below, `type` is the name of a field.


class KerasObject(Value):
    """Object of a class of Keras, or of a class derived from it, as plain data.

    Written `{type: AdamW, learning_rate: 0.001}`: `type` names the class, and the other fields are
    the arguments of its constructor, as Keras documents them. `type` is the name of a public class
    of Keras, the name or key `package>Name` of a registered class, or `package.module:Name` of an
    imported module; no module is imported. A string alone, `Name`, is short for `{type: Name}`, and
    an object of the class is converted by its `get_config`. Arguments that are objects themselves,
    such as a schedule, are written in the same way.

    Attributes:
        type: Name of the class.
        arguments: Arguments of its constructor, as plain data.

    Raises:
        ConfigError: The class is unknown, or an argument is unknown, missing, or of another type
            than the default of the constructor.

    Example:
        >>> found = vg.config.KerasSchedule.from_dict(
        ...     {"type": "ExponentialDecay", "initial_learning_rate": 0.1,
        ...      "decay_steps": 100, "decay_rate": 0.5})
        >>> float(found.build()(100))
        0.05
    """

    kind: ClassVar[str] = "Keras object"
    modules: ClassVar[tuple[str, ...]] = (
        "keras.optimizers",
        "keras.optimizers.schedules",
        "keras.metrics",
        "keras.callbacks",
        "keras.losses",
        "keras.initializers",
        "keras.regularizers",
        "keras.constraints",
    )
    base: ClassVar[str | None] = None
    example: ClassVar[str] = "HeNormal"

    type: str
    arguments: dict[str, Any] = Field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return `{type: Name, argument: value, ...}`."""
        return {"type": self.type} | self.arguments

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some arguments changed, validated again.

        Raises:
            ConfigError: An argument is not valid.
        """
        return self.from_dict(self.to_dict() | changes)

    def build(self) -> Any:
        """Return a new object of the class.

        Raises:
            ConfigError: The class does not accept the arguments.
        """
        kind = self.find(self.type)
        arguments = {name: _built(value, name) for name, value in self.arguments.items()}
        try:
            with warnings.catch_warnings():
                # Keras only warns of some arguments, such as an unknown mode, and uses others.
                warnings.simplefilter("error", UserWarning)
                return kind(**arguments)
        except UserError:
            raise
        except Exception as error:  # a constructor may raise anything
            raise self.refused(error) from error

    def refused(self, error: Exception) -> ConfigError:
        """Return the error of a class that does not accept the arguments."""
        given = ", ".join(f"{name}={value!r:.40}" for name, value in self.arguments.items())
        return ConfigError(
            f"{self.kind} {self.type} does not accept its arguments: "
            + " ".join(str(error).split())[:300],
            rule=f"{self.type}({self.parameters()})",
            received=given or "no arguments",
            fix=f'python -c "import keras; help({self._full_name()})"',
        )

    def parameters(self) -> Parameters:
        """Return the parameters of the constructor."""
        return self.parameters_of(self.type)

    @classmethod
    def parameters_of(cls, name: str) -> Parameters:
        """Return the parameters of the constructor of a class.

        Raises:
            ConfigError: No class of this kind has this name.
        """
        return parameters_of(cls.find(name))

    @classmethod
    def kinds(cls) -> dict[str, _Class]:
        """Return the classes by name: the public ones of Keras, and registered ones.

        A registered class whose name is taken is listed by its key.
        """
        found = cls._public()
        for key, kind in cls._registered().items():
            name = key.split(">")[-1]
            found.setdefault(key if found.get(name, kind) is not kind else name, kind)
        return found

    @classmethod
    def find(cls, name: str) -> _Class:
        """Return the class of a name, without importing any module.

        Args:
            name: Name, key `package>Name`, or `package.module:Name` of an imported module.

        Raises:
            ConfigError: No class of this kind has this name.
        """
        kinds, registered = cls.kinds(), cls._registered()
        found = kinds.get(name) or registered.get(name)
        if found is not None:
            return found
        provided = plugins.find(cls.kind, name)
        if provided is not None:
            return cls._provided(name, provided)
        module, colon, class_name = name.partition(":")
        if colon and module not in sys.modules:
            raise ConfigError(
                f"{cls.kind} {name!r} is not imported",
                rule="its module must be imported first; loading a file never imports modules",
                fix=f"import {module} (on the command line: --import {module})",
            )
        if colon:
            content = vars(sys.modules[module])
            names = [n for n, value in content.items() if cls._is_kind(value)]
            if class_name in names:
                return content[class_name]
            raise ConfigError(
                f"{module} has no {cls.kind} {class_name!r}",
                rule=f"the name of a class derived from {cls._base_name()}",
                fix=nearest(class_name, names) or f"class {class_name}({cls._base_name()}): ...",
            )
        for each in defined_as(name, cls._derived()):
            raise not_registered(cls.kind, each.__name__, each)
        raise ConfigError(
            f"unknown {cls.kind} {name!r}",
            rule="the name of a public class of Keras or of a registered class; import the module "
            "of your own (on the command line: --import MODULE)",
            fix=nearest(name, [*kinds, *(plugin.name for plugin in plugins.of_kind(cls.kind))]),
        )

    @classmethod
    def _provided(cls, name: str, found: Any) -> _Class:
        """Return a class that a plugin provides.

        Raises:
            ConfigError: It is not a registered class of the kind.
        """
        if any(found is each for each in cls._registered().values()):
            kind: _Class = found
            return kind
        raise ConfigError(
            f"{cls.kind} {name!r} is not a registered class derived from {cls._base_name()}",
            rule="the entry point names a class that its module registers",
            received=f"{found!r:.80}",
            fix=f"@vg.register\nclass {name.rpartition('>')[2]}({cls._base_name()}): ...",
        )

    @classmethod
    def _derived(cls) -> Iterator[_Class]:
        """Yield the classes of the user that are derived from that of Keras."""
        base = cls._base()
        for kind in () if base is None else subclasses(base):
            if kind.__module__.partition(".")[0] not in ("keras", PACKAGE):
                yield kind

    @classmethod
    def short(cls, name: str) -> str:
        """Return the shortest name of the class that a name or key denotes."""
        return cls._name_of(cls.find(name)) or name

    @classmethod
    def of(cls, value: Any) -> dict[str, Any]:
        """Return an object of Keras as plain data.

        Raises:
            ConfigError: The class has no name, or no `get_config`.
        """
        name = cls._name_of(type(value))
        if name is None:
            raise not_registered(cls.kind, type(value).__name__, type(value))
        if not isinstance(value, _WithConfig):
            raise ConfigError(
                f"the {cls.kind} {name} cannot be written as plain data",
                rule="a class with get_config, or the name of the class and its arguments",
                fix=f'{{"type": "{name}"}}',
            )
        return {"type": name} | {key: _plain(item) for key, item in value.get_config().items()}

    @classmethod
    def _name_of(cls, kind: _Class) -> str | None:
        # On PyTorch, an object of `keras.optimizers.Adam` belongs to a private class derived from
        # it. Any other class without a name is the user's.
        names = {found: name for name, found in cls.kinds().items()}
        for each in kind.__mro__:
            if each in names:
                return names[each]
            if not is_derived_by_keras(each):
                return None
        return None

    @classmethod
    def _public(cls) -> dict[str, _Class]:
        found: dict[str, _Class] = {}
        for module in cls.modules:
            for name, value in vars(importlib.import_module(module)).items():
                if cls._is_kind(value) and name[0].isupper():
                    found.setdefault(name, value)
        return dict(sorted(found.items()))

    @classmethod
    def _registered(cls) -> dict[str, _Class]:
        import keras

        everything = {key: entry.cls for key, entry in registry.registered().items()}
        everything |= keras.saving.get_custom_objects()
        return {key: kind for key, kind in sorted(everything.items()) if cls._is_kind(kind)}

    @classmethod
    def _is_kind(cls, value: Any) -> bool:
        if not isinstance(value, type):
            return False
        base = cls._base()
        return base is None or (issubclass(value, base) and value is not base)

    @classmethod
    def _base(cls) -> _Class | None:
        if cls.base is None:
            return None
        found: _Class = vars(importlib.import_module(cls.modules[0]))[cls.base]
        return found

    @classmethod
    def _base_name(cls) -> str:
        return f"{cls.modules[0]}.{cls.base}"

    def _full_name(self) -> str:
        found = self.find(self.type)
        public = next((m for m in self.modules if vars(sys.modules[m]).get(self.type) is found), "")
        return f"{public}.{self.type}" if public else f"{found.__module__}.{found.__qualname__}"

    @classmethod
    def checked(cls, data: Any) -> dict[str, Any]:
        """Return the fields of an object: its type and arguments, as plain data.

        Raises:
            ConfigError: The class is unknown, or an argument is not valid.
        """
        if isinstance(data, str):
            data = {"type": data}
        elif isinstance(data, KerasObject):
            data = data.to_dict()
        elif not isinstance(data, Mapping):
            data = cls._of_object(data)
        fields = dict(data)
        name = fields.pop("type", None)
        if not isinstance(name, str):
            raise ConfigError(
                f"the type of the {cls.kind} is missing",
                rule="a mapping with the name of a class as its type",
                received=f"{data!r:.80}",
                fix=f"{{type: {cls.example}}}, or another of {', '.join(cls.kinds())}",
            )
        arguments = {str(key): _plain(value) for key, value in fields.items()}
        cls.parameters_of(name).check(name, arguments)
        for key, value in arguments.items():
            _check_nested(value, key)
        return {"type": name, "arguments": arguments}

    @classmethod
    def _of_object(cls, value: Any) -> dict[str, Any]:
        if cls._is_kind(type(value)):
            return cls.of(value)
        raise ConfigError(
            f"the {cls.kind} has an unsupported type",
            rule="the name of a class, or a mapping of its type and arguments",
            received=f"{value!r:.80}",
            fix=f"{{type: {cls.example}}}",
        )

    @model_validator(mode="wrap")
    @classmethod
    def _by_type(cls, data: Any, handler: Callable[[Any], Self]) -> Self:
        return data if isinstance(data, cls) else handler(cls.checked(data))


@runtime_checkable
class _WithConfig(Protocol):
    """An object that returns its constructor arguments."""

    def get_config(self) -> dict[str, Any]: ...


class KerasOptimizer(KerasObject):
    """Optimizer of Keras, or a registered one, as plain data."""

    kind: ClassVar[str] = "optimizer"
    modules: ClassVar[tuple[str, ...]] = ("keras.optimizers",)
    base: ClassVar[str | None] = "Optimizer"
    example: ClassVar[str] = "AdamW"


class KerasSchedule(KerasObject):
    """Learning-rate schedule of Keras, or a registered one, as plain data."""

    kind: ClassVar[str] = "schedule"
    modules: ClassVar[tuple[str, ...]] = ("keras.optimizers.schedules",)
    base: ClassVar[str | None] = "LearningRateSchedule"
    example: ClassVar[str] = "WarmupCosine"


class KerasMetric(KerasObject):
    """Metric of Keras, or a registered class with its methods, as plain data."""

    kind: ClassVar[str] = "metric"
    modules: ClassVar[tuple[str, ...]] = ("keras.metrics",)
    base: ClassVar[str | None] = "Metric"
    example: ClassVar[str] = "F1Score"

    @classmethod
    def _is_kind(cls, value: Any) -> bool:
        # Any class with this method is one; what else is missing is an error when it is used.
        return super()._is_kind(value) or (
            isinstance(value, type)
            and not value.__module__.startswith("keras.")
            and any("update_state" in vars(base) for base in value.__mro__)
        )


class KerasCallback(KerasObject):
    """Callback of Keras, or a registered one, as plain data."""

    kind: ClassVar[str] = "callback"
    modules: ClassVar[tuple[str, ...]] = ("keras.callbacks",)
    base: ClassVar[str | None] = "Callback"
    example: ClassVar[str] = "TerminateOnNaN"

    @classmethod
    def kinds(cls) -> dict[str, _Class]:
        """Return the classes by name, without those of which only Python code can make one."""
        return {name: kind for name, kind in super().kinds().items() if name not in _NOT_NAMED}

    @classmethod
    def find(cls, name: str) -> _Class:
        """Return the class of a name, without importing any module.

        Raises:
            ConfigError: No callback has this name, or it cannot be named in a recipe.
        """
        if name in _NOT_NAMED:
            raise ConfigError(
                f"the callback {name} cannot be named in a recipe",
                rule="callbacks whose arguments are plain data and which open no connection",
                fix=f'vg.train("my_images", callbacks=[keras.callbacks.{name}(...)])',
            )
        return super().find(name)


class KerasInitializer(KerasObject):
    """Initializer of Keras, or a registered one, as plain data."""

    kind: ClassVar[str] = "initializer"
    modules: ClassVar[tuple[str, ...]] = ("keras.initializers",)
    base: ClassVar[str | None] = "Initializer"
    example: ClassVar[str] = "HeNormal"


_NOT_NAMED = frozenset({"LambdaCallback", "LearningRateScheduler", "CallbackList", "RemoteMonitor"})


def _kind_of(argument: str) -> type[KerasObject]:
    """Return the class of values that an argument accepts."""
    return KerasSchedule if argument == "learning_rate" else KerasObject


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("type"), str)


def _check_nested(value: Any, argument: str) -> None:
    if _is_object(value):
        _kind_of(argument).checked(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            _check_nested(item, argument)
    elif isinstance(value, list):
        for item in value:
            _check_nested(item, argument)


def _built(value: Any, argument: str) -> Any:
    if _is_object(value):
        return _kind_of(argument).from_dict(value).build()
    if isinstance(value, Mapping):
        return {key: _built(item, argument) for key, item in value.items()}
    if isinstance(value, list):
        return [_built(item, argument) for item in value]
    # Keras refuses whole numbers here, which YAML and JSON do not distinguish: `1` and `1.0`.
    if argument == "learning_rate" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _plain(value: Any) -> Any:
    """Return a value as plain data; objects of Keras become mappings with their `type`."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigError(
                "the value of an argument is not finite",
                rule="finite numbers",
                received=str(value),
                fix="leave out the argument to use its default",
            )
        return value
    if isinstance(value, KerasObject):
        return value.to_dict()
    if isinstance(value, Mapping):
        if {"class_name", "config"} <= value.keys():  # as Keras serializes an object
            name = str(value.get("registered_name") or value["class_name"])
            return {"type": KerasObject.short(name)} | _plain(value["config"])
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return KerasObject.of(value)
