"""Choose the labeling of a dataset by the annotations that it has."""

from __future__ import annotations

from collections.abc import Mapping

from visiongarden.data.dataset import Dataset
from visiongarden.data.image_samples import UnlabeledSamples
from visiongarden.data.readers import Reader
from visiongarden.doctor.boxes import Boxes
from visiongarden.doctor.classes import Classes
from visiongarden.doctor.labeling import Labeling
from visiongarden.doctor.masks import Masks
from visiongarden.doctor.unlabeled import Unlabeled
from visiongarden.doctor.values import Values


def labeling_of(datasets: Mapping[str, Dataset], reader: Reader) -> type[Labeling]:
    """Return the `Labeling` of a dataset.

    Args:
        datasets: splits that could be read; without any, the reader's annotations decide.
        reader: reader of the dataset.
    """
    fields = frozenset().union(*(dataset.fields for dataset in datasets.values() if len(dataset)))
    if not fields and any(isinstance(d.samples, UnlabeledSamples) for d in datasets.values()):
        return Unlabeled
    fields = fields or reader.annotations
    if "semantic" in fields:
        return Masks
    if "labels" not in fields or fields & {"boxes", "masks", "keypoints"}:
        return Boxes
    has_values = any(dataset.label_map is not None for dataset in datasets.values())
    return Values if has_values else Classes
