"""`save_reproduction`: the images of the step at which a run diverged, as a small dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.config import save_yaml
from visiongarden.data import Dataset, Loader
from visiongarden.data.writers import Writer, writer_of
from visiongarden.progress import LOGGER
from visiongarden.recipes.recipe import Recipe
from visiongarden.recipes.run_folder import RECIPE
from visiongarden.storage import atomic_folder

_DATA, _BATCH = "data", "batch.npz"


def save_reproduction(
    folder: Path, recipe: Recipe, loader: Loader, epoch: int, step: int
) -> Path | None:
    """Write the images of a step, their labels, the batch and a recipe into the folder of a run.

    The folder `diverged-epoch-3-step-17` contains `batch.npz`, the arrays as the model received
    them; `data`, a dataset of the images; and `recipe.yaml`, which trains on it.

    Args:
        folder: Folder of the run.
        recipe: Recipe of the run.
        loader: Its loader.
        epoch: Index of the epoch, from 0.
        step: Index of the step in the epoch, from 0.

    Returns:
        The new folder, or None if it could not be written, with a warning.
    """
    target = folder / f"diverged-epoch-{epoch + 1}-step-{step + 1}"
    try:
        indices = loader.indices(epoch, step).tolist()
        dataset: Dataset = loader.dataset.part(list(dict.fromkeys(indices)))
        with atomic_folder(target) as draft:
            arrays: Any = _batch(loader, epoch, step, recipe.training.epochs)
            np.savez(draft / _BATCH, **arrays)
            (draft / _DATA).mkdir()
            writer_of(_format_of(dataset)).write({"train": dataset, "val": dataset}, draft / _DATA)
            save_yaml(draft / RECIPE, _recipe_of(recipe, target, len(indices)))
    except (OSError, ValueError) as error:  # the error of the run is the one to report
        LOGGER.warning(f"the images of the step could not be saved: {error}")
        return None
    return target


def _batch(loader: Loader, epoch: int, step: int, epochs: int) -> dict[str, np.ndarray]:
    for number, batch in enumerate(loader.epoch(epoch, epochs)):
        if number == step:
            targets = {f"targets/{name}": array for name, array in batch.targets.items()}
            return {"images": batch.images} | targets
    raise ValueError(f"the epoch has no step {step + 1}")


def _format_of(dataset: Dataset) -> str:
    """Return the format that stores most kinds of annotations of a dataset, and fewest others."""
    known = Writer.by_name()

    def fitness(name: str) -> tuple[int, bool, int]:
        fields = known[name].fields
        return len(fields & dataset.fields), name == "coco", -len(fields)

    return max(known, key=fitness)


def _recipe_of(recipe: Recipe, target: Path, images: int) -> dict[str, Any]:
    fields = recipe.to_dict()
    data: dict[str, Any] = {"path": str(target / _DATA)}
    training = {"batch_size": images, "epochs": 1, "unfreeze_at_epoch": None}
    return fields | {"data": data, "training": fields["training"] | training}
