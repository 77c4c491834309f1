"""`resolve`: turn a dataset, a recipe file and overrides into one complete `Recipe`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from visiongarden import plugins
from visiongarden.cards import load, merged
from visiongarden.config import apply_overrides, load_yaml
from visiongarden.data.channels import layout_in
from visiongarden.data.layout import RGB
from visiongarden.data.readers import opened, read
from visiongarden.errors import ConfigError, DataError, spelled
from visiongarden.parts import Backbone, Head
from visiongarden.recipes.initial_weights import initial_weights
from visiongarden.recipes.recipe import Data, Recipe, datasets_of, task_of_head
from visiongarden.recipes.splits import field_of_data, read_split
from visiongarden.recipes.training_defaults import (
    LENGTH,
    default_length,
    with_default_training,
)
from visiongarden.tasks import (
    Defaults,
    DetectionTask,
    Task,
    common_resize,
    find,
    is_decided,
    task_of_data,
    task_of_fields,
)


def resolve(
    source: Recipe | str | Path | Mapping[str, Any],
    reader: Any = None,
    invalid_boxes: str | None = None,
    overrides: Sequence[str] = (),
    task: str | None = None,
    weights: str | Path | None = None,
) -> Recipe:
    """Return the complete recipe for a dataset or a recipe file, with overrides applied.

    The task is the one specified, else that of the head, else that of the dataset. Without
    parts the model is the task's small default model, see `Task.defaults`. `model: {card: yolox-s}`
    takes the parts and the image size of a published model, and other fields of `model` override
    them. A head without `num_classes` takes the number of classes in the dataset; epochs and batch
    size default to values that suit the number of images, see `default_length`.

    Args:
        source: A dataset (folder, COCO JSON, YOLO data.yaml), a recipe file (.yaml), the dict of a
            recipe, or a recipe.
        reader: Reader of the dataset, as in `vg.read`; overrides the recipe.
        invalid_boxes: "error" or "drop"; overrides the recipe.
        overrides: Overrides such as "training.epochs=50" or "model.decoder.channels=96".
        task: Name of the task; overrides the recipe.
        weights: Pretrained weights to start from; overrides `model.weights.source`.

    Returns:
        The recipe, with every default filled in.

    Raises:
        ConfigError: A field is not valid; the error names each such field.
        DataError: The dataset cannot be read.
        UserError: The image size does not suit the model.

    Example:
        >>> fields = {
        ...     "model": {"head": {"type": "AnchorFree", "num_classes": 2}},
        ...     "data": {"path": "my_images"},
        ... }
        >>> resolve(fields, overrides=["training.epochs=50"]).training.epochs
        50
    """
    fields = _fields(source)
    # The user gave all names: those in the recipe, and the overrides.
    with plugins.imported_by_name():
        return _resolved(fields, reader, invalid_boxes, overrides, task, weights)


def _resolved(
    fields: dict[str, Any],
    reader: Any,
    invalid_boxes: str | None,
    overrides: Sequence[str],
    task: str | None,
    weights: str | Path | None,
) -> Recipe:
    changes = [] if task is None else [f"task={task}"]
    changes += overrides
    given = {"reader": reader, "invalid_boxes": invalid_boxes}
    given = {name: value for name, value in given.items() if value is not None}
    if given:
        fields["data"] = _with_options(fields.get("data", {}), given)
    # In this order: a card provides fields that other overrides change, and the task, which a few
    # overrides decide, provides the defaults that all others change.
    first = [c for c in changes if c.startswith(("model.card=", "model.weights="))]
    changes = [change for change in changes if change not in first]
    fields = _with_weights(with_card(apply_overrides(fields, first)), weights)
    decided = apply_overrides(fields, [c for c in changes if _decides_task(c)])
    chosen = chosen_task(decided)
    tasks = _tasks_of_heads(decided.get("model"), chosen)
    model = fields.get("model", {})
    defaults = _defaults(tasks, model)
    if isinstance(model, Mapping):
        resize = type(common_resize(tasks.values())).__name__
        fields["model"] = defaults.model | {"resize": resize} | dict(model)
    # Default transforms depend on the images, so overrides of transforms come last.
    late = [change for change in changes if change.startswith(("transforms.", "transforms["))]
    early = [change for change in changes if change not in late]
    fields = apply_overrides({"task": chosen.name} | fields, early)
    fields["training"] = with_default_training(defaults, fields.get("training", {}))
    split = _fill_from_data(fields, chosen, tasks)
    if "transforms" in fields:
        recipe = Recipe.from_dict(apply_overrides(fields, late))
    else:
        recipe = _with_transforms(Recipe.from_dict(fields), split, fields["training"])
        recipe = Recipe.from_dict(apply_overrides(recipe.to_dict(), late)) if late else recipe
    recipe.model.check()
    return recipe


def _with_transforms(recipe: Recipe, split: Any, training: Any) -> Recipe:
    """Return the recipe with the transforms of its task for the images of the training split."""
    epochs = training.get("epochs") if isinstance(training, Mapping) else None
    found = recipe.kind.transforms(
        None if split is None else len(split), epochs if isinstance(epochs, int) else None
    )
    is_rgb = split is None or layout_in(split) in (None, RGB)
    return recipe.replace(transforms=tuple(each for each in found if is_rgb or not each.rgb_only))


def _with_weights(fields: dict[str, Any], source: str | Path | None) -> dict[str, Any]:
    """Write `model.weights` with its fields, which overrides may change."""
    model = fields.get("model", {})
    if not isinstance(model, Mapping) or (source is None and model.get("weights") is None):
        return fields
    given = initial_weights(model.get("weights"))
    if source is not None:
        given = {**(given if isinstance(given, Mapping) else {}), "source": str(source)}
    return fields | {"model": {**model, "weights": given}}


def _defaults(tasks: Mapping[str | None, Task], model: Any) -> Defaults:
    """Return the defaults of a task, which a recipe that names all parts does not need."""
    task = next(iter(tasks.values()))
    if None not in tasks:
        # The backbone and the decoder of the first head's task.
        found = task.defaults()
        return replace(found, model={n: v for n, v in found.model.items() if n != "head"})
    try:
        return task.defaults()
    except ConfigError:
        if not isinstance(model, Mapping) or not {"backbone", "head"} <= model.keys():
            raise
        return Defaults() if task.needs_decoder else Defaults(_without_decoder(model))


def _without_decoder(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the decoder that passes the coarsest level of the backbone to the head."""
    levels = Backbone.from_dict(model["backbone"]).levels
    return {"decoder": {"type": "PassOn", "levels": list(levels[-1:])}}


