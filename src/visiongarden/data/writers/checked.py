"""`CheckedWriter`: base class of writers whose files are read back and compared."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from visiongarden.data.dataset import Dataset, as_dataset
from visiongarden.data.image_samples import ClassSamples, UnlabeledSamples
from visiongarden.data.rows import Row
from visiongarden.data.sample_table import SampleTable
from visiongarden.data.semantic_samples import SemanticSamples
from visiongarden.data.writers.held import Held, everything
from visiongarden.data.writers.images import Splits, name_of
from visiongarden.data.writers.lost import Lost
from visiongarden.data.writers.read_back import read_back
from visiongarden.data.writers.writer import Writer
from visiongarden.samples.annotations import Annotations


class CheckedWriter(Writer):
    """Base class of writers whose files are read again by `reader` and compared with the source.

    Attributes:
        exact: Whether every number is read back unchanged; if not, coordinates may differ by a
            thousandth of a pixel.
    """

    fields: ClassVar[frozenset[str]] = frozenset({"boxes", "masks"})
    exact: ClassVar[bool] = False

    def write(self, splits: Mapping[str, Annotations], folder: Path) -> list[str]:
        """Write images and annotations of all splits, and read them back; see `Writer.write`.

        Raises:
            UserError: The dataset cannot be written in this format.
            DataError: The written files differ from the source.
        """
        lost = Lost()
        datasets = {split: as_dataset(found, split) for split, found in splits.items()}
        for split, dataset in datasets.items():
            if "semantic" in dataset.fields - self.fields:
                lost.of(split, ["the semantic masks of the images"])
            _drop_columns(split, dataset, lost)
        self.fill(datasets, folder, lost)
        read_back(self.reader, folder, datasets, lost, self.holds(datasets), exact=self.exact)
        return lost

    @abstractmethod
    def fill(self, splits: Splits, folder: Path, lost: Lost) -> None:
        """Write the files.

        Args:
            splits: Datasets by split.
            folder: Folder to write to.
            lost: Collector of what the format cannot store, and of the names of the images.
        """

    def holds(self, splits: Splits) -> Callable[[Row], Held]:
        """Return the function that maps annotations to what the format stores of them."""
        return everything


def _drop_columns(split: str, dataset: Dataset, lost: Lost) -> None:
    """Record what samples have beyond a `Row`, such as further columns: no format stores it."""
    if dataset.channels.parts:
        lost.of(split, ["the channels of the images that are files of their own"])
    if isinstance(dataset.samples, SampleTable | ClassSamples | SemanticSamples | UnlabeledSamples):
        return  # their samples have none, and are not built for this
    for index, sample in enumerate(dataset):
        objects = sample.instances
        dropped = [f"the column {name!r} of its objects" for name in objects.data]
        dropped += ["the scores of its objects"] * (objects.scores is not None)
        dropped += [f"the annotation {name!r} of the image" for name in sample.extra]
        dropped += ["which classes are annotated"] * (sample.known_classes is not None)
        if dropped:
            lost.of(name_of(dataset.row(index), index), dropped)
