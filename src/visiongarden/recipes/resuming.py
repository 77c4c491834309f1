"""Which recipe a resumed run continues with: its own, with the overrides that are given now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from visiongarden.config import load_yaml
from visiongarden.errors import UserError, option
from visiongarden.recipes.run_folder import RECIPE, resumed_folder
from visiongarden.recipes.versions import ENVIRONMENT
from visiongarden.storage import name_of

RUNS = Path("runs")


def resumed_source(source: Any, output: str | Path | None) -> tuple[Any, str | Path | None]:
    """Return the recipe and the folder of a run that is resumed.

    Args:
        source: Folder of the run, a recipe, or the dataset of the run, whose recipe is then that in
            the folder of the run.
        output: Folder of the run that the user specified, if any.

    Raises:
        UserError: There is no run to resume.
    """
    if not isinstance(source, str | Path):
        return source, output
    path = Path(source)
    if is_run(path):
        return path / RECIPE, output or path
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        return source, output
    folder = resumed_folder(RUNS / name_of(path), output)
    fields = load_yaml(folder / RECIPE)
    if not isinstance(fields.get("data"), dict):  # several datasets have no single path
        return source, output
    return fields | {"data": fields["data"] | {"path": str(path)}}, folder


def is_run(folder: Path) -> bool:
    """Return whether a folder is that of a run."""
    return all((folder / name).is_file() for name in (RECIPE, ENVIRONMENT))


def newest_run(runs: Path = RUNS) -> Path:
    """Return the folder of the run that was started or resumed last.

    Raises:
        UserError: There is no run.
    """
    found = [folder for folder in runs.glob("*") if is_run(folder)]
    if not found:
        raise UserError(
            f"there is no run to resume in {runs}",
            rule="the folder of a run, a dataset or a recipe is named, or there is a run in runs/",
            fix=option("output", str(runs / "my_images")),
        )
    return max(found, key=lambda folder: (folder / RECIPE).stat().st_mtime)
