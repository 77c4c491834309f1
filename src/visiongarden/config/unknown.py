"""`Unknown`: a value of a model file that only training needs, and whose class is unknown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from visiongarden.config.value import Value
from visiongarden.errors import UserError


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
        content = self.to_dict()
        kind = content.get("type") if isinstance(content, Mapping) else None
        package = str(kind).partition(">")[0] if ">" in str(kind) else None
        return UserError(
            f"{what} is unknown, so the model cannot be trained",
            rule="the module of a custom class is imported before the file is opened",
            received=self.reason or self.text[:200],
            fix=f"import {package}  # on the command line: --import {package}"
            if package not in (None, "visiongarden")
            else "vg.transfer(file, model)  # with a model that has a known value",
        )

    def __repr__(self) -> str:
        return f"Unknown({self.text})"