def _tasks_of_heads(model: Any, task: Task) -> dict[str | None, Task]:
    """Return the task of each of several heads by its name, or that of the recipe under None."""
    return {n: find(Head.find(_type(head)).task) for n, head in _heads(model).items()} or {
        None: task
    }


def _heads(model: Any) -> dict[str, Any]:
    """Return the heads of a recipe with several."""
    heads = model.get("heads") if isinstance(model, Mapping) else None
    return dict(heads) if isinstance(heads, Mapping) else {}


def _type(head: Any) -> str:
    """Return the name of the class of a head."""
    return str(head.get("type") if isinstance(head, Mapping) else head)


def _with_options(data: Any, options: Mapping[str, Any]) -> Any:
    """Return the dataset of a recipe, or each dataset of its list, with other options."""
    if isinstance(data, list | tuple):
        return [_with_options(each, options) for each in data]
    return {**data, **options} if isinstance(data, Mapping) else data


def with_card(fields: dict[str, Any]) -> dict[str, Any]:
    """Replace `model.card` by the parts of that card."""
    model = fields.get("model")
    if not isinstance(model, Mapping) or "card" not in model:
        return fields
    overrides = {key: value for key, value in model.items() if key != "card"}
    return fields | {"model": merged(_card_fields(str(model["card"])), overrides)}


def _card_fields(name: str) -> dict[str, Any]:
    """Return the parts and the image size of a card, without its number of classes."""
    card = load(name)
    if card.model is None:
        raise ConfigError(
            f"card {name} does not specify the parts of its model",
            fix="model: {backbone: ..., head: ...}",
        )
    parts = card.model.with_decoder().to_dict()
    for field in find(card.model.head.task).data_fields:
        parts["head"].pop(field, None)
    return parts | {"image_size": list(card.image_size)}


def _decides_task(override: str) -> bool:
    path = override.partition("=")[0]
    return path == "task" or path.startswith(("data.", "model.head"))


