"""`models`: list all published models as text, Markdown or JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass

from visiongarden.cards.card import Card, Result
from visiongarden.cards.library import load, names

_COLUMNS = {
    "model": str.ljust,
    "params": str.rjust,
    "MACs": str.rjust,
    "image": str.rjust,
    "AP": str.rjust,
    "AP50": str.rjust,
    "judged on": str.ljust,
    "levels": str.ljust,
    "license": str.ljust,
    "arXiv": str.ljust,
}

_INTRODUCTION = """\
# Published models

Written by `visiongarden models --markdown` from the cards in `src/visiongarden/cards`, which give
the source of each figure. `visiongarden verify NAME` builds a model and holds it against its card;
`vg.cards.build("NAME", num_classes=3)` makes it. Parameters are trainable ones; MACs are counted as
the card says, for one image of the size given; AP is COCO's, in percent. The license is that of the
authors' code; the code here is our own.

"""


@dataclass(frozen=True)
class Listing:
    """Models with their published results; `str()` is a table."""

    cards: tuple[Card, ...]

    def __str__(self) -> str:
        rows = [tuple(_COLUMNS), *map(_row, self.cards)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = (
            "  ".join(
                fit(cell, width)
                for fit, cell, width in zip(_COLUMNS.values(), row, widths, strict=True)
            )
            for row in rows
        )
        return "\n".join(line.rstrip() for line in lines)

    def markdown(self) -> str:
        """Return the page of the documentation that lists the models."""
        rules = ("--:" if fit is str.rjust else "---" for fit in _COLUMNS.values())
        rows = [tuple(_COLUMNS), tuple(rules), *map(_row, self.cards)]
        return _INTRODUCTION + "".join(f"| {' | '.join(row)} |\n" for row in rows)

    def json(self) -> str:
        """Return the complete cards as a JSON list."""
        return json.dumps([card.to_dict() for card in self.cards], indent=1, ensure_ascii=False)


def models(task: str | None = None) -> Listing:
    """List all models that have a card.

    Args:
        task: "detection", "classification" or "segmentation". Defaults to all tasks.

    Raises:
        UserError: There is no such task.
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
        f"{best.split}, {best.image_size}" if best else "",
        " ".join(levels),
        card.license.code,
        card.arxiv or "",
    )


def _headline(card: Card) -> Result | None:
    """Return the result at the card's own image size, preferably one with AP."""
    own = [result for result in card.results if result.image_size == card.image_size[0]]
    whole = [result for result in own if result.ap is not None]
    return next(iter(whole or own or card.results), None)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
