"""Main commands: `demo`, `train`, `evaluate`, `predict` and `export`.

Each imports the library when it runs, so that `--help` does not wait for a backend.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visiongarden.cli import completion
from visiongarden.cli.app import app
from visiongarden.cli.failures import INTERRUPTED, SKIPPED
from visiongarden.cli.options import (
    AsJson,
    Channels,
    Debug,
    ImageSize,
    Imports,
    InvalidBoxes,
    InvalidBoxesOrNone,
    ModelFile,
    Overrides,
    PrecisionOrNone,
    Quiet,
    Reader,
    TaskOrNone,
    Verbose,
)
from visiongarden.cli.output import echo, emit
from visiongarden.cli.start import start
from visiongarden.cli.stopping import exits_when_stopped
from visiongarden.errors import UserError
from visiongarden.progress import LOGGER


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Seed of scenes, weights and order.")] = 0,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Train and export a small detector on synthetic scenes.

    Generates a dataset, trains on it, evaluates the model, reopens its file and exports it, within
    minutes.
    """
    start(verbose=verbose)
    from visiongarden import recipes

    with exits_when_stopped():
        echo(f"results: {recipes.demo(output, seed)}")


@app.command()
def train(
    recipe: Annotated[
        str | None,
        typer.Argument(help="Dataset, recipe (.yaml), or with --resume a run."),
    ] = None,
    overrides: Overrides = None,
    reader: Reader = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder of the run. Defaults to a new one in runs/.")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Weights to start from: a run, a model file or a checkpoint."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume a stopped run.")] = False,
    accept_changes: Annotated[
        bool,
        typer.Option("--accept-changes", help="Resume although data or learning rate changed."),
    ] = False,
    invalid_boxes: InvalidBoxesOrNone = None,
    task: TaskOrNone = None,
    devices: Annotated[
        int | None, typer.Option(min=1, help="Devices of this host that share each batch.")
    ] = None,
    as_json: AsJson = False,
    imports: Imports = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Train a model on a dataset or from a recipe.

    Ctrl-C, SIGTERM and SIGUSR1 save the run after the current step; the exit code is 130 after
    Ctrl-C, and 143 after the others. A launcher (torchrun, srun, mpirun, TF_CONFIG) may start the
    command on several hosts.
    """
    start(imports, verbose=verbose)
    from visiongarden import recipes
    from visiongarden.backends.distribution import is_first_of_launcher

    named, changes = [recipe] if recipe is not None else [], overrides or []
    if resume and named and "=" in named[0] and not Path(named[0]).exists():
        named, changes = [], [*named, *changes]
    if not named and not resume:
        raise UserError(
            "no dataset is named",
            rule="a dataset or a recipe (.yaml)",
            fix="visiongarden train my_images",
        )
    with exits_when_stopped():
        result = recipes.train(
            named[0] if named else output or recipes.newest_run(),
            *changes,
            output=output,
            resume=resume,
            accept_changes=accept_changes,
            reader=reader,
            task=task,
            invalid_boxes=invalid_boxes,
            weights=weights,
            devices=devices,
        )
    if is_first_of_launcher():
        emit(result, as_json)


@app.command()
def evaluate(
    model: ModelFile,
    data: Annotated[Path, typer.Argument(help="Dataset: folder, file or archive.")],
    reader: Reader = "auto",
    split: Annotated[
        str, typer.Option(help="Split to evaluate on.", autocompletion=completion.splits)
    ] = "val",
    invalid_boxes: InvalidBoxes = "error",
    channels: Channels = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Images per step.")] = 16,
    precision: PrecisionOrNone = None,
    class_names: Annotated[
        str | None,
        typer.Option(
            help="Match classes by index, with names of: model or data.",
            autocompletion=completion.class_names,
        ),
    ] = None,
    as_json: AsJson = False,
    imports: Imports = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Evaluate a model on a dataset.

    Prints the metrics of the task: COCO metrics, top-k accuracy, mean IoU or others.
    """
    start(imports, verbose=verbose)
    from visiongarden import evaluation

    result = evaluation.evaluate(
        model,
        data,
        split=split,
        reader=reader,
        invalid_boxes=invalid_boxes,
        channels=channels,
        batch_size=batch_size,
        precision=precision,
        class_names=class_names,
    )
    emit(result, as_json)


@app.command()
def predict(
    model: ModelFile,
    images: Annotated[list[Path], typer.Argument(help="Images or folders of images.")],
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("predictions"),
    score: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Score threshold. Defaults to 0.25 for detection."),
    ] = None,
    iou: Annotated[
        float | None, typer.Option(min=0, max=1, help="IoU threshold of NMS. Defaults to 0.7.")
    ] = None,
    precision: PrecisionOrNone = None,
    masks: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help="Masks of objects as rle (default) or polygons."),
    ] = None,
    as_json: AsJson = False,
    imports: Imports = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Run a model on images and write the results.

    Writes annotated images, and the boxes, classes or masks as files.

    Exit code 1: an image could not be read and has no results. After Ctrl-C, the results so far are
    written.
    """
    start(imports, verbose=verbose)
    from visiongarden import reporting

    results = reporting.predict_folder(
        model, images, output, score, iou, precision, LOGGER.warning, masks
    )
    missing = results.total - results.files
    if results.interrupted:
        LOGGER.warning(f"interrupted: {missing} of {results.total} images are missing")
    elif results.skipped:
        LOGGER.warning(f"{len(results.skipped)} of {results.total} images were skipped")
    emit(results, as_json, f"{results.folder}: {results.summary}")
    if not results.complete:
        raise typer.Exit(INTERRUPTED if results.interrupted else SKIPPED)


@app.command()
def export(
    model: ModelFile,
    format: Annotated[
        str,
        typer.Option(help="Format of the file: onnx.", autocompletion=completion.export_formats),
    ] = "onnx",
    output: Annotated[
        Path | None, typer.Option(help="Exported file. Defaults to the model's name.")
    ] = None,
    image_size: ImageSize = None,
    as_json: AsJson = False,
    imports: Imports = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Export a model, and compare the file with the model.

    The file is kept only if its results agree with those of the model.
    """
    start(imports, verbose=verbose)
    from visiongarden import exporters

    size = None if image_size is None else (image_size, image_size)
    emit(exporters.export(model, output, format=format, image_size=size), as_json)
