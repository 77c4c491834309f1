"""`verify`: compare a model with its published card, stage by stage."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras

from visiongarden import inspect
from visiongarden.backends.graph import graph_of
from visiongarden.backends.weightless import weightless
from visiongarden.cards.building import build
from visiongarden.cards.card import Card
from visiongarden.cards.library import find, load, names
from visiongarden.errors import UserError
from visiongarden.markup import Preformatted
from visiongarden.models import Joined
from visiongarden.models import load as load_model
from visiongarden.parts import Backbone, Part
from visiongarden.terminal import table, wrapped
from visiongarden.types import LevelSpec

MACS_TOLERANCE = 0.005
"""Maximum relative difference of MACs, because published ones are rounded; parameters are exact."""


@dataclass(frozen=True)
class Check:
    """One compared value.

    Attributes:
        what: Name of the value.
        published: Value in the card.
        built: Value of the model.
        agrees: Whether they agree.
    """

    what: str
    published: str
    built: str
    agrees: bool


@dataclass(frozen=True, repr=False)
class Verification(Preformatted):
    """Result of comparing a model with its card; `str()` is a table of at most 100 columns.

    Attributes:
        card: Card of the model.
        checks: Compared values: stages in the order of the card, levels, parameters, MACs.
    """

    card: Card
    checks: tuple[Check, ...]

    def to_dict(self) -> dict[str, Any]:
        """Convert the result to a JSON-serializable dict."""
        return {
            "card": self.card.name,
            "ok": self.ok,
            "verdict": self.verdict,
            "checks": [asdict(check) for check in self.checks],
        }

    def __repr__(self) -> str:
        return f"Verification({self.verdict})"

    @property
    def ok(self) -> bool:
        """Whether all values agree."""
        return self.first is None

    @property
    def first(self) -> Check | None:
        """First value that differs, or None; stages are in the order of the graph."""
        return next((check for check in self.checks if not check.agrees), None)

    @property
    def verdict(self) -> str:
        """Result in one line."""
        difference = self.first
        if difference is None:
            return f"{self.card.name} matches its published card: {len(self.checks)} values agree"
        return (
            f"{self.card.name} diverges first at {difference.what}: "
            f"published {difference.published}, built {difference.built}"
        )

    def __str__(self) -> str:
        height, width = self.card.image_size
        # An identical value is printed once, which makes differences easier to see.
        rows = [
            (
                "=" if check.agrees else "≠",
                check.what,
                check.published,
                "" if check.built == check.published else check.built,
            )
            for check in self.checks
        ]
        head = f"{self.card.name}: {self.card.title}, image {height} × {width}"
        values = ("published", "built")
        compared = table(("", "what", *values), rows, right=values)
        return wrapped("\n".join([head, "", compared, "", self.verdict]))


Factory = Callable[[], Any]


def verify(card: str | Path | Card, model: Any = None) -> Verification:
    """Compare a model with its card; a model that is built here gets no memory for its weights.

    Args:
        card: Name of a published model, a card file (.yaml) of one model, or a card.
        model: A `Detector`, a part or any built `keras.Model`; the path of a model file (.keras); a
            function without arguments that returns a model; or "my.module:function", which is
            imported. Defaults to the parts of the card.

    Returns:
        The compared values.

    Raises:
        ConfigError: There is no such card, or it is not valid.
        ContractError: The parts of the card do not fit each other.
        UserError: There is no such model or function, or the model cannot be counted.

    Example:
        >>> vg.verify("yolox-s").ok
        True
    """
    found = card if isinstance(card, Card) else load(card)
    return Verification(found, tuple(_checks(found, _model(found, model))))


def verify_all(source: str | Path | None = None, model: Any = None) -> Iterator[Verification]:
    """Yield the verification of all sizes of an architecture or a card file, else of every card.

    Args:
        source: Name of a model or an architecture, or a card file. Defaults to all cards.
        model: The model, see `verify`.
    """
    cards = map(load, names()) if source is None else find(source)
    for card in cards:
        yield verify(card, model)


def _model(card: Card, model: Any) -> Any:
    if model is None:
        with weightless():
            return build(card)
    if isinstance(model, Path) or (isinstance(model, str) and model.endswith(".keras")):
        return load_model(model)
    if isinstance(model, keras.Model | Part):
        return model
    build_model = _imported(model) if isinstance(model, str) else model
    if not callable(build_model):
        raise UserError(
            f"model is of type {type(model).__name__}",
            rule="a model, a part, a model file, or a function that returns one",
        )
    try:
        with weightless():
            return build_model()
    except UserError:
        raise
    except Exception:
        # Most likely the factory reads or sets a weight, so it needs real ones. Any other error
        # is raised again here.
        return build_model()


def _imported(name: str) -> Factory:
    module, _, attribute = name.partition(":")
    try:
        # The card names a function of any module.
        factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"factory {name} cannot be imported: {error}",
            rule="my.module:function, a function in an importable module",
        ) from error
    if not callable(factory):
        raise UserError(
            f"{name} is not a function",
            rule="my.module:function, a function that returns the model",
            received=type(factory).__name__,
            fix=f"{module}:build_model",
        )
    return factory


def _checks(card: Card, model: Any) -> Iterator[Check]:
    # Stages first: the first value that differs then names the place of the error, where a total
    # alone would not.
    figure = inspect.show(model, card.image_size)
    params = figure.count.trainable
    yield from _stages(card, figure)
    # An unlisted stage is a difference only if the card's stages account for all parameters.
    if params != card.params == sum(stage.params or 0 for stage in card.stages.values()):
        yield from _unlisted(card, figure)
    yield from _levels(card, model)
    yield Check("parameters", f"{card.params:,}", f"{params:,}", params == card.params)
    deployed = inspect.deployed(model, card.image_size) if _wants_deployed(card) else figure.count
    if card.deployed_params:
        published, built = card.deployed_params, deployed.trainable
        yield Check("deployed parameters", f"{published:,}", f"{built:,}", published == built)
    if card.macs:
        count = deployed if card.convention.fused else figure.count
        # Counted as the tool of the authors counts, or a correct model would differ by more than
        # the tolerance.
        macs = count.macs + card.convention.per_output * count.outputs
        error = (macs - card.macs) / card.macs
        text = f"{macs / 1e9:.4f} G ({error:+.2%})"
        yield Check("MACs", f"{card.macs / 1e9:.4f} G", text, abs(error) <= MACS_TOLERANCE)


def _wants_deployed(card: Card) -> bool:
    return card.convention.fused or card.deployed_params is not None


def _stages(card: Card, figure: inspect.Figure) -> Iterator[Check]:
    """Compare the stages of the card, in its order."""
    # Of a layer that several levels share, the call for the finest level counts.
    rows = {f"{row.part}/{row.stage}": row for row in reversed(figure.rows)}
    for path, stage in card.stages.items():
        published = _stage_text(stage.repeats, stage.output, stage.params)
        built = "missing"
        if path in rows:
            row = rows[path]
            params = None if stage.params is None else row.count.trainable
            built = _stage_text(row.repeats, row.output, params)
        yield Check(path, published, built, built == published)


def _unlisted(card: Card, figure: inspect.Figure) -> Iterator[Check]:
    """Yield stages with parameters that the card does not list although it accounts for all."""
    for row in figure.rows:
        path = f"{row.part}/{row.stage}"
        if row.count.trainable and path not in card.stages:
            built = _stage_text(row.repeats, row.output, row.count.trainable)
            yield Check(path, "not in the card", built, False)


def _stage_text(repeats: int, output: tuple[int | None, ...], params: int | None) -> str:
    text = " × ".join("?" if side is None else str(side) for side in output)
    if repeats > 1:
        text = f"{repeats} units, {text}"
    return text if params is None else f"{text}, {params:,} parameters"


def _levels(card: Card, model: Any) -> Iterator[Check]:
    for part, published in card.levels.items():
        sub = model
        if isinstance(model, Joined):
            sub = model.backbone if part == "backbone" else model.decoder
        built = _spec(sub, card)
        expected = {level: LevelSpec(f.channels, f.stride) for level, f in published.items()}
        yield Check(f"{part} levels", _level_text(expected), _level_text(built), built == expected)


def _spec(model: Any, card: Card) -> dict[str, LevelSpec]:
    if isinstance(model, Backbone):
        return dict(model.spec(image_size=card.image_size))
    has_graph = isinstance(model, keras.Model) and graph_of(model) is not None
    outputs = model.output if has_graph else None
    if not isinstance(outputs, dict):
        return {}
    return {
        level: LevelSpec(tensor.shape[-1], _stride(card.image_size[0], tensor.shape[1]))
        for level, tensor in outputs.items()
        if len(tensor.shape) == 4 and tensor.shape[1]
    }


def _stride(side: int, cells: int) -> int:
    """Return the stride of a map; sizes that strided convolutions rounded up have powers of two."""
    stride, rest = divmod(side, cells)
    return int(2 ** round(math.log2(side / cells))) if rest else stride


def _level_text(levels: dict[str, LevelSpec]) -> str:
    text = ", ".join(f"{level} {spec.channels} ch /{spec.stride}" for level, spec in levels.items())
    return text or "none"
