"""`Unknown`: a value of a model file that only training needs, and whose class is unknown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from visiongarden.config.value import REGISTERED, Typed, Value, registration
from visiongarden.errors import UserError
from visiongarden.plugins import installed


class Unknown(Value):
    """Value that cannot be built, kept as it is in the file and written back unchanged.

    A model predicts, is evaluated and exported without its loss. A file therefore opens although
    the module of a custom loss was not imported, or another version of the loss had other fields.

    Attributes:
        text: the value as JSON.
        reason: why it could not be built.

    Example:
        >>> vg.config.Unknown.of({"type": "garden>Hedge", "gain": 2}, "unknown Loss").to_dict()
        {'type': 'garden>Hedge', 'gain': 2}
    """

    text: str
    reason: str = ""

    @classmethod
    def of(cls, value: Any, reason: str) -> Unknown:
        """Return the value of a file.

        Args:
            value: what the file contains.
            reason: why it cannot be built.

        Raises:
            TypeError: the value contains something that JSON cannot represent.
        """
        return cls(text=json.dumps(value), reason=reason)

    def to_dict(self) -> Any:
        """Return what the file contains."""
        return json.loads(self.text)

    def error(self, what: str) -> UserError:
        """Return the error of the first use.

        Args:
            what: what it is, such as "the loss of the head AnchorFree".
        """
        # The loss may be known, and a part of it from another package.
        keys = [key for key in _types(self.to_dict()) if not key.startswith("visiongarden>")]
        module = next((plugin.module for plugin in installed() if plugin.key in keys), None)
        if module is None and keys:
            module = keys[0].partition(">")[0]
        fix = "vg.transfer(file, model)  # with a model that has a known value"
        rule = "the module of a custom class is imported before the file is opened"
        defined = next(filter(None, map(Typed.unregistered_as, keys)), None)
        if defined is not None:
            rule, fix = REGISTERED, registration(defined)
        elif module is not None:
            fix = f"import {module}  # on the command line: --import {module}"
        return UserError(
            f"{what} is unknown, so the model cannot be trained",
            rule=rule,
            received=self.reason or self.text[:200],
            fix=fix,
        )

    def __repr__(self) -> str:
        return f"Unknown({self.text})"


def _types(value: Any) -> Iterator[str]:
    """Yield the keys `package>Name` of a value and of the values in it."""
    if isinstance(value, Mapping):
        kind = value.get("type")
        if isinstance(kind, str) and ">" in kind:
            yield kind
    inner = value.values() if isinstance(value, Mapping) else value
    for each in inner if isinstance(value, Mapping | list) else ():
        yield from _types(each)
