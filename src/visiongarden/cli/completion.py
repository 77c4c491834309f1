"""Values that shell completion proposes; nothing heavy is imported for them."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import typer

from visiongarden.kinds import KINDS

CREATED = (*KINDS, "rules", "project")
BACKENDS = ("tensorflow", "jax", "torch", "all", "none")
PARTS = {"backbone": "backbones", "decoder": "decoders", "head": "heads"}
"""Package of each part of a model."""

_PACKAGE = Path(__file__).parents[1]
_WRITTEN = re.compile(r'^    format: ClassVar\[str\] = "(\w+)"$', re.MULTILINE)
_TASK = re.compile(r'^    name = "(\w+)"$', re.MULTILINE)
_REGISTERED = re.compile(r"^@register\nclass (\w+)", re.MULTILINE)

Completion = Callable[[str], list[str]]


def _of(values: tuple[str, ...]) -> Completion:
    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete


kinds = _of(CREATED)
listed_kinds = _of(tuple(KINDS))
backends = _of(BACKENDS)
invalid_boxes = _of(("error", "drop"))
splits = _of(("train", "val", "test"))
class_names = _of(("model", "data"))
class_rows = _of(("name", "position"))
layouts = _of(("auto", "keras", "torch"))
export_formats = _of(("onnx",))


def tasks(incomplete: str) -> list[str]:
    """Return the names of the tasks that visiongarden has."""
    return [name for name in task_names() if name.startswith(incomplete)]


def task_names() -> list[str]:
    """Return the names of the tasks of visiongarden, in alphabetical order."""
    texts = [f.read_text(encoding="utf-8") for f in sorted((_PACKAGE / "tasks").glob("*.py"))]
    return sorted(name for text in texts for name in _TASK.findall(text))


def written_formats(incomplete: str) -> list[str]:
    """Return the formats in which datasets are written."""
    return [name for name in _written_formats() if name.startswith(incomplete)]


def readers(incomplete: str) -> list[str]:
    """Return "auto" and the names of the readers of datasets."""
    names = sorted({"auto", *_registered("data/readers")})
    return [name for name in names if name.lower().startswith(incomplete.lower())]


def precisions(incomplete: str) -> list[str]:
    """Return the dtype policies that models are evaluated in."""
    return [name for name in _PRECISIONS if name.startswith(incomplete)]


def rules(incomplete: str) -> list[str]:
    """Return "auto", "none" and the names of the shipped rules for checkpoints."""
    files = sorted((_PACKAGE / "weights" / "checkpoints").glob("*.yaml"))
    names = ["auto", "none", *(file.stem for file in files)]
    return [name for name in names if name.startswith(incomplete)]


def _written_formats() -> list[str]:
    files = sorted((_PACKAGE / "data" / "writers").glob("*.py"))
    texts = [file.read_text(encoding="utf-8") for file in files]
    return [name for text in texts for name in _WRITTEN.findall(text)]


def _registered(folder: str) -> list[str]:
    files = sorted((_PACKAGE / folder).glob("*.py"))
    texts = [file.read_text(encoding="utf-8") for file in files]
    return [name for text in texts for name in _REGISTERED.findall(text)]


def cards(incomplete: str) -> list[str]:
    """Return the names of published models."""
    return [name for name in _card_names() if name.startswith(incomplete)]


def overrides(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return fields of a recipe, and the values of those that name a part, task or card."""
    before = ctx.params.get("overrides") or []
    # bash breaks words at "=", and then completes the value alone; Typer drops an "=" alone.
    if not incomplete and before[-1:] and before[-1] in _values():
        return _values()[before[-1]]()
    if before[-1:] == ["="] and len(before) > 1:
        return [v for v in _values().get(before[-2], list)() if v.startswith(incomplete)]
    field, equals, _ = incomplete.partition("=")
    if not equals:
        return [f"{name}=" for name in (*_values(), *_FIELDS) if name.startswith(incomplete)]
    values = _values().get(field, list)()
    return [f"{field}={value}" for value in values if f"{field}={value}".startswith(incomplete)]


_PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
"""`visiongarden.models.precision.POLICIES`, without the import of a backend."""

_FIELDS = (
    "data.path",
    "data.train",
    "data.val",
    "model.image_size",
    "training.batch_size",
    "training.epochs",
    "training.optimizer.learning_rate",
    "training.optimizer.type",
    "training.optimizer.weight_decay",
    "training.precision",
    "training.seed",
)


def _values() -> dict[str, Callable[[], list[str]]]:
    parts: dict[str, Callable[[], list[str]]] = {
        f"model.{part}.type": lambda package=package: exported(package)  # type: ignore[misc]
        for part, package in PARTS.items()
    }
    data = {"data.reader": lambda: readers("")}
    return {"task": task_names, "model.card": _card_names} | parts | data


def exported(package: str) -> list[str]:
    """Return the names that a package of visiongarden exports, without importing it."""
    source = (_PACKAGE / package / "__init__.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def _card_names() -> list[str]:
    """Return the keys of `sizes` in each card file; parsing the files would take a second."""
    found = []
    for file in sorted((_PACKAGE / "cards").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".yaml"):
            _, _, sizes = file.read_text(encoding="utf-8").partition("\nsizes:\n")
            found += re.findall(r"^  (\S+):", sizes, re.MULTILINE)
    return found
