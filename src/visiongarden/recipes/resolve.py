"""From what a person gives (a data set, a recipe file, overrides) to one whole `Recipe`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from visiongarden.cards import load, merged
from visiongarden.config import apply_overrides, load_yaml
from visiongarden.errors import ConfigError, DataError, spelled
from visiongarden.parts import Head
from visiongarden.recipes.defaults import default_model, default_training
from visiongarden.recipes.length import LENGTH, default_length, mosaic_off_epochs
from visiongarden.recipes.recipe import Data, Recipe
from visiongarden.tasks import find, task_of_data


def resolve(
    source: str | Path | Mapping[str, Any],
    format: str | None = None,
    invalid_boxes: str | None = None,
    overrides: Sequence[str] = (),
    task: str | None = None,
) -> Recipe:
    """The recipe of a data set or a recipe file, with overrides.

    The task is the one that is named, or the head's, or what the data looks like. Where no part is
    named it is the task's small model; see `default_model`. `model: {card: yolox-s}` takes the
    parts and the image size of a published model, which other fields of `model` change. A head
    that does not say `num_classes` takes the number of the data set's classes; epochs and batch
    size that are not given suit the number of its images, see `default_length`.

    Args:
        source: a data set (a folder, COCO JSON, YOLO data.yaml), a recipe (.yaml), or its dict.
        format: of the data; overrides the recipe.
        invalid_boxes: "error" or "drop"; overrides the recipe.
        overrides: such as "training.epochs=50" or "model.decoder.channels=96".
        task: "detection", "classification" or "segmentation"; overrides the recipe.

    Raises:
        ConfigError: names each field that is not valid.
        DataError: the data set cannot be read.
    """
    fields = dict(source) if isinstance(source, Mapping) else _read(Path(source))
    said = {"task": task, "data.format": format, "data.invalid_boxes": invalid_boxes}
    changes = [f"{path}={value}" for path, value in said.items() if value is not None]
    changes += overrides
    cards = [change for change in changes if change.startswith("model.card=")]
    changes = [change for change in changes if change not in cards]
    fields = _with_card(apply_overrides(fields, cards))
    name = _task(apply_overrides(fields, [c for c in changes if _tells_the_task(c)]))
    for field, defaults in (("model", default_model), ("training", default_training)):
        given = fields.get(field, {})
        if isinstance(given, Mapping):
            fields[field] = defaults(name) | dict(given)
    fields = apply_overrides({"task": name} | fields, changes)
    _fill_from_data(fields)
    recipe = Recipe.from_dict(fields)
    recipe.model.check()
    return recipe


def read_split(task: str, data: Data, split: str) -> Any:
    """The data set of one split of a recipe's data."""
    with spelled(partial(_as_override, split)):
        return find(task).read(
            data.path,
            format=data.format,
            split=getattr(data, split),
            invalid_boxes=data.invalid_boxes,
            **_for_boxes(task, data),
        )


def _for_boxes(task: str, data: Data) -> dict[str, Any]:
    if data.one_based and task != "detection":
        raise ConfigError(
            "data.one_based is for the corners of boxes",
            rule="detection",
            received=task,
            fix="data.one_based=false",
        )
    return {"one_based": True} if data.one_based else {}


def _as_override(split: str, name: str, value: Any) -> str:
    """An argument of `read` as a recipe gives it: an override works in Python and for `train`."""
    field = f"data.{split if name == 'split' else name}"
    return field if value is None else f"{field}={shlex.quote(str(value))}"


def _with_card(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with the parts of the card that the model names, if it names one."""
    model = fields.get("model")
    if not isinstance(model, Mapping) or "card" not in model:
        return fields
    own = {key: value for key, value in model.items() if key != "card"}
    return fields | {"model": merged(_published(str(model["card"])), own)}


def _published(name: str) -> dict[str, Any]:
    """Parts and image size of a card, without its number of classes."""
    card = load(name)
    if card.model is None:
        raise ConfigError(f"card {name} names no parts", fix="model: {backbone: ..., head: ...}")
    parts = card.model.with_decoder().to_dict()
    del parts["head"]["num_classes"]
    return parts | {"image_size": list(card.image_size)}


def _tells_the_task(override: str) -> bool:
    path = override.partition("=")[0]
    return path == "task" or path.startswith(("data.", "model.head"))


def _task(fields: Mapping[str, Any]) -> str:
    """Name of the task: said, or the head's, or the data's."""
    if "task" in fields:
        return find(str(fields["task"])).name
    model, data = fields.get("model"), fields.get("data")
    head = model.get("head") if isinstance(model, Mapping) else None
    kind = head.get("type") if isinstance(head, Mapping) else head
    if isinstance(kind, str):
        return Head.find(kind).task
    path = data.get("path") if isinstance(data, Mapping) else None
    if path is None:
        return "detection"
    known = Data.from_dict(data)  # type: ignore[arg-type]
    return task_of_data(known.path, known.format).name


def _read(path: Path) -> dict[str, Any]:
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        fields = load_yaml(path)
        if fields.keys() & Recipe.model_fields.keys():
            return fields
    return {"data": {"path": str(path)}}


def _fill_from_data(fields: dict[str, Any]) -> None:
    """Adds what follows from the training split: number of classes, epochs, batch size."""
    model, training = fields["model"], fields["training"]
    if isinstance(model, dict) and isinstance(model.get("head"), str):
        model["head"] = {"type": model["head"]}
    head = model.get("head") if isinstance(model, dict) else None
    if isinstance(head, dict) and "num_classes" not in head:
        if "data" not in fields:
            raise ConfigError(
                "the recipe names no data set", rule="data.path", fix="data: {path: my_images}"
            )
        split = read_split(fields["task"], Data.from_dict(fields["data"]), "train")
        head["num_classes"] = len(split.class_map)
    elif isinstance(training, Mapping) and not training.keys() >= LENGTH:
        split = _train_split_if_there(fields)
    else:
        return
    if split is not None and isinstance(training, Mapping):
        fields["training"] = dict(training) | default_length(len(split), training)
        _fill_augmentation(fields, len(split))


def _fill_augmentation(fields: dict[str, Any], images: int) -> None:
    given, epochs = fields.get("augmentation", {}), fields["training"].get("epochs")
    known = find(fields["task"]).augmentation.model_fields
    if (
        not isinstance(given, Mapping)
        or not isinstance(epochs, int)
        or "mosaic_off_epochs" not in known
    ):
        return
    off = mosaic_off_epochs(images, epochs)
    if "mosaic_off_epochs" not in given and off != known["mosaic_off_epochs"].default:
        fields["augmentation"] = dict(given) | {"mosaic_off_epochs": off}


def _train_split_if_there(fields: Mapping[str, Any]) -> Any:
    """The training split; None where the data is elsewhere, or the recipe is refused for it later.

    A recipe that states its classes can be shown and compared without its data.
    """
    try:
        data = Data.from_dict(fields.get("data", {}))
    except ConfigError:
        return None
    try:
        return read_split(fields["task"], data, "train") if data.path.exists() else None
    except DataError:
        return None
