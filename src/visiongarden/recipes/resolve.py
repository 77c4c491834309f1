"""From what a person gives (a data set, a recipe file, overrides) to one whole `Recipe`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visiongarden.backbones import CSPDarknet
from visiongarden.cards import load, merged
from visiongarden.config import apply_overrides, load_yaml
from visiongarden.data import read
from visiongarden.decoders import PathAggregation
from visiongarden.errors import ConfigError
from visiongarden.heads import AnchorFree
from visiongarden.recipes.recipe import Data, Recipe


def resolve(
    source: str | Path | Mapping[str, Any],
    format: str | None = None,
    invalid_boxes: str | None = None,
    overrides: Sequence[str] = (),
) -> Recipe:
    """The recipe of a data set or a recipe file, with overrides.

    Where no part is named it is a CSP backbone of depth 0.33 and width 0.25, path aggregation and
    an anchor-free head: 3 million parameters. `model: {card: yolox-s}` takes the parts and the
    image size of a published model, which other fields of `model` change. A head that does not say
    `num_classes` takes the number of the data set's classes.

    Args:
        source: a data set (folder, COCO JSON, YOLO data.yaml), a recipe (.yaml), or its dict.
        format: of the annotations; overrides the recipe.
        invalid_boxes: "error" or "drop"; overrides the recipe.
        overrides: such as "training.epochs=50" or "model.decoder.channels=96".

    Raises:
        ConfigError: names each field that is not valid.
        DataError: the data set cannot be read.
    """
    cards = [each for each in overrides if each.startswith("model.card=")]
    fields = _with_model(apply_overrides(_fields(source), cards))
    overrides = [each for each in overrides if each not in cards]
    said = {"data.format": format, "data.invalid_boxes": invalid_boxes}
    extra = [f"{path}={value}" for path, value in said.items() if value is not None]
    fields = apply_overrides(fields, [*extra, *overrides])
    _fill_num_classes(fields)
    recipe = Recipe.from_dict(fields)
    recipe.model.check()
    return recipe


def _default_model() -> dict[str, Any]:
    head = AnchorFree(num_classes=1).to_dict()
    del head["num_classes"]
    return {
        "backbone": CSPDarknet(depth=0.33, width=0.25).to_dict(),
        "decoder": PathAggregation(depth=0.33).to_dict(),
        "head": head,
    }


def _fields(source: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    return dict(source) if isinstance(source, Mapping) else _read(Path(source))


def _with_model(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with every part named: the card's or the default's where the recipe is silent."""
    model = fields.get("model", {})
    if not isinstance(model, Mapping):
        return fields
    own = dict(model)
    name = own.pop("card", None)
    return fields | {
        "model": _default_model() | own if name is None else merged(_published(str(name)), own)
    }


def _published(name: str) -> dict[str, Any]:
    """Parts and image size of a card, without its number of classes."""
    card = load(name)
    if card.model is None:
        raise ConfigError(f"card {name} names no parts", fix="model: {backbone: ..., head: ...}")
    parts = card.model.to_dict()
    del parts["head"]["num_classes"]
    return parts | {"image_size": list(card.image_size)}


def _read(path: Path) -> dict[str, Any]:
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        fields = load_yaml(path)
        if fields.keys() & Recipe.model_fields.keys():
            return fields
    return {"data": {"path": str(path)}}


def _fill_num_classes(fields: dict[str, Any]) -> None:
    model = fields["model"]
    if not isinstance(model, dict):
        return
    if isinstance(model.get("head"), str):
        model["head"] = {"type": model["head"]}
    head = model.get("head")
    if not isinstance(head, dict) or "num_classes" in head:
        return
    if "data" not in fields:
        raise ConfigError(
            "the recipe names no data set", rule="data.path", fix="data: {path: my_images}"
        )
    head["num_classes"] = len(read_split(Data.from_dict(fields["data"]), "train").class_map)


def read_split(data: Data, split: str) -> Any:
    """The data set of one split of a recipe's data."""
    return read(
        data.path,
        format=data.format,
        split=getattr(data, split),
        invalid_boxes=data.invalid_boxes,
    )
