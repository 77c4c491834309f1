"""`models`: everything that has a card, as a table for people, Markdown or JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from visiongarden.cards.card import Card, Result
from visiongarden.cards.library import load, names

_HEADERS = ("model", "params", "MACs", "image", "AP", "AP50", "split", "levels", "licence", "paper")


@dataclass(frozen=True)
class Listing:
    """Models with their published figures; `str()` is a table."""

    cards: tuple[Card, ...]

    def __str__(self) -> str:
        rows = [_HEADERS, *(_row(card) for card in self.cards)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        right = ("params", "MACs", "image", "AP", "AP50")
        lines = []
        for row in rows:
            cells = [
                cell.rjust(width) if header in right else cell.ljust(width)
                for cell, width, header in zip(row, widths, _HEADERS, strict=True)
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    def markdown(self) -> str:
        """The table of the documentation."""
        lines = [_HEADERS, ("---",) * len(_HEADERS), *(_row(card) for card in self.cards)]
        return "\n".join("| " + " | ".join(row) + " |" for row in lines) + "\n"

    def json(self) -> str:
        """Every card whole, as a JSON list."""
        return json.dumps([card.to_dict() for card in self.cards], indent=1, ensure_ascii=False)


def models(task: str | None = None) -> Listing:
    """Everything that has a card.

    Args:
        task: "detection", "classification" or "segmentation"; None lists all.
    """
    return Listing(tuple(load(name) for name in names(task)))


def _row(card: Card) -> tuple[str, ...]:
    best = _headline(card)
    levels = card.levels.get("decoder") or card.levels.get("backbone") or {}
    return (
        card.name,
        f"{card.params:,}",
        f"{card.macs / 1e9:.2f} G" if card.macs else "",
        "×".join(map(str, card.image_size)),
        _percent(best.ap if best else None),
        _percent(best.ap50 if best else None),
        f"{best.split}@{best.image_size}" if best else "",
        " ".join(levels),
        card.licence.code,
        f"arXiv {card.arxiv}" if card.arxiv else card.title,
    )


def _headline(card: Card) -> Result | None:
    """The result at the card's own size, else the first."""
    own = [result for result in card.results if result.image_size == card.image_size[0]]
    return next(iter(own or card.results), None)


def _percent(value: Any) -> str:
    return "" if value is None else f"{value:.1f}"
