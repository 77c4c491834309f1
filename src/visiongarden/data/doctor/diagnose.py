"""`diagnose`: everything that can be found out about a data set, in one report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from visiongarden.data.doctor import images, labels
from visiongarden.data.doctor.page import write_page
from visiongarden.data.doctor.report import Report, write_json
from visiongarden.data.faults import Finding
from visiongarden.data.read import gather, opened, splits_of
from visiongarden.errors import DataError


def diagnose(
    path: str | Path,
    format: str = "auto",
    class_names: Sequence[str] | None = None,
    invalid_boxes: str = "error",
    stride: int = 8,
    image_size: int = 640,
) -> Report:
    """Looks at every label and every image of all splits, and reports all that it finds.

    Errors are what `read` and training refuse; warnings are likely mistakes; notes are facts that
    may surprise.

    Args:
        path: folder, file or archive of a data set.
        format: of its annotations, or "auto" to look.
        class_names: as of `read`.
        invalid_boxes: as of `read`.
        stride: of the model's finest feature map, pixels.
        image_size: longest side to which the model's images are scaled.

    Raises:
        DataError: there is no data set, or its format cannot be told.
        UserError: an argument is not valid.
    """
    root, format = opened(path, format)
    report = Report(str(path), format)
    names = tuple(class_names) if class_names is not None else None
    try:
        splits = splits_of(root, format)
    except DataError as error:
        report.findings.append(_unreadable(error, ""))
        return report
    if not splits:
        report.findings.append(Finding("error", "unreadable", str(path), "no split is listed"))
    for split in splits:
        try:
            dataset, faults = gather(root, format, split, names, invalid_boxes)
        except DataError as error:
            report.findings.append(_unreadable(error, split))
            continue
        report.datasets[split] = dataset
        report.findings += [replace(finding, split=split) for finding in faults.found]
        report.findings += [Finding("note", "dropped", "", line, split) for line in faults.dropped]
        if format != "voc" and format != "csv":
            report.findings += labels.of_ids(faults, dataset.class_map, split)
        report.findings += labels.of_corners(dataset, faults, split)
        report.findings += labels.of_boxes(dataset, split, stride, image_size)
        if not len(dataset):
            what = "no image can be read" if faults.found else "no image is listed"
            report.findings.append(Finding("error", "image", str(path), what, split))
    report.findings += labels.of_classes(report.datasets, str(path))
    report.findings += images.findings(images.look_at(report.datasets))
    report.sort()
    return report


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
) -> tuple[Report, Path]:
    """`diagnose`, with a page for people and a file for programs.

    Args:
        path: folder, file or archive of a data set.
        output: the page, `.html`; the JSON stands beside it. By default `<name>-check.html`.
        format: as of `diagnose`.
        invalid_boxes: as of `diagnose`.
        stride: as of `diagnose`.
        image_size: as of `diagnose`.

    Returns:
        The report, and the page.

    Raises:
        DataError: as `diagnose`.
    """
    page = Path(output or f"{Path(path).resolve().stem}-check.html").with_suffix(".html")
    report = diagnose(path, format, None, invalid_boxes, stride, image_size)
    page.parent.mkdir(parents=True, exist_ok=True)
    write_page(report, page)
    write_json(report, page.with_suffix(".json"))
    return report, page
