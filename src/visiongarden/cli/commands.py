"""Main commands: `demo`, `train`, `eval`, `predict` and `export`.

Each imports the library when it runs, so that `--help` does not wait for a backend.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visiongarden.cli.app import app, echo
from visiongarden.cli.failures import PARTIAL
from visiongarden.cli.options import (
    Debug,
    Format,
    FormatOrNone,
    Imports,
    InvalidBoxes,
    InvalidBoxesOrNone,
    ModelFile,
    TaskOrNone,
)
from visiongarden.cli.start import start


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Seed of scenes, weights and order.")] = 0,
    debug: Debug = False,
) -> None:
    """Train and export a small detector on synthetic scenes.

    Generates a dataset, trains on it, evaluates the model, reopens its file and exports it, within
    minutes.
    """
    start()
    from visiongarden import recipes

    recipes.demo(output, seed)


@app.command()
def train(
    source: Annotated[str, typer.Argument(help="Dataset or recipe (.yaml).")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Overrides, such as training.epochs=50.")
    ] = None,
    format: FormatOrNone = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder of the run. Defaults to a new one in runs/.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume a stopped run.")] = False,
    accept_changes: Annotated[
        bool,
        typer.Option("--accept-changes", help="Resume although data or learning rate changed."),
    ] = False,
    invalid_boxes: InvalidBoxesOrNone = None,
    task: TaskOrNone = None,
    imports: Imports = None,
    debug: Debug = False,
) -> None:
    """Train a model on a dataset or from a recipe."""
    start(imports)
    from visiongarden import recipes

    recipe = recipes.resolve(source, format, invalid_boxes, overrides or [], task)
    folder = recipes.train(recipe, output, resume, accept_changes)
    echo(f"best model: {folder / 'best.keras'}")


@app.command("eval")
def evaluate(
    model: ModelFile,
    data: Annotated[Path, typer.Argument(help="Dataset: folder, file or archive.")],
    format: Format = "auto",
    split: Annotated[str, typer.Option(help="Split to evaluate on.")] = "val",
    invalid_boxes: InvalidBoxes = "error",
    batch_size: Annotated[int, typer.Option(min=1, help="Images per step.")] = 16,
    class_names: Annotated[
        str | None,
        typer.Option(help="Match classes by index, with names of: model or data."),
    ] = None,
    imports: Imports = None,
    debug: Debug = False,
) -> None:
    """Evaluate a model on a dataset.

    Prints COCO metrics, top-k accuracy or mean IoU, depending on the task of the model.
    """
    start(imports)

    from visiongarden import evaluation

    result = evaluation.evaluate_file(
        model, data, format, split, invalid_boxes, batch_size, class_names
    )
    echo(result)


@app.command()
def predict(
    model: ModelFile,
    images: Annotated[list[Path], typer.Argument(help="Images or folders of images.")],
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("predictions"),
    score: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Score threshold. Defaults to 0.25 for detection."),
    ] = None,
    imports: Imports = None,
    debug: Debug = False,
) -> None:
    """Run a model on images and write the results.

    Writes annotated images, and the boxes, classes or masks as files.

    Exit code 1: the results of some images are missing, because an image could not be read or
    Ctrl-C was pressed.
    """
    start(imports)
    from visiongarden import reporting

    def warn(line: str) -> None:
        echo(f"warning: {line}", err=True)

    results = reporting.predict_folder(model, images, output, score, warn)
    if results.interrupted:
        warn(f"interrupted: {results.total - results.files} of {results.total} images are missing")
    elif results.skipped:
        warn(f"{len(results.skipped)} of {results.total} images were skipped")
    echo(f"{results.folder}: {results.summary}")
    if not results.complete:
        raise typer.Exit(PARTIAL)


@app.command()
def export(
    model: ModelFile,
    format: Annotated[str, typer.Option(help="Format of the file: onnx.")] = "onnx",
    output: Annotated[
        Path | None, typer.Option(help="Exported file. Defaults to the model's name.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Side of the image, if the model has open sizes.")
    ] = None,
    imports: Imports = None,
    debug: Debug = False,
) -> None:
    """Export a model, and compare the file with the model.

    The file is kept only if its results agree with those of the model.
    """
    start(imports)
    from visiongarden.exporters import export_file

    size = None if image_size is None else (image_size, image_size)
    path, parity = export_file(model, output, format, size)
    echo(f"exported {path}: {parity}")
