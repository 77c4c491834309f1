"""`Reader`: base class of the readers of dataset formats."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from visiongarden.config import Typed
from visiongarden.data.error_list import ErrorList
from visiongarden.samples.annotations import Annotations
from visiongarden.storage.place import Place


@dataclass(frozen=True)
class Source:
    """Dataset on disk that a reader reads.

    Attributes:
        root: Folder or file: a path, or a member of an archive, which has the same methods.
        class_names: Class names that were given instead of those in the files; None without any.
        errors: Collector of errors. A reader adds what is wrong with single labels, with file and
            line, so that one message lists them all, and raises `DataError` for a split that cannot
            be read at all.
    """

    root: Place
    class_names: tuple[str, ...] | None = None
    errors: ErrorList = field(default_factory=lambda: ErrorList(""))


class Reader(Typed):
    """Base class of the readers of dataset formats; fields are the options of the format.

    A registered reader is found by `matches`, and used by name as `reader="Name"` or
    `reader={"type": "Name", ...}` in `vg.read`, on the command line and in recipes.
    """

    files: ClassVar[str]
    """One line that describes the files of the format, for help and errors."""

    def matches(self, source: Source) -> float:
        """Return how well the files fit the format, from 0 (not at all) to 1 (without doubt).

        Names of files and folders decide, at most the first bytes of some files. Nothing is parsed,
        and no error is raised. 0.5 stands for a plausible guess, 0.9 for a file that only this
        format has.
        """
        raise NotImplementedError

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the names of the splits.

        Raises:
            DataError: The files that define the splits cannot be read.
        """
        raise NotImplementedError

    def read(self, source: Source, split: str) -> Annotations:
        """Return the images and annotations of one split.

        Boxes outside the image or without area need not be removed: `vg.read` checks them.

        Raises:
            DataError: The split cannot be read; the message contains the file, and the line.
        """
        raise NotImplementedError
