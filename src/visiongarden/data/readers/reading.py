"""`read`: read one split of a dataset of any task; what all formats share."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from visiongarden.data import cache
from visiongarden.data.combined import Part, combined
from visiongarden.data.dataset import Dataset, as_dataset
from visiongarden.data.error_list import ErrorList
from visiongarden.data.readers.build import by_hash
from visiongarden.data.readers.calling import read_with
from visiongarden.data.readers.choosing import AUTO, opened
from visiongarden.data.readers.class_lists import renumbered
from visiongarden.data.readers.division import stem_of, whole_of
from visiongarden.data.readers.notes import notes_of
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.readers.several import entries_of
from visiongarden.data.readers.validation import chosen, validated
from visiongarden.data.sample_table import SampleTable
from visiongarden.errors import DataError, UserError, option
from visiongarden.storage.place import Place


def read(
    path: str | Path | Sequence[str | Path | Mapping[str, Any]],
    *,
    split: str = "train",
    reader: str | Mapping[str, Any] | Reader = AUTO,
    invalid_boxes: str = "error",
    class_names: Sequence[str] | None = None,
) -> Dataset:
    """Read one split of a dataset of any task and validate all its annotations.

    A .zip or an uncompressed .tar is read as the folder that it contains, without unpacking it. A
    dataset of ten or more images whose only split is for training is divided 80/10/10 by a hash of
    the file names. A box may exceed the border by one pixel and is clipped; a rotated box may reach
    beyond the image. Images without boxes are kept. Reading never executes anything from the files.
    The labels of a large dataset are cached until a file changes, see `visiongarden.data.cache`.

    Args:
        path: Folder, file or archive; for readers of data with names, such as TFDS, a name. A list
            combines several datasets: paths, or mappings with `path` and optionally `split`,
            `reader`, `invalid_boxes` and `class_names` of the dataset, and

            - `weight`: how many times an epoch of training shows each of its images; 2 is twice,
              0.5 is half of the images, drawn again for each epoch. An evaluation shows each once.
            - `classes`: the classes that are annotated in all its images, by default its class map.
              The classes of all datasets are matched by name, and `Sample.known_classes` has
              the value False for those that are not annotated in an image.
            - `fields`: the annotations that are used, such as `["boxes"]`; by default all.
        split: "train", "val", "test", or a split name of the dataset.
        reader: "auto" to choose the reader that fits the files; the name of a registered reader,
            such as "COCO"; a mapping with its `type` and fields, such as
            `{"type": "VOC", "one_based": True}`; or a reader.
        invalid_boxes: "error", or "drop" to remove boxes that are outside the image or have no
            area, and list them in `dropped`.
        class_names: Class names to use instead of those in the files. Names that the files contain
            in another order are matched by name.

    Returns:
        The annotations of the split, without pixels.

    Raises:
        DataError: The dataset contains errors; each is listed with its file and line. Nothing is
            dropped silently.
        UserError: An argument is not valid.

    Example:
        >>> dataset = vg.read("coco128", split="val")  # doctest: +SKIP
        >>> dataset.class_map.names  # doctest: +SKIP
    """
    if isinstance(path, list | tuple):
        defaults = {"split": split, "reader": reader, "invalid_boxes": invalid_boxes}
        parts = [
            Part(read(entry.path, **entry.options), str(entry.path), **entry.of_part)
            for entry in entries_of(path, defaults)
        ]
        return combined(parts, class_names)
    if not isinstance(path, str | Path):
        raise _no_path(path)
    root, chosen_reader = opened(path, reader)
    names = tuple(class_names) if class_names is not None else None
    settings = [chosen_reader.to_dict(), split, names, invalid_boxes]
    known = cache.load(root, chosen_reader, settings)
    if known is not None:
        return known
    since = time.time_ns()
    found, errors = gather(root, chosen_reader, split, names, invalid_boxes)
    _refuse_findings(errors, found, split)
    return cache.save(root, chosen_reader, settings, found, since)


def gather(
    root: Place,
    reader: Reader,
    split: str,
    class_names: tuple[str, ...] | None = None,
    invalid_boxes: str = "error",
    repair: bool = False,
    shift: int = 0,
) -> tuple[Dataset, ErrorList]:
    """Read the valid labels of one split and collect all errors, without raising them.

    Args:
        root: Root of the dataset.
        reader: Reader of the dataset.
        split: Name of the split.
        class_names: Class names to use instead of those in the files.
        invalid_boxes: "error", or "drop" to remove invalid boxes.
        repair: Whether to clip boxes to the image and list in `dropped` what is removed.
        shift: Number that is subtracted from the class ids of boxes.

    Returns:
        The annotations of the split, and the collected errors.

    Raises:
        DataError: The split cannot be read at all.
        UserError: An argument is not valid.
    """
    if class_names is not None and not class_names:
        raise UserError("class_names is empty", rule="at least one class name, or None")
    errors = ErrorList(root, invalid_boxes, repair, shift)
    whole = whole_of(root, reader, split)
    if whole is not None:
        errors.includes = lambda path: by_hash(stem_of(path)) == split
    annotations = read_with(reader, Source(root, class_names, errors), whole or split)
    found = as_dataset(annotations, split)
    if whole is not None:
        places = map(found.image_path, range(len(found)))
        found = chosen(found, [i for i, place in enumerate(places) if errors.includes(place)])
    found = replace(found, split=split, root=root)
    if class_names is not None and found.class_map.names != class_names:
        found = renumbered(found, class_names, type(reader).__name__)
    found = validated(found, errors, type(reader).__name__)
    if not repair:
        found = _with_labels(found, errors)
    if isinstance(found.samples, SampleTable) and _look_like_shares(found.samples):
        errors.add(
            root,
            f"all {len(found.samples.arrays['boxes'])} boxes of {split} are inside the first "
            "pixel; expected pixels, got what look like fractions of the image size",
            "shares",
        )
    errors.notes = list(notes_of(errors, split, len(found)))
    notes = [*found.notes, *(note.what for note in errors.notes)]
    return replace(found, dropped=errors.dropped, notes=notes), errors


def _with_labels(found: Dataset, errors: ErrorList) -> Dataset:
    """Remove images that lost all their boxes to `invalid_boxes="drop"`.

    They show objects, so training on them as background would be wrong.
    """
    if not (errors.drop and errors.emptied):
        return found
    places = [str(found.image_path(i)) for i in range(len(found))]
    for place in places:
        if place in errors.emptied:
            errors.dropped.append(f"{place}: the image is removed, because all its boxes are")
    return chosen(found, [i for i, place in enumerate(places) if place not in errors.emptied])


def _look_like_shares(table: SampleTable) -> bool:
    """Return whether boxes that should be in pixels are fractions from 0 to 1."""
    boxes, sizes = table.arrays["boxes"], table.arrays["sizes"]
    is_upright = boxes.shape[1:] == (4,)
    return is_upright and len(boxes) >= 3 and bool(boxes.max() <= 1.001 and sizes.min() >= 16)


def _no_path(path: Any) -> UserError:
    return UserError(
        f"path is of type {type(path).__name__}",
        rule="the path of a folder, a file or an archive, or a list of datasets",
        fix='vg.read("cells", split="val")',
    )


def _refuse_findings(errors: ErrorList, found: Dataset, split: str) -> None:
    """Raise one `DataError` that lists the errors of a split; an empty split is an error too."""
    errors.raise_if_any()
    if not len(found):
        raise DataError(
            f"{errors.root}: split {split!r} has no image",
            rule="at least one image",
            fix=option("split", "train") if split != "train" else None,
        )
