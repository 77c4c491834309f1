"""Checks, charts and fixes of semantic segmentation datasets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.data.decoding import decode
from visiongarden.data.error_list import ErrorList, Finding
from visiongarden.data.masks import SegmentationDataset
from visiongarden.data.readers.build import image_names, names_in
from visiongarden.data.readers.mask_folders import is_split_by_hash
from visiongarden.data.writers.examples import Lost
from visiongarden.data.writers.labeled import mask_folders
from visiongarden.doctor.charts import bars, histogram, sizes
from visiongarden.doctor.contents import Contents
from visiongarden.doctor.images import Look
from visiongarden.doctor.labeling import Labeling, joined, of_ids
from visiongarden.doctor.mask_study import Study, study
from visiongarden.drawing.annotations import draw_mask, fitted
from visiongarden.errors import DataError
from visiongarden.samples.resizing import resize_mask
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap


class Masks(Labeling):
    """Labeling of semantic segmentation datasets: a class for each pixel.

    Args:
        stride: stride of the model's finest feature map in pixels.
        image_size: longest side in pixels to which the model's images are scaled.
    """

    unit = "pixels"
    rotation_note = "the image is shown rotated, so its mask must be rotated too"

    def __init__(self, stride: int = 8, image_size: int = 640) -> None:
        super().__init__(stride, image_size)
        self.studies: dict[str, list[Study]] = {}
        self.step = 0

    def study(
        self, dataset: SegmentationDataset, errors: ErrorList, split: str, looks: Sequence[Look]
    ) -> None:
        """Decode each mask once and collect the class ids that the masks use."""
        shapes = [None if look.error else look.size for look in looks]
        with ThreadPoolExecutor(4) as pool:
            jobs = enumerate(shapes)
            self.studies[split] = list(pool.map(lambda job: study(dataset, *job), jobs))
        # `fix` studies masks again after it shifts the class ids.
        errors.ids.clear()
        if dataset.colors is None:
            errors.ids.update(value for one in self.studies[split] for value in one.values)

    def of_split(
        self, dataset: SegmentationDataset, errors: ErrorList, split: str, looks: Sequence[Look]
    ) -> Iterator[Finding]:
        """Find invalid masks, masks that are ignored or of one class, and shifted class ids."""
        studies, names = self.studies[split], dataset.class_map.names
        yield from of_ids(errors, dataset.class_map, split)
        for one in studies:
            if one.error:
                yield Finding("error", one.kind, one.path, one.error, split)
            elif not one.counts.any():
                yield Finding("warning", "ignored", one.path, "all pixels are ignored", split)
            elif np.count_nonzero(one.counts) == 1:
                what = f"all pixels are {names[int(one.counts.argmax())]!r}"
                what += f", except for {one.ignored:,} ignored pixels" if one.ignored else ""
                yield Finding("note", "constant", one.path, what, split)
        yield from self._single_class(dataset, split, str(errors.root))
        yield from _strays(dataset, split)

    def _single_class(
        self, dataset: SegmentationDataset, split: str, root: str
    ) -> Iterator[Finding]:
        masks = set(map(str, dataset.masks))
        valid = [one for one in self.studies[split] if not one.error and one.path in masks]
        seen = sorted({int(i) for one in valid for i in np.flatnonzero(one.counts)})
        if not valid or len(seen) > 1:
            return
        what = dataset.all_of(seen)
        skipped = sorted({value for one in valid for value in one.skipped})
        if skipped:
            values = ", ".join(map(dataset.shown, skipped[:5]))
            what += f", and {values}, which is ignored; if it is a class, add it to classes.yaml"
        level = "error" if split == "train" else "warning"
        yield Finding(level, "constant", root, what, split)

    def tally(self, dataset: SegmentationDataset, split: str) -> np.ndarray:
        """Count the pixels of each class."""
        total = np.zeros(len(dataset.class_map), np.int64)
        for one in self.studies[split]:
            if len(one.counts):
                total += one.counts
        return total

    def differ(self, one: SegmentationDataset, i: int, other: SegmentationDataset, j: int) -> str:
        """Return "with another mask" if two identical images have different masks, else ""."""
        try:
            same = np.array_equal(one.values(i), other.values(j))
        except DataError:
            return ""
        return "" if same else "with another mask"

    def columns(self, dataset: SegmentationDataset, tally: np.ndarray) -> dict[str, int]:
        """Count images, pixels of known classes, and ignored pixels."""
        ignored = sum(one.ignored for one in self.studies[dataset.split])
        return {"images": len(dataset), "pixels": int(tally.sum()), "ignored": ignored}

    def picture(self, dataset: SegmentationDataset, index: int, side: int) -> np.ndarray:
        """Draw the mask on a resized image; unknown values are labeled "no class"."""
        image, values = decode(dataset.images[index]), dataset.values(index)
        classes, unknown = dataset.classes_of(values)
        # `draw_mask` labels the index after the last class "no class".
        classes = np.where(unknown, np.uint8(len(dataset.class_map)), classes)
        image, _ = fitted(image, side)
        mask = resize_mask(classes, (image.shape[0], image.shape[1]))
        return draw_mask(image, mask, dataset.class_map)

    def charts(self, contents: Contents) -> Iterator[str]:
        """Yield charts of classes, of classes and ignored pixels per mask, and of image sizes."""
        yield bars("pixels per class", contents.counts())
        valid = [one for studies in self.studies.values() for one in studies if not one.error]
        if valid:
            present = [np.count_nonzero(one.counts) for one in valid]
            marks = [float(i) for i in range(max(present) + 2)]
            yield histogram("classes per mask", np.array(present), marks)
            shares = [one.ignored / max(one.ignored + int(one.counts.sum()), 1) for one in valid]
            marks = [0, 0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0]
            yield histogram("fraction of ignored pixels per mask", np.array(shares), marks)
        yield from sizes(contents.sizes)

    def shifted(
        self, dataset: SegmentationDataset, errors: ErrorList, format: str, step: int
    ) -> SegmentationDataset:
        """Return the dataset with a class map that has the ids of the mask files.

        The masks are not decoded again; `write` corrects their values.
        """
        self.step = step
        ids = tuple(i + step for i in dataset.class_map.ids)
        return replace(dataset, class_map=ClassMap(dataset.class_map.names, ids))

    def write(self, format: str, datasets: Mapping[str, Any], folder: Path, lost: Lost) -> None:
        """Write all splits as mask folders, with the values corrected by the shift of the ids."""
        mask_folders(datasets, folder, lost, self.step)

    def invalid_labels(self, split: str) -> Iterator[tuple[int, str]]:
        """Yield index and reason for each mask that cannot be used."""
        for index, one in enumerate(self.studies[split]):
            if one.error:
                yield index, f"{one.path}: {one.error}"

    def settled(
        self, datasets: Mapping[str, SegmentationDataset], root: Place, changes: list[str]
    ) -> Mapping[str, SegmentationDataset]:
        """Return the splits as in the source: one for each folder, or one that a hash splits.

        Raises:
            DataError: the training split has a single class.
        """
        for split, dataset in datasets.items():
            for finding in self._single_class(dataset, split, str(root)):
                if finding.level == "error":
                    raise DataError(
                        str(finding),
                        rule="it has several possible causes and cannot be fixed automatically",
                    )
        if not datasets or not is_split_by_hash(root):
            return datasets
        return {"": joined(datasets.values(), "images", "masks")}


def _strays(dataset: SegmentationDataset, split: str) -> Iterator[Finding]:
    """Report files in the folders of images and masks that are not images."""
    folders = {path.parent: None for path in (*dataset.images, *dataset.masks)}
    for folder in folders:
        images = set(image_names(names_in(folder)))
        files: list[Any] = list(folder.iterdir())
        for file in sorted(files):
            hidden = file.name.startswith(".")
            if not hidden and not file.is_dir() and file.name not in images:
                yield Finding("note", "stray", str(file), "not an image, and not read", split)
