"""Convert a dataset to another format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from visiongarden.data.dataset import Dataset, as_dataset
from visiongarden.data.readers import opened, read, splits_of
from visiongarden.data.writers import Writer, writer_of
from visiongarden.data.writers.lost import Lost
from visiongarden.errors import UserError, option
from visiongarden.storage import atomic_folder
from visiongarden.tasks.task import in_words


def convert(
    path: str | Path, output: str | Path, format: str, reader: Any, invalid_boxes: str
) -> Lost:
    """Write all splits of a dataset in another format; see `convert_dataset`.

    Image files are copied unchanged. Boxes keep their float32 pixel values; YOLO's fractions have
    nine digits, an error below a thousandth of a pixel for sides of up to a million pixels.

    Returns:
        One line for each annotation that the format cannot store; `summary()` counts them.
    """
    writer = writer_of(format)
    root, found = opened(path, reader)
    datasets = {
        split: as_dataset(read(path, split=split, reader=found, invalid_boxes=invalid_boxes), split)
        for split in splits_of(root, found)
    }
    filled = {split: dataset for split, dataset in datasets.items() if len(dataset)}
    if not filled:
        raise UserError(f"{path} has no images to convert")
    _refuse_other_fields(path, filled, writer)
    lost = Lost()
    for split, dataset in filled.items():
        for line in dataset.dropped:
            lost.append(f"[{split}] left out: {line}")
            lost.groups.setdefault("an invalid box, left out on request", []).append(split)
    in_one_step(Path(output), lambda folder: lost.add_lines(writer.write(filled, folder)))
    return lost


def _refuse_other_fields(path: str | Path, datasets: Mapping[str, Dataset], writer: Writer) -> None:
    """Refuse a format that stores none of the annotations of a dataset."""
    fields = frozenset().union(*(dataset.fields for dataset in datasets.values()))
    if not writer.fields or writer.fields & fields:
        return
    possible = [
        name for name, kind in Writer.by_name().items() if not kind.fields or kind.fields & fields
    ]
    raise UserError(
        f"{path} cannot be written as {writer.format}",
        rule=f"the format {writer.format} stores {' or '.join(in_words(writer.fields))}",
        received=f"a dataset with {', '.join(in_words(fields)) or 'no annotations'}, which can be "
        f"written as {', '.join(possible)}",
        fix=option("format", possible[0]) if possible else None,
    )


def in_one_step(target: Path, fill: Callable[[Path], None]) -> None:
    """Fill a draft folder and rename it to `target`, which thus is never incomplete.

    Args:
        target: folder to create.
        fill: function that writes into the draft folder.

    Raises:
        UserError: the target exists already.
    """
    if target.exists():
        raise UserError(f"{target} exists already", rule="a new folder", fix="choose another name")
    with atomic_folder(target) as draft:
        fill(draft)
