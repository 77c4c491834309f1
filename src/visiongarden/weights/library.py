"""Shipped rules, and rules in files."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

from visiongarden.config import load_yaml
from visiongarden.errors import ConfigError, UserError, nearest
from visiongarden.storage import check_file
from visiongarden.weights.rules import Rules

FOLDER = Path(__file__).parent / "checkpoints"
"""Folder of the rules that visiongarden ships, one file per kind of checkpoint."""


@functools.cache
def published() -> tuple[Rules, ...]:
    """Return the shipped rules in the order of their names.

    Example:
        >>> [rules.name for rules in vg.weights.published() if "retinanet" in rules.name]
        ['torchvision-retinanet', 'torchvision-retinanet-coco']
    """
    return tuple(
        _read_yaml(path) for path in sorted(FOLDER.glob("*.yaml"), key=lambda path: path.stem)
    )


def read_rules(source: str | Path) -> Rules:
    """Return shipped rules by name, or those of a file.

    Args:
        source: Name of shipped rules, or path of a file: YAML with the fields of `Rules`, or Python
            that assigns `rules = vg.weights.Rules(...)`. A Python file is executed.

    Raises:
        ConfigError: There are no such rules, or they are not valid.
    """
    path = Path(source)
    if path.suffix in (".yaml", ".yml", ".py"):
        check_file(path, "file of rules", (".yaml", ".yml", ".py"), ConfigError)
        return _read_python(path) if path.suffix == ".py" else _read_yaml(path)
    by_name = {rules.name: rules for rules in published()}
    if str(source) not in by_name:
        raise ConfigError(
            f"unknown rules {str(source)!r}",
            rule='"auto", the name of shipped rules, or a file (.yaml or .py)',
            fix=nearest(str(source), by_name),
        )
    return by_name[str(source)]


def _read_yaml(path: Path) -> Rules:
    data = load_yaml(path)
    return Rules.from_dict({"name": path.stem} | data)


def _read_python(path: Path) -> Rules:
    spec = importlib.util.spec_from_file_location(f"visiongarden_rules_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{path} raises {type(error).__name__}", received=str(error)[:200]
        ) from error
    found: Any = vars(module).get("rules")
    if not isinstance(found, Rules):
        raise ConfigError(
            f"{path} does not define rules",
            rule="a variable `rules` of type vg.weights.Rules",
            received=type(found).__name__,
            fix='rules = vg.weights.Rules(name="mine", names={"layer{n}": "backbone/stage{n+1}"})',
        )
    return found
