"""`ValueSubject`: a component under test that is neither a layer nor a part, and its inputs."""

from __future__ import annotations

from typing import Any

from visiongarden.errors import UserError
from visiongarden.testing.examples import examples_of
from visiongarden.testing.guess import constructor_arguments


class ValueSubject:
    """A component under test.

    Args:
        source: Class or instance; a function for an activation.
        config: Constructor arguments or fields for a class.
        inputs: What the kind of component takes: the path of a dataset for a reader.

    Attributes:
        cls: The class, or the function.
        value: The instance, or the function.
        examples: The class attribute `examples`.

    Raises:
        UserError: The class cannot be constructed, or arguments are combined with an instance.
    """

    is_part = False

    def __init__(self, source: Any, config: dict[str, Any] | None = None, inputs: Any = None):
        is_class = isinstance(source, type)
        is_function = not is_class and callable(source) and "__name__" in dir(source)
        self.cls: Any = source if is_class or is_function else type(source)
        self.inputs = inputs
        self.examples: dict[str, Any] = dict(examples_of(self.cls))
        if not is_class and config:
            raise UserError(
                f"the fields of an instance of {self.cls.__name__} cannot be changed",
                rule="fields together with a class",
                received=", ".join(config),
                fix=f"check({self.cls.__name__}, ...)",
            )
        self.config: dict[str, Any] | None = None
        if is_class:
            self.config = constructor_arguments(self.cls, config or {})
        self.value: Any = self.cls(**self.config) if self.config is not None else source

    @property
    def name(self) -> str:
        """Name of the class or function."""
        found: str = self.cls.__name__
        return found

    def fresh(self) -> Any:
        """Return a new instance if a class is checked, else the instance itself."""
        return self.value if self.config is None else self.cls(**self.config)
