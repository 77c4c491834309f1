"""Find cards by name or path.

Card files are data from outside: they are parsed as values and run no code.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

# The parts that cards name are registered by these imports.
import visiongarden.backbones
import visiongarden.decoders
import visiongarden.heads  # noqa: F401
from visiongarden.cards.card import Card
from visiongarden.config import load_yaml
from visiongarden.errors import ConfigError, nearest
from visiongarden.tasks import Task

FOLDER = Path(__file__).parent
"""Folder of the cards that visiongarden ships, one file per architecture."""


def names(task: str | None = None) -> tuple[str, ...]:
    """Return the names of all models that have a card, oldest architecture first.

    Sizes of an architecture are in the order of their file.

    Args:
        task: Only models for this task.

    Raises:
        UserError: There is no such task.
    """
    task = task if task is None else Task.find(task).name
    return tuple(card.name for card in _builtin_cards() if task in (None, card.task))


def load(source: str | Path) -> Card:
    """Return the card of one model.

    Args:
        source: Name of a model ("yolov8n"), or a card file (.yaml) with one model.

    Raises:
        ConfigError: There is no such card, the file has several sizes, or a field is not valid.
    """
    cards = find(source)
    if len(cards) > 1:
        names_of_sizes = ", ".join(card.name for card in cards)
        raise ConfigError(
            f"{source} has {len(cards)} sizes",
            rule="the name of one model",
            fix=f"one of {names_of_sizes}",
        )
    return cards[0]


def find(source: str | Path) -> tuple[Card, ...]:
    """Return the cards of a model, of all sizes of an architecture, or of a card file.

    Raises:
        ConfigError: There is no such card, or a field is not valid.
    """
    if isinstance(source, Path) or str(source).lower().endswith((".yaml", ".yml")):
        return read(Path(source))
    cards = _builtin_cards()
    found = tuple(card for card in cards if card.name == source)
    found = found or tuple(card for card in cards if card.architecture == source)
    if found:
        return found
    valid = {card.name for card in cards} | {card.architecture for card in cards}
    raise ConfigError(
        f"unknown card {source!r}",
        rule="the name of a model or an architecture, or a card file (.yaml)",
        fix=nearest(str(source), valid),
    )


def read(path: Path) -> tuple[Card, ...]:
    """Read a card file: one card per entry of `sizes`, or one that is named after the file.

    Raises:
        ConfigError: The file cannot be read, or a field is not valid.
    """
    fields = load_yaml(path)
    sizes = fields.pop("sizes", {path.stem: {}})
    if not isinstance(sizes, Mapping) or not sizes:
        raise ConfigError(
            f"{path}: sizes is not a mapping",
            rule="a mapping from the name of each model to its own fields",
            received=f"{sizes!r:.80}",
            fix=f"sizes: {{{path.stem}: {{}}}}",
        )
    cards = []
    for name, own in sizes.items():
        if not isinstance(own, Mapping):
            raise ConfigError(
                f"{path}: size {name} is not a mapping of fields", received=f"{own!r:.80}"
            )
        try:
            cards.append(
                Card.from_dict(merged(fields, own) | {"name": str(name), "architecture": path.stem})
            )
        except ConfigError as error:
            raise ConfigError(
                f"{path}, size {name}: {error.what}",
                rule=error.rule,
                received=error.received,
                fix=error.fix,
            ) from None
    return tuple(cards)


def merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` updated with `own`; where both have a mapping, it is merged by field.

    A mapping with a `type` replaces the base's: fields of one part class mean nothing to another.
    """
    result = dict(base)
    for name, value in own.items():
        before = result.get(name)
        is_typed = isinstance(value, Mapping) and "type" in value
        if isinstance(before, Mapping) and isinstance(value, Mapping) and not is_typed:
            value = merged(before, value)
        result[name] = value
    return result


@cache
def _builtin_cards() -> tuple[Card, ...]:
    cards = [card for path in sorted(FOLDER.glob("*.yaml")) for card in read(path)]
    # arXiv numbers begin with year and month, so they sort by date; "9" sorts after all of them.
    return tuple(sorted(cards, key=lambda card: (card.year, card.arxiv or "9")))