def chosen_task(fields: Mapping[str, Any]) -> Task:
    """Return the task of a recipe: the one specified, else the head's, else the data's."""
    data = fields.get("data")
    name = str(fields["task"]) if "task" in fields else task_of_head(fields.get("model"))
    if name is not None:
        return find(name)
    several = data if isinstance(data, list | tuple) else ()
    number = 0 if several else None
    first = several[0] if several else data
    if not isinstance(first, Mapping) or first.get("path") is None:
        return DetectionTask()
    found = Data.from_dict(first)
    with spelled(partial(field_of_data, "train", number=number)):
        root, reader = opened(found.path, found.reader)
        # Datasets of most readers have the same annotations, so that none needs to be read.
        if reader.annotations and is_decided(reader.annotations):
            return task_of_fields(reader.annotations, root)
        return task_of_data(read(found.path, split=found.train, reader=reader))


def _fields(source: Any) -> dict[str, Any]:
    if isinstance(source, Recipe):
        return source.to_dict()
    if isinstance(source, Mapping):
        return dict(source)
    if isinstance(source, str | Path):
        return _read(Path(source))
    raise ConfigError(
        "the recipe has an unsupported type",
        rule="a Recipe, its file (.yaml), a dict, or the path of a dataset",
        received=f"{type(source).__name__} {source!r:.60}",
        fix='"my_images"',
    )


def _read(path: Path) -> dict[str, Any]:
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        fields = load_yaml(path)
        if fields.keys() & Recipe.model_fields.keys():
            return fields
    return {"data": {"path": str(path)}}


def _fill_from_data(fields: dict[str, Any], task: Task, tasks: Mapping[str | None, Task]) -> Any:
    """Fill in the fields that depend on the training split: classes, epochs, batch size.

    Args:
        fields: Fields of the recipe, which are changed.
        task: Task of the recipe.
        tasks: Task of each head, see `_tasks_of_heads`.

    Returns:
        The training split; None if it was not read.
    """
    model, training = fields["model"], fields["training"]
    heads = _incomplete(model, tasks) if isinstance(model, dict) else []
    if not heads and not (isinstance(training, Mapping) and _depends_on_data(fields)):
        return None
    split = _train_split(task, fields, is_needed=bool(heads))
    if split is None:
        return None
    for head, own in heads:
        missing, provided = _missing(head, own), own.head_fields(split)
        head.update({name: value for name, value in provided.items() if name in missing})
    if isinstance(training, Mapping):
        fields["training"] = dict(training) | default_length(len(split), training)
    return split


def _incomplete(
    model: dict[str, Any], tasks: Mapping[str | None, Task]
) -> list[tuple[dict[str, Any], Task]]:
    """Return the heads that lack fields which the data provide, each with its task.

    Heads that are given by their name are written with their fields.
    """
    if _heads(model):
        heads = model["heads"] = {n: _with_fields(head) for n, head in _heads(model).items()}
        pairs = [(head, tasks[name]) for name, head in heads.items() if name in tasks]
    elif "head" in model:
        model["head"] = _with_fields(model["head"])
        pairs = [(model["head"], task) for name, task in tasks.items() if name is None]
    else:
        pairs = []
    return [(h, task) for h, task in pairs if isinstance(h, dict) and _missing(h, task)]


def _with_fields(head: Any) -> Any:
    return {"type": head} if isinstance(head, str) else head


def _missing(head: Mapping[str, Any], task: Task) -> list[str]:
    """Return the fields that a head has, its recipe lacks and the data provide."""
    fields = Head.find(_type(head)).model_fields
    return [name for name in task.data_fields if name in fields and name not in head]


def _depends_on_data(fields: Mapping[str, Any]) -> bool:
    """Return whether a field is left out whose default depends on the number of images."""
    return not fields["training"].keys() >= LENGTH or "transforms" not in fields


def _train_split(task: Task, fields: Mapping[str, Any], is_needed: bool) -> Any:
    """Return the training split; None if it is not needed, and its data is absent or invalid.

    A recipe that states its number of classes can be shown and compared on a machine without its
    data; `train` reads the data again and reports the error.
    """
    if is_needed and "data" not in fields:
        raise ConfigError(
            "the recipe has no dataset",
            rule="data.path is required",
            fix="data: {path: my_images}",
        )
    try:
        data = datasets_of(fields.get("data", {}))
        several = (data,) if isinstance(data, Data) else data
        if is_needed or all(each.may_exist for each in several):
            return read_split(task, data, "train")
    except (ConfigError, DataError):
        if is_needed:
            raise
    return None
