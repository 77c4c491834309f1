"""Reader of images without annotations."""

from __future__ import annotations

from typing import ClassVar

from visiongarden.data.dataset import Dataset
from visiongarden.data.file_names import image_names, names_in
from visiongarden.data.image_samples import UnlabeledSamples
from visiongarden.data.readers.build import no_split
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.errors import DataError
from visiongarden.registry import register
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap

_SPLIT = "train"
_MAX_SEARCHED = 1000
"""Number of folders that are searched to name one with images in an error."""


@register
class Images(Reader):
    """Reader of images without annotations, a folder or one file; used only if it is named.

    The images can be shown, predicted on and converted to arrays of any number of channels, see
    `Dataset.with_channels`. They have one class, "object", which never occurs.

    Example:
        >>> dataset = vg.read("photos", reader="Images")  # doctest: +SKIP
        >>> dataset.load(0).image.shape  # doctest: +SKIP
        (377, 697, 4)
    """

    files: ClassVar[str] = "images, without annotations"

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the only split."""
        return (_SPLIT,)

    def is_divisible(self, source: Source) -> bool:
        """Return False: there is nothing to train on."""
        return False

    def read(self, source: Source, split: str) -> Dataset:
        """Return the images of the folder, in alphabetical order.

        Raises:
            DataError: There is no image, or the split is another one.
        """
        root = source.root
        if split != _SPLIT:
            raise no_split(root, split, (_SPLIT,))
        places = (root,) if root.is_file() else tuple(root / n for n in image_names(names_in(root)))
        if not places:
            inner = _with_images(root)
            raise DataError(
                f"{root} contains no image",
                rule="a folder with images, whose subfolders are not read, or an image",
                fix=f"pass one of its folders, such as {inner}" if inner is not None else None,
            )
        class_map = ClassMap(source.class_names or ("object",))
        return Dataset(class_map, UnlabeledSamples(places))


def _with_images(root: Place) -> Place | None:
    """Return the first folder below another one that contains images, or None."""
    waiting, searched = [root], 0
    while waiting and searched < _MAX_SEARCHED:
        folder, searched = waiting.pop(0), searched + 1
        names = names_in(folder)
        if image_names(names):
            return folder
        waiting += [folder / name for name in sorted(names) if (folder / name).is_dir()]
    return None
