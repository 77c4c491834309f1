"""`Writer`: base class of the writers of dataset formats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from visiongarden import plugins
from visiongarden.config import Typed
from visiongarden.errors import UserError, nearest
from visiongarden.samples.annotations import Annotations


class Writer(Typed):
    """Base class of the writers of dataset formats.

    A registered writer is found by its `format`, as in `vg.data.convert(..., format="coco")` and
    `visiongarden data convert --format coco`.

    Attributes:
        format: Name of the format.
        fields: Annotations of which a dataset must have at least one to be written, see
            `visiongarden.data.Dataset.fields`; empty: any dataset can be written.
        reader: Name of the reader of the format, "" for none. A corrected copy of a dataset
            is written by the writer that belongs to its reader.
    """

    format: ClassVar[str]
    fields: ClassVar[frozenset[str]] = frozenset()
    reader: ClassVar[str] = ""

    def write(self, splits: Mapping[str, Annotations], folder: Path) -> list[str]:
        """Write images and annotations of all splits into an empty folder.

        Args:
            splits: Annotations by split; each split has at least one image. A split without name,
                "", is a dataset that its reader divides by a hash of the image names.
            folder: Existing folder. It gets its final name after this method has returned.

        Returns:
            One line, "image: description" or "split: description", for each annotation that the
            format cannot store.

        Raises:
            UserError: The dataset cannot be written in this format.
        """
        raise NotImplementedError


def formats() -> dict[str, type[Writer]]:
    """Return the registered writers by format.

    Raises:
        UserError: Two writers have the same format.
    """
    found: dict[str, type[Writer]] = {}
    for kind in Writer.kinds().values():
        if kind.format in found:
            raise UserError(
                f"two writers have the format {kind.format!r}",
                rule="a format of its own for each writer",
                received=f"{found[kind.format].__name__} and {kind.__name__}",
                fix=f'format: ClassVar[str] = "my_{kind.format}"',
            )
        found[kind.format] = kind
    return found


def writer_of(format: str) -> Writer:
    """Return the writer of a format, with the default values of its fields.

    Raises:
        UserError: No registered writer and no installed package has the format.
    """
    kinds = formats()
    if format not in kinds:
        with plugins.imported_by_name():
            found = plugins.find("writer", format)
        kinds = formats()
        if found is None:
            names = [*kinds, *(plugin.name for plugin in plugins.of_kind("writer"))]
            raise UserError(f"unknown format {format!r}", fix=nearest(format, names))
    if format not in kinds:
        raise UserError(
            f"the format {format!r} is not that of a registered writer",
            rule="the entry point of a package names the format of the writer",
            received=f"{found!r:.80}",
            fix=f'format: ClassVar[str] = "{format}"',
        )
    return kinds[format]()
