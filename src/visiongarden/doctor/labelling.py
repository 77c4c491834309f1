"""`Labelling`: what differs between data sets of boxes, of class folders and of masks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from visiongarden.data.faults import Faults, Finding
from visiongarden.data.writers.examples import Lost
from visiongarden.data.writers.formats import WRITERS
from visiongarden.doctor.contents import Contents
from visiongarden.doctor.images import Look
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap


class Labelling(ABC):
    """The doctor's knowledge of one kind of label; one for each data set that is looked at.

    Args:
        stride: of the model's finest feature map, pixels.
        image_size: longest side to which the model's images are scaled.
    """

    unit: ClassVar[str]
    """What is counted of each class."""
    turned: ClassVar[str] = "shown rotated, as its labels must be"
    contradiction: ClassVar[str] = "warning"
    """Level of one image that has two different labels."""

    def __init__(self, stride: int = 8, image_size: int = 640) -> None:
        self.stride, self.image_size = stride, image_size

    def study(  # noqa: B027 (most labels lie in no files of their own)
        self, dataset: Any, faults: Faults, split: str, looks: Sequence[Look]
    ) -> None:
        """Looks into labels that are files of their own; `looks` are those of the images."""

    @abstractmethod
    def of_split(
        self, dataset: Any, faults: Faults, split: str, looks: Sequence[Look]
    ) -> Iterator[Finding]:
        """What the labels of one split show."""

    @abstractmethod
    def tally(self, dataset: Any, split: str) -> np.ndarray:
        """int64 (classes,): how many of `unit` each class has."""

    def of_all(
        self, datasets: Mapping[str, Any], tallies: Mapping[str, np.ndarray], root: Place
    ) -> Iterator[Finding]:
        """What the splits together show."""
        yield from of_maps(datasets, str(root))
        yield from _of_counts(datasets, tallies, self.unit, str(root))

    def differ(self, one: Any, i: int, other: Any, j: int) -> str:
        """How the labels of two equal images differ, in words; "" where they do not."""
        return ""

    def conflict(self, one: Any, i: int, other: Any, j: int) -> str:
        """How the labels of two equal images differ so that a person must say which are right."""
        return ""

    def is_labeled(self, dataset: Any, index: int) -> bool:
        """Whether an image has labels; of equal images one that has is kept."""
        return True

    @abstractmethod
    def picture(self, dataset: Any, index: int, side: int) -> np.ndarray:
        """uint8 RGB: an image no larger than `side`, with its labels.

        Raises:
            DataError: it cannot be decoded.
        """

    def columns(self, dataset: Any, tally: np.ndarray) -> dict[str, int]:
        """Numbers of a split, by their names."""
        counts = {"images": len(dataset)}
        return counts if self.unit == "images" else counts | {self.unit: int(tally.sum())}

    @abstractmethod
    def charts(self, contents: Contents) -> Iterator[str]:
        """Distributions, as SVG figures."""

    def shifted(self, dataset: Any, faults: Faults, format: str, step: int) -> Any:
        """The split anew, with class ids that are too high by `step` taken for what they mean."""
        return dataset

    def write(self, format: str, datasets: Mapping[str, Any], folder: Path, lost: Lost) -> None:
        """Writes all splits into a folder, in their own format."""
        WRITERS[format](datasets, folder, lost)

    def unsound(self, split: str) -> Iterator[tuple[int, str]]:
        """Position and fault of each image whose labels cannot be used."""
        yield from ()

    def part(self, dataset: Any, indices: Sequence[int], changes: list[str]) -> Any:
        """The data set of some images; what else is left out is added to `changes`."""
        return dataset.part(indices)

    def settled(
        self, datasets: Mapping[str, Any], root: Place, changes: list[str]
    ) -> Mapping[str, Any]:
        """The splits as they are to be written."""
        return datasets


def joined(datasets: Iterable[Any], *names: str) -> Any:
    """All splits as one data set.

    Args:
        datasets: of one class map.
        names: of their attributes that hold one value an image.
    """
    parts = list(datasets)
    every = {name: tuple(v for part in parts for v in getattr(part, name)) for name in names}
    return replace(parts[0], **every)


def shift_of(datasets: Mapping[str, Any], faults: Mapping[str, Faults]) -> int:
    """What all class ids are too high by, where nothing else can be meant; else 0.

    Ids are certainly shifted where those of all splits together, moved by one, are exactly the
    ids of the class map.
    """
    known = {known_ids(faults[split], d.class_map) for split, d in datasets.items()}
    seen = frozenset(i for one in faults.values() for i in seen_ids(one))
    if len(known) == 1 and seen and seen not in known:
        for step in (1, -1):
            if frozenset(i - step for i in seen) in known:
                return step
    return 0


def seen_ids(faults: Faults) -> set[int]:
    """The class ids that the labels name."""
    return {i for i in faults.ids if isinstance(i, int) and not isinstance(i, bool)}


def known_ids(faults: Faults, class_map: ClassMap) -> frozenset[int]:
    """The class ids that they may name."""
    return faults.known or frozenset(class_map.ids)


def of_ids(faults: Faults, class_map: ClassMap, split: str) -> Iterator[Finding]:
    """Ids that are all one too high or too low, or look so."""
    seen, known = seen_ids(faults), known_ids(faults, class_map)
    if not seen:
        return
    low, high = min(known), max(known)
    outside = seen - known
    said = f"the labels use {id_range(seen)}, the class map has {id_range(known)}"
    for step, direction in ((1, "high"), (-1, "low")):
        shifted = {i - step for i in seen}
        if outside and shifted <= known and not seen <= known:
            what = f"class ids seem to be one too {direction}: {said}"
            yield Finding("error", "off-by-one", str(faults.root), what, split)
            return
    unused = known - seen
    for end in (low, high):
        if unused == {end} and len(known) >= 4 and not outside:
            name = class_map.names[end if faults.known else class_map.ids.index(end)]
            what = f"class {end} ({name}) never occurs, though all others do: ids shifted by one?"
            yield Finding("warning", "off-by-one", str(faults.root), what, split)


def id_range(ids: Sequence[int] | set[int] | frozenset[int]) -> str:
    """Ids as a person would write them: "1 to 4", or one by one."""
    ordered = sorted(ids)
    if len(ordered) == ordered[-1] - ordered[0] + 1:
        return f"{ordered[0]} to {ordered[-1]}"
    return ", ".join(map(str, ordered[:12])) + (" …" if len(ordered) > 12 else "")


def of_maps(datasets: Mapping[str, Any], root: str) -> Iterator[Finding]:
    """Splits whose classes are other ones, or stand in another order."""
    splits = list(datasets)
    for split in splits[1:]:
        first, names = datasets[splits[0]].class_map.names, datasets[split].class_map.names
        if names != first:
            how = "in another order" if set(names) == set(first) else "others"
            what = f"the classes are {how} than in {splits[0]}: {', '.join(names)[:200]}"
            yield Finding("error", "class-map", root, what, split)


def _of_counts(
    datasets: Mapping[str, Any], tallies: Mapping[str, np.ndarray], unit: str, root: str
) -> Iterator[Finding]:
    """Classes that occur in some splits only, or nowhere; names that differ by a hair."""
    counts = {
        split: Counter(dict(zip(d.class_map.names, tallies[split].tolist(), strict=True)))
        for split, d in datasets.items()
    }
    names = list(dict.fromkeys(n for d in datasets.values() for n in d.class_map.names))
    for name in names:
        where = [split for split in counts if counts[split][name]]
        if not where:
            what = f"class {name!r} has no {singular(unit)} at all"
            yield Finding("warning", "unused-class", root, what)
        elif len(where) < len(counts):
            missing = ", ".join(split for split in counts if split not in where)
            what = f"class {name!r} occurs in {', '.join(where)}, not in {missing}"
            yield Finding("warning", "split-class", root, what)
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault("".join(c for c in name.casefold() if c.isalnum()), []).append(name)
    for group in alike.values():
        if len(group) > 1:
            what = f"classes {', '.join(map(repr, group))} differ in case, space or signs alone"
            yield Finding("warning", "similar-names", root, what)


def singular(unit: str) -> str:
    """One of a unit."""
    return "box" if unit == "boxes" else unit.removesuffix("s")
