"""Commands on datasets: `data check`, `data convert` and `data show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visiongarden.cli import completion
from visiongarden.cli.app import group
from visiongarden.cli.failures import FINDINGS
from visiongarden.cli.options import (
    AsJson,
    Channels,
    Debug,
    Imports,
    InvalidBoxes,
    Quiet,
    Reader,
    Verbose,
)
from visiongarden.cli.output import echo, emit
from visiongarden.cli.start import import_modules
from visiongarden.errors import DataError, UserError
from visiongarden.storage import name_of

data = group("data", "Check, convert and show datasets.")

_MAX_SHOWN = 10
Source = Annotated[Path, typer.Argument(help="Dataset: folder, file or archive.")]


@data.command()
def check(
    path: Source,
    output: Annotated[
        Path | None, typer.Option(help="Report (.html); the JSON is saved beside it.")
    ] = None,
    reader: Reader = "auto",
    invalid_boxes: InvalidBoxes = "error",
    image_size: Annotated[
        int, typer.Option(min=32, help="Longest side of the model's input.")
    ] = 640,
    stride: Annotated[
        int, typer.Option(min=1, help="Stride of the model's finest feature map.")
    ] = 8,
    fix: Annotated[Path | None, typer.Option(help="New folder for a corrected copy.")] = None,
    keep_background: Annotated[
        bool, typer.Option("--keep-background", help="With --fix: keep images that lose all boxes.")
    ] = False,
    crowds_as_objects: Annotated[
        bool, typer.Option("--crowds-as-objects", help="With --fix: set every iscrowd to 0.")
    ] = False,
    imports: Imports = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Check the labels and images of a dataset.

    Exit code 1: the dataset has errors, and no corrected copy was written.
    """
    from visiongarden import doctor

    import_modules(imports)
    page = Path(output or f"{name_of(path)}-check.html").with_suffix(".html")
    report = doctor.check_dataset(
        path,
        output=page,
        reader=reader,
        invalid_boxes=invalid_boxes,
        image_size=image_size,
        stride=stride,
    )
    echo(report.to_json() if as_json else report.text())
    echo(f"report: {page}, {page.with_suffix('.json')}", err=as_json)
    if fix is not None:
        changes = doctor.fix(path, fix, reader, keep_background, crowds_as_objects)
        for line in changes[:_MAX_SHOWN]:
            echo(f"changed: {line}", err=as_json)
        if len(changes) > _MAX_SHOWN:
            echo(f"… and {len(changes) - _MAX_SHOWN:,} more", err=as_json)
        text = f"corrected copy: {fix}, {len(changes)} changes in {fix / 'changes.txt'}"
        echo(text, err=as_json)
        return
    try:
        report.raise_if_errors()
    except DataError as error:
        # Nothing failed: the check completed, and this is what it found.
        echo(f"error: {error}", err=True)
        raise typer.Exit(FINDINGS) from None


@data.command()
def convert(
    path: Source,
    output: Annotated[Path, typer.Argument(help="New folder.")],
    format: Annotated[
        str,
        typer.Option(
            help="Format of the copy; see `list writer`.",
            autocompletion=completion.written_formats,
        ),
    ],
    reader: Reader = "auto",
    invalid_boxes: InvalidBoxes = "error",
    imports: Imports = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Convert a dataset to another format, images included.

    Exit code 1: the new format could not store some annotations.
    """
    from visiongarden.data import convert as convert_dataset

    import_modules(imports)
    result = convert_dataset(
        path, output, format=format, reader=reader, invalid_boxes=invalid_boxes
    )
    emit(result, as_json)
    if result.lost:
        raise typer.Exit(FINDINGS)


def numbers_in(text: str) -> tuple[int, ...]:
    """Return the integers of a list, separated by commas.

    Raises:
        UserError: the text is not such a list.
    """
    words = text.split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise UserError(
            f"--bands {text} is not valid", rule="numbers of channels from 0", fix="--bands 3,2,1"
        )
    return tuple(int(word) for word in words)


@data.command()
def show(
    path: Source,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FIELD=VALUE]...", help="Overrides, such as transforms.HSV.hue=0.1."
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="Image file, .png or .jpg.")] = Path("sheet.png"),
    reader: Reader = "auto",
    split: Annotated[
        str, typer.Option(help="Split to show.", autocompletion=completion.splits)
    ] = "train",
    invalid_boxes: InvalidBoxes = "error",
    image_size: Annotated[
        int, typer.Option(min=32, max=2048, help="Side of each image in pixels.")
    ] = 320,
    count: Annotated[int, typer.Option(min=1, max=400, help="Number of images.")] = 16,
    columns: Annotated[int, typer.Option(min=1, max=40, help="Images per row.")] = 4,
    plain: Annotated[
        bool, typer.Option("--plain", help="Show the images without transforms.")
    ] = False,
    each: Annotated[
        bool, typer.Option("--each", help="Show each transform alone beside the original.")
    ] = False,
    recipe: Annotated[
        Path | None, typer.Option(help="Recipe (.yaml) with the transforms to show.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of order and transforms.")] = 0,
    channels: Channels = "auto",
    bands: Annotated[
        str | None, typer.Option(help="Channels shown as red, green, blue: 3,2,1.")
    ] = None,
    imports: Imports = None,
    debug: Debug = False,
) -> None:
    """Write a contact sheet of images as training sees them."""
    from visiongarden.data import show as show_dataset

    import_modules(imports)
    show_dataset(
        path,
        *(overrides or []),
        output=output,
        split=split,
        reader=reader,
        invalid_boxes=invalid_boxes,
        image_size=image_size,
        count=count,
        columns=columns,
        plain=plain,
        each=each,
        recipe=recipe,
        seed=seed,
        channels=channels,
        bands=None if bands is None else numbers_in(bands),
    )
    echo(f"written: {output}")
