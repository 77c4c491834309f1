"""`Reader`: base class of the readers of dataset formats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from visiongarden.config import Typed
from visiongarden.data.error_list import ErrorList
from visiongarden.data.sample_table import located_in
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

    Attributes:
        files: One line that describes the files of the format, for help and errors.
        lists_classes: Whether the files list all classes. If not, the classes are those that occur,
            and a model that is evaluated may have more.
        annotations: What all datasets of the format contain, see `Dataset.fields`; empty if that is
            only known after reading.
        takes_name: Whether the path may be the name of a dataset, which does not exist as a path.
    """

    files: ClassVar[str] = ""
    lists_classes: ClassVar[bool] = True
    annotations: ClassVar[frozenset[str]] = frozenset()
    takes_name: ClassVar[bool] = False

    def matches(self, source: Source) -> float:
        """Return how well the files fit the format, from 0 (not at all) to 1 (without doubt).

        Names of files and folders decide, at most the first bytes of some files. Nothing is parsed,
        and no error is raised. 0.5 stands for a plausible guess, 0.9 for a file that only this
        format has. By default, 0: the reader is used if it is named.
        """
        return 0.0

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the names of the splits.

        A dataset of ten or more images whose only split is for training is divided 80/10/10, see
        `is_divisible`.

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

    def is_divisible(self, source: Source) -> bool:
        """Return whether `vg.read` may divide the dataset by a hash of its image names.

        It may if the source is a folder: a file is that of a single split.
        """
        return source.root.is_dir()

    def stored_in(self, root: Place) -> Place | None:
        """Return the folder or file that contains the dataset; None if it may change unnoticed.

        What was read is cached until a file in it changes.
        """
        return None if self.takes_name else root

    def located(self, root: Place) -> Callable[[str], Any]:
        """Return the function from the text of an image's location to the location.

        Args:
            root: Root of the dataset.
        """
        return located_in(root)
