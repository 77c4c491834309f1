"""`Writer`: base class of the writers of dataset formats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from visiongarden import plugins
from visiongarden.config import Named, place
from visiongarden.errors import UserError
from visiongarden.samples.annotations import Annotations


class Writer(Named):
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

    attribute: ClassVar[str] = "format"
    noun: ClassVar[str] = "format"
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

    @classmethod
    def own_name(cls) -> str:
        """Return `format`.

        Raises:
            UserError: The writer has no `format`.
        """
        if "format" not in dir(cls):
            raise UserError(
                f"the writer {place(cls)} has no 'format'",
                rule="a name of the format that it writes",
                fix='format: ClassVar[str] = "my_format"',
            )
        return cls.format


def writer_of(format: str) -> Writer:
    """Return the writer of a format, with the default values of its fields.

    Raises:
        UserError: No registered writer and no installed package has the format; the name of a class
            is not one.
    """
    with plugins.imported_by_name():
        kind = Writer.find(format)
    if kind.own_name() == format:
        return kind()
    provided = plugins.of_kind("writer")
    # `Named.find` takes names of classes, too.
    if all(plugin.name != format for plugin in provided):
        raise Writer.unknown(format, sorted({*Writer.by_name(), *(p.name for p in provided)}))
    raise UserError(
        f"the format {format!r:.90} is not that of a registered writer",
        rule="an entry point whose name is the format of its writer",
        received=f"{place(kind)} has the format {kind.own_name()!r}",
        fix=f'format: ClassVar[str] = "{format}"',
    )
