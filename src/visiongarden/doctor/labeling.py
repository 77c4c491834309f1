"""Base class for what differs between datasets of objects, classes, values and masks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.error_list import ErrorList, Finding
from visiongarden.data.readers import Reader
from visiongarden.data.writers import Writer
from visiongarden.doctor.contents import Contents, names_of
from visiongarden.doctor.images import Look
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap


class Labeling(ABC):
    """Checks, charts and fixes for one type of labels; one instance for each checked dataset.

    Args:
        stride: stride of the model's finest feature map in pixels.
        image_size: longest side in pixels to which the model's images are scaled.
        reader: reader of the dataset.
    """

    unit: ClassVar[str]
    """What `tally` counts: "boxes", "images", "values" or "pixels"."""
    rotation_note: ClassVar[str] = "the image is shown rotated, so its labels must be rotated too"
    """Words of the note about an image with an EXIF rotation."""
    contradiction: ClassVar[str] = "warning"
    """Level of the finding about identical images with different labels."""

    def __init__(
        self, stride: int = 8, image_size: int = 640, reader: Reader | None = None
    ) -> None:
        self.stride, self.image_size, self.reader = stride, image_size, reader

    def study(  # noqa: B027 (most labels are not in separate files)
        self, dataset: Dataset, errors: ErrorList, split: str, looks: Sequence[Look]
    ) -> None:
        """Read labels that are stored in separate files, such as masks.

        Args:
            dataset: dataset of one split.
            errors: collects the class ids that the labels use.
            split: name of the split.
            looks: properties of its images, in order.
        """

    @abstractmethod
    def of_split(
        self, dataset: Dataset, errors: ErrorList, split: str, looks: Sequence[Look]
    ) -> Iterator[Finding]:
        """Yield findings about the labels of one split."""

    @abstractmethod
    def tally(self, dataset: Dataset, split: str) -> np.ndarray:
        """Count `unit` for each class: int64 (classes,)."""

    def of_all(
        self, datasets: Mapping[str, Dataset], tallies: Mapping[str, np.ndarray], root: Place
    ) -> Iterator[Finding]:
        """Yield findings about all splits together."""
        yield from of_maps(datasets, str(root))
        yield from _of_counts(datasets, tallies, self.unit, str(root))

    def differ(self, one: Dataset, i: int, other: Dataset, j: int) -> str:
        """Return how the labels of two identical images differ, in words; "" if they do not."""
        return ""

    def conflict(self, one: Dataset, i: int, other: Dataset, j: int) -> str:
        """Return a difference between two identical images that only the user can resolve.

        The result is "" if their labels do not differ in this way.
        """
        return ""

    def is_labeled(self, dataset: Dataset, index: int) -> bool:
        """Return whether an image has labels; of identical images, `fix` keeps one that has."""
        return True

    @abstractmethod
    def picture(self, dataset: Dataset, index: int, side: int) -> np.ndarray:
        """Draw the labels on an image whose longer side is at most `side` pixels.

        Raises:
            DataError: the image cannot be decoded.
        """

    def columns(self, dataset: Dataset, tally: np.ndarray) -> dict[str, int]:
        """Return the counts of a split for the report, by their headings."""
        counts = {"images": len(dataset)}
        return counts if self.unit == "images" else counts | {self.unit: int(tally.sum())}

    def details(self, dataset: Dataset) -> dict[str, int]:
        """Return further counts of a split, such as those of masks, by their headings."""
        return {}

    @abstractmethod
    def charts(self, contents: Contents) -> Iterator[str]:
        """Yield distributions of the dataset as SVG figures."""

    def shifted(self, dataset: Dataset, errors: ErrorList, reader: Reader, step: int) -> Dataset:
        """Return the split with corrected class ids, which are too high by `step` in the files."""
        return dataset

    def write(self, writer: Writer, datasets: Mapping[str, Dataset], folder: Path) -> list[str]:
        """Write all splits into a folder, and return what the format cannot store."""
        return writer.write(datasets, folder)

    def invalid_labels(self, split: str) -> Iterator[tuple[int, str]]:
        """Yield index and reason for each image whose labels cannot be used."""
        yield from ()

    def part(self, dataset: Dataset, indices: Sequence[int], changes: list[str]) -> Dataset:
        """Return the dataset of some images; labels that are removed are added to `changes`."""
        return dataset.part(indices)

    def settled(
        self, datasets: Mapping[str, Dataset], root: Place, changes: list[str]
    ) -> Mapping[str, Dataset]:
        """Return the splits as `fix` writes them; further changes are added to `changes`."""
        return datasets


def joined(datasets: Iterable[Dataset], *names: str) -> Dataset:
    """Join splits of images in folders into one dataset.

    Args:
        datasets: datasets with the same class map, whose samples are of the same dataclass.
        *names: attributes of the samples with one value for each image, which are concatenated.
    """
    parts = list(datasets)
    samples: Any = [part.samples for part in parts]
    every = {name: tuple(v for one in samples for v in vars(one)[name]) for name in names}
    return replace(parts[0], samples=replace(samples[0], **every))


def shift_of(datasets: Mapping[str, Dataset], errors: Mapping[str, ErrorList]) -> int:
    """Return the number by which all class ids are certainly too high: 1, -1, or else 0.

    Ids are certainly shifted if those of all splits together, moved by one, are exactly the ids of
    the class map. If they were only a subset of it, a class without labels would explain them too.
    """
    known = {known_ids(errors[split], d.class_map) for split, d in datasets.items()}
    seen = frozenset(i for one in errors.values() for i in seen_ids(one))
    if len(known) == 1 and seen and seen not in known:
        for step in (1, -1):
            if frozenset(i - step for i in seen) in known:
                return step
    return 0


def seen_ids(errors: ErrorList) -> set[int]:
    """Return the class ids that the labels use."""
    return {i for i in errors.ids if isinstance(i, int) and not isinstance(i, bool)}


def known_ids(errors: ErrorList, class_map: ClassMap) -> frozenset[int]:
    """Return the class ids that the labels may use."""
    return errors.known or frozenset(class_map.ids)


def of_ids(errors: ErrorList, class_map: ClassMap, split: str) -> Iterator[Finding]:
    """Find class ids that are, or seem to be, one too high or too low."""
    seen, known = seen_ids(errors), known_ids(errors, class_map)
    if not seen:
        return
    low, high = min(known), max(known)
    outside = seen - known
    ranges = f"the labels use {id_range(seen)}, the class map has {id_range(known)}"
    for step, direction in ((1, "high"), (-1, "low")):
        shifted = {i - step for i in seen}
        if outside and shifted <= known and not seen <= known:
            what = f"class ids seem to be one too {direction}: {ranges}"
            yield Finding("error", "off-by-one", str(errors.root), what, split)
            return
    # Ids that are shifted within the class map leave one end of it unused. With fewer than four
    # classes, a class without labels is the more likely reason.
    unused = known - seen
    for end in (low, high):
        if unused == {end} and len(known) >= 4 and not outside:
            name = class_map.names[end if errors.known else class_map.ids.index(end)]
            what = (
                f"class {end} ({name}) never occurs, but all others do; are the ids shifted by one?"
            )
            yield Finding("warning", "off-by-one", str(errors.root), what, split)


def id_range(ids: Sequence[int] | set[int] | frozenset[int]) -> str:
    """Format ids as a range, "1 to 4", or as a list of at most twelve."""
    ordered = sorted(ids)
    if len(ordered) == ordered[-1] - ordered[0] + 1:
        return f"{ordered[0]} to {ordered[-1]}"
    return ", ".join(map(str, ordered[:12])) + (" …" if len(ordered) > 12 else "")


def of_maps(datasets: Mapping[str, Dataset], root: str) -> Iterator[Finding]:
    """Find splits with different classes, or with the same classes in another order."""
    splits = list(datasets)
    for split in splits[1:]:
        first, names = datasets[splits[0]].class_map.names, datasets[split].class_map.names
        if names != first:
            how = "are in another order than" if set(names) == set(first) else "differ from"
            what = f"the classes {how} those of {splits[0]}: {', '.join(names)[:200]}"
            yield Finding("error", "class-map", root, what, split)


def _of_counts(
    datasets: Mapping[str, Dataset], tallies: Mapping[str, np.ndarray], unit: str, root: str
) -> Iterator[Finding]:
    """Find classes that are missing from some or all splits, and too similar class names."""
    counts = {
        split: Counter(dict(zip(names_of(d), tallies[split].tolist(), strict=True)))
        for split, d in datasets.items()
    }
    names = list(dict.fromkeys(n for d in datasets.values() for n in d.class_map.names))
    for name in names:
        where = [split for split in counts if counts[split][name]]
        if not where:
            what = f"class {name!r} has no {singular(unit)} in any split"
            yield Finding("warning", "unused-class", root, what)
        elif len(where) < len(counts):
            missing = ", ".join(split for split in counts if split not in where)
            what = f"class {name!r} occurs in {', '.join(where)}, but not in {missing}"
            yield Finding("warning", "split-class", root, what)
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault("".join(c for c in name.casefold() if c.isalnum()), []).append(name)
    for group in alike.values():
        if len(group) > 1:
            what = (
                f"classes {', '.join(map(repr, group))} differ only in case, spaces or punctuation"
            )
            yield Finding("warning", "similar-names", root, what)


def singular(unit: str) -> str:
    """Return the singular of a unit: "box" for "boxes"."""
    return "box" if unit == "boxes" else unit.removesuffix("s")
