"""Check all labels and images of a dataset and report all issues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from visiongarden.data.error_list import ErrorList, Finding
from visiongarden.data.readers import gather, opened, splits_of
from visiongarden.doctor import image_findings, images
from visiongarden.doctor.kinds import labeling_of
from visiongarden.doctor.page import write_page
from visiongarden.doctor.report import Report, write_json
from visiongarden.errors import DataError
from visiongarden.storage.place import Place


def diagnose(
    path: str | Path,
    format: str = "auto",
    class_names: Sequence[str] | None = None,
    invalid_boxes: str = "error",
    stride: int = 8,
    image_size: int = 640,
    one_based: bool = False,
) -> Report:
    """Check every label and every image of all splits and report all issues.

    Errors are issues that `read` and training refuse, warnings are likely mistakes, and notes are
    facts that may be unexpected. Issues of an invalid dataset are reported, not raised as an error.

    Args:
        path: folder, file or archive of a dataset.
        format: format of its annotations; "auto" detects it.
        class_names: as in `read`.
        invalid_boxes: as in `read`.
        stride: stride of the model's finest feature map in pixels, below which boxes are tiny.
        image_size: longest side in pixels to which the model's images are scaled.
        one_based: as in `read`.

    Raises:
        DataError: there is no dataset at `path`, or its format cannot be detected.
        UserError: an argument is not valid.
    """
    root, format = opened(path, format)
    report = Report(str(path), format, labeling_of(format)(stride, image_size))
    names = tuple(class_names) if class_names is not None else None
    try:
        splits = splits_of(root, format)
    except DataError as error:
        report.findings.append(_unreadable(error, ""))
        return report
    if not splits:
        report.findings.append(
            Finding("error", "unreadable", str(path), "the dataset has no split")
        )
    errors: dict[str, ErrorList] = {}
    for split in splits:
        try:
            report.datasets[split], errors[split] = gather(
                root, format, split, names, invalid_boxes, one_based
            )
        except DataError as error:
            report.findings.append(_unreadable(error, split))
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


def _unreadable(error: DataError, split: str) -> Finding:
    received = f" ({error.received})" if error.received else ""
    return Finding("error", "unreadable", "", error.what + received, split)


def check_set(
    path: str | Path,
    output: str | Path | None = None,
    format: str = "auto",
    invalid_boxes: str = "error",
    stride: int = 8,
    image_size: int = 640,
    one_based: bool = False,
) -> tuple[Report, Path]:
    """Check a dataset as `diagnose` does, and write the report as an HTML page and as JSON.

    Args:
        path: folder, file or archive of a dataset.
        output: path of the HTML page; the JSON file is written beside it. The default is
            `<name>-check.html` in the working directory.
        format: as in `diagnose`.
        invalid_boxes: as in `diagnose`.
        stride: as in `diagnose`.
        image_size: as in `diagnose`.
        one_based: as in `diagnose`.

    Returns:
        The report and the path of the page.

    Raises:
        DataError: as `diagnose`.
    """
    page = Path(output or f"{Path(path).resolve().stem}-check.html").with_suffix(".html")
    report = diagnose(path, format, None, invalid_boxes, stride, image_size, one_based)
    write_page(report, page)
    write_json(report, page.with_suffix(".json"))
    return report, page
