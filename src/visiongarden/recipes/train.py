"""`train`: carries out a recipe."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console

from visiongarden.config import save_yaml
from visiongarden.data import Prints, check, leaked
from visiongarden.errors import DataError, UserError
from visiongarden.evaluation import evaluate, judge_on, plot_history
from visiongarden.layers.keras_internals import seed_everything
from visiongarden.models import Joined, load
from visiongarden.recipes.environment import save_environment
from visiongarden.recipes.length import shortage
from visiongarden.recipes.recipe import Recipe
from visiongarden.recipes.resolve import read_split
from visiongarden.tasks import find
from visiongarden.training import check_sizes, fit

RECIPE = "recipe.yaml"
_LEAKS_SHOWN = 3


def train(recipe: Recipe, output: str | Path | None = None, resume: bool = False) -> Path:
    """Trains the model of a recipe on its data.

    Leaves in the folder: `recipe.yaml` and `environment.json`, `best.keras` and `last.keras`,
    `history.json`, `resume.npz`, `curves.png`, TensorBoard events.

    Args:
        recipe: what to do.
        output: folder of the run; by default `runs/` and the data set's name, numbered if taken.
        resume: go on with the run in the folder.

    Returns:
        The folder.

    Raises:
        DataError: the data set is not sound; training does not start.
        ContractError: the parts do not fit each other, or the classes.
        UserError: the folder holds another run, or none to resume; or the image size cannot change
            as the augmentation says.
        KeyboardInterrupt: after Ctrl-C, once all that `resume` needs is written.
    """
    console = Console(markup=False, emoji=False, highlight=False)
    task = find(recipe.task)
    train_set, val_set = (read_split(recipe.task, recipe.data, split) for split in ("train", "val"))
    _same_classes(train_set, val_set)
    prints = Prints()
    check(train_set, trained_on=True, prints=prints)
    check(val_set, prints=prints)
    seed_everything(recipe.training.seed)
    model = recipe.build(class_map=train_set.class_map, dtype=recipe.training.precision)
    loader = _loader(recipe, train_set)
    check_sizes(model, loader)
    folder = _folder(recipe, output, resume)
    save_yaml(folder / RECIPE, recipe)
    save_environment(folder, recipe.training.seed)
    leaks = leaked(train_set, val_set, prints)
    _introduce(console, recipe, model, train_set, val_set, folder, leaks)
    try:
        history = fit(
            model,
            loader,
            folder,
            recipe.training,
            judge_on(val_set),
            resume=resume,
            identity={name: recipe.to_dict()[name] for name in ("data", "augmentation")},
        )
    except KeyboardInterrupt:
        say(
            console,
            f"stopped; to go on: visiongarden train {folder / RECIPE} --output {folder} --resume",
        )
        raise
    plot_history(history, folder / "curves.png", task.figures, task.judged_by)
    best = load(folder / "best.keras")
    console.print(evaluate(best, val_set).table())
    return folder


def _loader(recipe: Recipe, dataset: Any) -> Any:
    return find(recipe.task).loader(
        dataset,
        image_size=recipe.model.image_size,
        batch_size=min(recipe.training.batch_size, max(len(dataset), 1)),
        augmentation=recipe.augmentation,
        shuffle=True,
        seed=recipe.training.seed,
        workers=recipe.training.workers,
        drop_remainder=True,
        size_step=recipe.model.largest_stride,
    )


def _folder(recipe: Recipe, output: str | Path | None, resume: bool) -> Path:
    base = Path("runs") / recipe.data.path.resolve().stem
    if not resume:
        return free_folder(base) if output is None else _empty(Path(output))
    folder = Path(output) if output is not None else _last(base)
    if not (folder / RECIPE).exists():
        raise UserError(f"{folder} holds no run to resume", fix="train without --resume")
    return folder


def _empty(folder: Path) -> Path:
    if (folder / RECIPE).exists():
        raise UserError(
            f"{folder} holds a run already",
            rule="a run never overwrites another",
            fix="--resume goes on with it; another --output starts anew",
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def free_folder(base: Path) -> Path:
    """Makes `base`, or the first of `base-2`, `base-3`, ... that is free."""
    number, folder = 1, base
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    folder.mkdir(parents=True)
    return folder


def _last(base: Path) -> Path:
    """The newest of `base`, `base-2`, `base-3`, ..."""
    number, folder = 1, base
    while base.with_name(f"{base.name}-{number + 1}").exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def _introduce(
    console: Console,
    recipe: Recipe,
    model: Joined,
    train_set: Any,
    val_set: Any,
    folder: Path,
    leaks: list[tuple[Any, Any]],
) -> None:
    height, width = recipe.model.image_size
    say(
        console,
        f"{recipe.task} on {recipe.data.path}: {len(train_set)} images to train on, "
        f"{len(val_set)} to judge on, classes {', '.join(train_set.class_map.names)}",
        f"{recipe.model.backbone} → {recipe.model.decoder} → {recipe.model.head}",
        f"{model.count_params():,} parameters, {height} × {width} pixels, run {folder}",
        *filter(None, [shortage(recipe.training, len(train_set))]),
        *_leaks(recipe, leaks, len(val_set)),
        *(f"left out: {line}" for dataset in (train_set, val_set) for line in dataset.dropped),
    )


def _same_classes(train_set: Any, val_set: Any) -> None:
    learned, judged = train_set.class_map.names, val_set.class_map.names
    # The same names in another order are matched by name when the model is evaluated.
    if set(learned) != set(judged):
        raise DataError(
            f"{train_set.root}: the splits have different classes",
            rule=f"{train_set.split}: {', '.join(learned)}",
            received=f"{val_set.split}: {', '.join(judged)}",
        )


def _leaks(recipe: Recipe, pairs: list[tuple[Any, Any]], judged_on: int) -> list[str]:
    """What to say of images that are trained on and judged on."""
    if not pairs:
        return []
    path, format = recipe.data.path, recipe.data.format
    words = ["visiongarden", "data", "check", str(path), "--fix", f"{path}-fixed"]
    words += [] if format == "auto" else ["--format", format]
    return [
        f"warning: {len(pairs)} of {judged_on} images to judge on are trained on too, "
        "so figures come out too high:",
        *(f"    {judged} is {trained}" for trained, judged in pairs[:_LEAKS_SHOWN]),
        *([f"    … and {len(pairs) - _LEAKS_SHOWN} more"] if len(pairs) > _LEAKS_SHOWN else []),
        f"  to train without them: {shlex.join(words)}",
    ]


def say(console: Console, *lines: str) -> None:
    """Plain lines: paths and values hold brackets that rich would take for markup."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
