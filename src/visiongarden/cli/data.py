"""Commands on datasets: `data check`, `data convert` and `data show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visiongarden.cli.app import app, echo
from visiongarden.cli.options import Debug, Format, InvalidBoxes, OneBased

data = typer.Typer(
    help="Check, convert and show datasets.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(data, name="data")

_MAX_SHOWN = 10
Source = Annotated[Path, typer.Argument(help="Dataset: folder, file or archive.")]


@data.command()
def check(
    source: Source,
    output: Annotated[
        Path | None, typer.Option(help="Report (.html); the JSON is saved beside it.")
    ] = None,
    format: Format = "auto",
    invalid_boxes: InvalidBoxes = "error",
    one_based: OneBased = False,
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
    debug: Debug = False,
) -> None:
    """Check the labels and images of a dataset.

    Exit code 2: the dataset has errors.
    """
    from visiongarden import doctor

    report, page = doctor.check_set(
        source, output, format, invalid_boxes, stride, image_size, one_based
    )
    echo(report.text())
    echo(f"report: {page}, {page.with_suffix('.json')}")
    if fix is not None:
        changes = doctor.fix(source, fix, format, keep_background, crowds_as_objects)
        for line in changes[:_MAX_SHOWN]:
            echo(f"changed: {line}")
        if len(changes) > _MAX_SHOWN:
            echo(f"… and {len(changes) - _MAX_SHOWN:,} more")
        echo(f"corrected copy: {fix}, {len(changes)} changes in {fix / 'changes.txt'}")
        return
    report.raise_if_errors()


@data.command()
def convert(
    source: Source,
    target: Annotated[Path, typer.Argument(help="New folder.")],
    to: Annotated[str, typer.Option(help="coco, yolo, voc, csv, arrayrecord, folders or masks.")],
    format: Format = "auto",
    invalid_boxes: InvalidBoxes = "error",
    one_based: OneBased = False,
    debug: Debug = False,
) -> None:
    """Convert a dataset to another format, images included."""
    from visiongarden.doctor import convert as convert_dataset

    losses = convert_dataset(source, target, to, format, invalid_boxes, one_based)
    for line in losses.summary():
        echo(f"cannot be stored in {to}: {line}")
    echo(f"written: {target} ({to})")


@data.command()
def show(
    source: Source,
    output: Annotated[Path, typer.Option(help="Image file, .png or .jpg.")] = Path("sheet.png"),
    format: Format = "auto",
    split: Annotated[str, typer.Option(help="Split to show.")] = "train",
    invalid_boxes: InvalidBoxes = "error",
    image_size: Annotated[
        int, typer.Option(min=32, max=2048, help="Side of each image in pixels.")
    ] = 320,
    count: Annotated[int, typer.Option(min=1, max=400, help="Number of images.")] = 16,
    columns: Annotated[int, typer.Option(min=1, max=40, help="Images per row.")] = 4,
    plain: Annotated[
        bool, typer.Option("--plain", help="Show the images without augmentation.")
    ] = False,
    recipe: Annotated[
        Path | None, typer.Option(help="Recipe (.yaml) with the augmentation to show.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Augmentation field, such as mosaic=0.5.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of order and augmentation.")] = 0,
    debug: Debug = False,
) -> None:
    """Write a contact sheet of images as training sees them."""
    from visiongarden.doctor import sheet

    image = sheet.sheet_of(
        source, format, split, invalid_boxes, (image_size, image_size), count, columns, seed,
        plain, recipe, overrides or [],
    )  # fmt: skip
    echo(f"written: {sheet.save_sheet(image, output)}")
