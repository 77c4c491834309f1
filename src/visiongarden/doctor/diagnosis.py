"""Check all labels and images of a dataset and report all issues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from visiongarden.data.dataset import Dataset, as_dataset
from visiongarden.data.error_list import ErrorList, Finding
from visiongarden.data.readers import gather, opened, splits_of
from visiongarden.doctor import image_findings, images
from visiongarden.doctor.kinds import labeling_of
from visiongarden.doctor.report import Report
from visiongarden.errors import DataError
from visiongarden.storage.place import Place


def diagnose(
    path: str | Path,
    reader: Any = "auto",
    class_names: Sequence[str] | None = None,
    invalid_boxes: str = "error",
    stride: int = 8,
    image_size: int = 640,
) -> Report:
    """Check every label and every image of all splits and report all issues.

    Errors are issues that `read` and training refuse, warnings are likely mistakes, and notes are
    facts that may be unexpected. Issues of an invalid dataset are reported, not raised as an error.

    Args:
        path: folder, file or archive of a dataset.
        reader: reader of the dataset, as in `read`.
        class_names: as in `read`.
        invalid_boxes: as in `read`.
        stride: stride of the model's finest feature map in pixels, below which boxes are tiny.
        image_size: longest side in pixels to which the model's images are scaled.

    Raises:
        DataError: there is no dataset at `path`, or its format cannot be determined.
        UserError: an argument is not valid.
    """
    root, chosen = opened(path, reader)
    names = tuple(class_names) if class_names is not None else None
    datasets: dict[str, Dataset] = {}
    errors: dict[str, ErrorList] = {}
    unreadable = []
    try:
        splits = splits_of(root, chosen)
        if not splits:
            what = "the dataset has no split"
            unreadable.append(Finding("error", "unreadable", str(path), what))
    except DataError as error:
        splits = []
        unreadable.append(Finding.of_error(error, "unreadable"))
    for split in splits:
        try:
            found, errors[split] = gather(root, chosen, split, names, invalid_boxes)
            datasets[split] = as_dataset(found, split)
        except DataError as error:
            unreadable.append(Finding.of_error(error, "unreadable", split))
    labeling = labeling_of(datasets, chosen)(stride, image_size, chosen)
    report = Report(str(path), type(chosen).__name__, labeling, unreadable, datasets=datasets)
    if splits:
        _inspect(report, errors, root)
        report.sort()
    return report


def _inspect(report: Report, errors: Mapping[str, ErrorList], root: Place) -> None:
    labeling, datasets = report.labeling, report.datasets
    looks = images.look_at(datasets)
    for split, dataset in datasets.items():
        split_looks = [look for look in looks if look.split == split]
        labeling.study(dataset, errors[split], split, split_looks)
        report.tallies[split] = labeling.tally(dataset, split)
        report.sizes[split] = Counter(look.size for look in split_looks if not look.error)
        report.findings += [replace(finding, split=split) for finding in errors[split].found]
        dropped = [Finding("note", "dropped", "", line, split) for line in errors[split].dropped]
        report.findings += dropped
        report.findings += labeling.of_split(dataset, errors[split], split, split_looks)
        if not len(dataset):
            what = "no image can be read" if errors[split].found else "the split lists no image"
            report.findings.append(Finding("error", "image", report.root, what, split))
    report.findings += labeling.of_all(datasets, report.tallies, root)
    report.findings += image_findings.findings(looks, datasets, labeling)
