"""Result of a model comparison, as a value and as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from visiongarden.inspect.counting import Count
from visiongarden.markup import Preformatted
from visiongarden.terminal import table, wrapped
from visiongarden.types import ImageSize

_LISTED = 40


@dataclass(frozen=True)
class FieldChange:
    """Change of one field, such as "decoder.channels", or of a whole part, such as "decoder"."""

    place: str
    before: Any
    after: Any


@dataclass(frozen=True)
class LayerChange:
    """Layers under one path that were added, removed, replaced, or have other weight shapes.

    Attributes:
        path: Prefix of the paths of their weights.
        change: "added", "removed" or "changed"; "replaced" for a whole part that has another type
            or of which no weight can be transferred.
        layers: Number of layers with weights under the path.
        parameters: Number of their parameters; after the change, unless they were removed.
        detail: Shapes that changed, for example "kernel 3 × 3 × 8 × 16 → 3 × 3 × 8 × 32".
    """

    path: str
    change: str
    layers: int
    parameters: int
    detail: str = ""


@dataclass(frozen=True, repr=False)
class ModelDiff(Preformatted):
    """Differences between two models.

    `str(diff)` is text of at most 100 columns.

    Attributes:
        before: Label of the first model.
        after: Label of the second model.
        fields: Changed fields of the parts and of the model.
        layers: Changed layers by path, as in the paths of the weights.
        count_before: Parameters and MACs of the first model.
        count_after: Parameters and MACs of the second model.
        sizes: (height, width) at which the MACs of the first and second model were counted.
        survive: Paths of weights with equal shapes in both models, which a transfer would copy.
        lost: Paths of weights of the second model that a transfer would not change.
        share: Fraction of the second model's parameters that a transfer would copy, 0 to 1.
    """

    before: str
    after: str
    fields: tuple[FieldChange, ...]
    layers: tuple[LayerChange, ...]
    count_before: Count
    count_after: Count
    sizes: tuple[ImageSize, ImageSize]
    survive: tuple[str, ...]
    lost: tuple[str, ...]
    share: float

    @property
    def same(self) -> bool:
        """Whether fields, layers and shapes are equal."""
        return not self.fields and not self.layers

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers, for JSON."""
        values = asdict(self)
        values["count_before"]["flops"] = self.count_before.flops
        values["count_after"]["flops"] = self.count_after.flops
        return values | {"same": self.same}

    def __repr__(self) -> str:
        change = "equal" if self.same else f"{len(self.fields)} fields, {len(self.layers)} layers"
        return f"ModelDiff({self.before} → {self.after}: {change})"

    def __str__(self) -> str:
        text = [f"{self.before} → {self.after}"]
        if self.same:
            text.append("fields, layers and shapes are equal")
        if self.fields:
            fields = [(f.place, _text(f.before), _text(f.after)) for f in self.fields]
            text += ["", _table(("field", "before", "after"), fields)]
        if self.layers:
            layers = [
                (each.change, each.path, str(each.layers), f"{each.parameters:,}", each.detail)
                for each in self.layers
            ]
            text += ["", _table(("", "path", "layers", "parameters", "shapes"), layers)]
        text += ["", _table(("", "before", "after", "change"), _totals(self)), ""]
        kept, total = len(self.survive), len(self.survive) + len(self.lost)
        text.append(
            f"a transfer would copy {kept:,} of {total:,} weights, "
            f"{self.share:.1%} of the second model's parameters"
        )
        return wrapped("\n".join(text))


def _table(headers: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    listed = list(rows[:_LISTED])
    if rows[_LISTED:]:
        listed.append((f"and {len(rows) - _LISTED} more", *[""] * (len(headers) - 1)))
    return table(headers, listed, right=("layers", "parameters", "change"))


def _totals(diff: ModelDiff) -> list[tuple[str, ...]]:
    old, new = diff.count_before, diff.count_after
    first, second = (f"{height} × {width}" for height, width in diff.sizes)
    size = first if first == second else f"{first}, {second}"
    return [
        ("parameters, trainable", f"{old.trainable:,}", f"{new.trainable:,}",
         _change(old.trainable, new.trainable)),
        ("parameters, all", f"{old.total:,}", f"{new.total:,}", _change(old.total, new.total)),
        (f"MACs at {size}", f"{old.macs:,}", f"{new.macs:,}", _change(old.macs, new.macs)),
    ]  # fmt: skip


def _change(old: int, new: int) -> str:
    if old == new:
        return "none"
    return f"{(new - old) / old:+.1%}" if old else "new"


def _text(value: Any) -> str:
    return "none" if value is None else str(value)
