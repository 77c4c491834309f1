"""`schema`: JSON schema of a recipe, for completion and validation in editors."""

from __future__ import annotations

import inspect
import math
import re
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind

from visiongarden.assigners import Assigner
from visiongarden.config import Typed
from visiongarden.data.readers import Reader
from visiongarden.losses import BoxLoss, Loss, RegionLoss, ScoreLoss
from visiongarden.parts import Backbone, Decoder, Head
from visiongarden.postprocess import Decoding
from visiongarden.recipes.keras_schema import keras_schemas
from visiongarden.recipes.recipe import Recipe
from visiongarden.tasks import Task
from visiongarden.transforms import Resizing, Transform

_PART_CLASSES: tuple[type[Typed], ...] = (
    Backbone,
    Decoder,
    Head,
    Transform,
    Resizing,
    Reader,
)
_FIELDS_OF_HEADS: tuple[type[Typed], ...] = (
    Loss, ScoreLoss, BoxLoss, RegionLoss, Assigner, Decoding,
)  # fmt: skip
"""Classes of which a mapping without `type` changes fields of the default."""
_DRAFT = "https://json-schema.org/draft/2020-12/schema"


class _Generator(GenerateJsonSchema):
    """Schema generator that accepts any value in a field which JSON cannot describe."""

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        # Such as a function. One such field of one imported part would otherwise leave the user
        # without any schema.
        return {}

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        found = super().default_schema(schema)
        # JSON cannot represent infinity or NaN.
        if isinstance(found.get("default"), float) and not math.isfinite(found["default"]):
            del found["default"]
        return found

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        # A default that JSON cannot hold is left out; the user could do nothing about the warning.
        if kind != "non-serializable-default":
            super().emit_warning(kind, detail)


def schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a recipe as users write it.

    Fields with defaults are optional, and so are those that the data provide, such as
    `num_classes`. The choices for each part are the registered classes, and those for the task the
    registered tasks, including those of imported modules.
    """
    document = Recipe.model_json_schema(schema_generator=_Generator)
    definitions = document["$defs"]
    roles = (*_PART_CLASSES, *_FIELDS_OF_HEADS)
    found = {role.__name__: _part_schema(role, definitions) for role in roles}
    # Last: the schemas of the parts contain plain definitions of the roles of their fields.
    definitions |= found
    definitions |= keras_schemas()
    kinds: list[type[BaseModel]] = [Recipe, *_values_of(Recipe)]
    for kind in kinds:
        _describe(document if kind is Recipe else definitions[kind.__name__], kind)
    # `resolve` fills in the default parts of the task, so none is required. A validator of
    # `image_size` also accepts one number, which pydantic's schema does not show.
    model = definitions["Model"]
    model.pop("required", None)
    side = {"type": "integer", "minimum": 1}
    model["properties"]["image_size"]["anyOf"] = [
        side,
        {"type": "array", "items": side, "minItems": 2, "maxItems": 2},
    ]
    for name in ("type", "prefixItems", "minItems", "maxItems"):
        model["properties"]["image_size"].pop(name, None)
    document["properties"]["task"]["enum"] = sorted(Task.by_name())
    document["required"] = ["data"]
    return {"$schema": _DRAFT} | document


def _part_schema(role: type[Typed], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a part: a registered name, or a mapping with its `type` and fields."""
    kinds = role.kinds()
    from_data = {name for task in Task.by_name().values() for name in task.data_fields}
    choices = []
    for name, kind in kinds.items():
        fields = kind.model_json_schema(schema_generator=_Generator)
        definitions |= fields.pop("$defs", {})
        _describe(fields, kind)
        fields["properties"] = {"type": {"const": name}} | fields["properties"]
        required = [n for n in fields.get("required", []) if n not in from_data]
        fields["required"] = required if role in _FIELDS_OF_HEADS else ["type", *required]
        definitions[f"{role.__name__}.{name}"] = fields
        choices.append({"$ref": f"#/$defs/{role.__name__}.{name}"})
    return {"description": _first_line(role), "anyOf": [{"enum": list(kinds)}, *choices]}


def _values_of(cls: type[BaseModel]) -> list[type[BaseModel]]:
    """Return the classes of values in the fields of a value, without parts."""
    classes: dict[type[BaseModel], None] = {}
    for field in cls.model_fields.values():
        members = get_args(field.annotation) or (field.annotation,)
        for member in members:
            if not isinstance(member, type) or not issubclass(member, BaseModel):
                continue
            if not issubclass(member, Typed):
                classes |= dict.fromkeys([member, *_values_of(member)])
    return list(classes)


def _describe(fields: dict[str, Any], cls: type) -> None:
    """Add descriptions from the "Attributes:" section of the class's docstring."""
    fields["description"] = _first_line(cls)
    descriptions: dict[str, str] = {}
    for kind in reversed(cls.__mro__):
        descriptions |= _attributes(kind.__dict__.get("__doc__") or "")
    for name, entry in fields.get("properties", {}).items():
        if name in descriptions:
            entry["description"] = descriptions[name]


def _first_line(cls: type) -> str:
    return (inspect.getdoc(cls) or cls.__name__).splitlines()[0]


def _attributes(text: str) -> dict[str, str]:
    _, header, section = inspect.cleandoc(text).partition("Attributes:\n")
    if not header:
        return {}
    lines: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        entry = re.match(r"    (\w+): (.*)", line)
        if entry:
            name, lines[entry[1]] = entry[1], entry[2]
        elif line.startswith("        ") and name:
            lines[name] += f" {line.strip()}"
        else:
            break
    return lines
