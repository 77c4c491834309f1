"""Report of the issues in a dataset as an object, as text and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from visiongarden.data.error_list import Finding, fixes_of, refuse
from visiongarden.doctor.contents import Contents
from visiongarden.doctor.labeling import Labeling
from visiongarden.markup import preformatted
from visiongarden.storage import atomic_write
from visiongarden.terminal import printable

LEVELS = ("error", "warning", "note")
_SHOWN = 3

KINDS = {
    "unreadable": "files that cannot be parsed",
    "image": "images that are missing, damaged or not listed",
    "channels": "images with different channels",
    "label": "invalid labels",
    "polygon": "invalid polygons",
    "record": "records that cannot be read",
    "reader": "notes of the reader",
    "id": "class ids, names or values outside the class map",
    "off-by-one": "class ids shifted by one",
    "pair": "images without a mask, masks without an image",
    "mask": "masks that cannot be used",
    "lossy": "masks saved with lossy compression",
    "constant": "masks of a single class",
    "ignored": "masks that are ignored completely",
    "stray": "files and folders that are not part of the dataset",
    "annotation-id": "annotations with duplicate ids",
    "image-id": "labels of images that are not listed",
    "no-boxes": "splits without a usable box",
    "listed-twice": "images listed more than once",
    "size": "wrong image sizes",
    "outside": "boxes outside the image",
    "degenerate": "boxes without area",
    "not-finite": "boxes with coordinates that are not finite",
    "pixels": "pixels in place of fractions",
    "shares": "fractions in place of pixels",
    "corners": "corners in place of width and height",
    "duplicate-image": "identical images",
    "two-labels": "identical images with different labels",
    "near-duplicate": "similar images",
    "mask-missing": "objects without a mask",
    "mask-empty": "empty masks",
    "mask-outside": "masks far outside the image",
    "mask-box": "masks that exceed their box",
    "keypoint-zero": "labeled keypoints at (0, 0)",
    "keypoint-outside": "labeled keypoints outside the image",
    "keypoint-box": "keypoints far outside the box of their object",
    "keypoint-never": "keypoints that are never labeled",
    "keypoint-pairs": "left and right keypoints that are not known",
    "label-constant": "labels that never vary",
    "label-unknown": "labels that are unknown",
    "duplicate-box": "duplicate boxes",
    "two-classes": "boxes with two classes",
    "tiny": "boxes smaller than one stride",
    "small": "very small images",
    "aspect": "extreme aspect ratios",
    "split-class": "classes missing from a split",
    "unused-class": "classes without labels",
    "class-map": "classes that differ between splits",
    "empty-class": "class folders without images",
    "imbalance": "imbalanced classes",
    "similar-names": "class names that differ only in case, spaces or punctuation",
    "one-based": "coordinates that seem to start at 1",
    "crowd": "classes that have crowds only",
    "pose": "pose labels without kpt_shape",
    "unlabeled": "images without a label file",
    "unused": "labels that are not read",
    "keypoints": "keypoints",
    "rotated": "rotated boxes",
    "overlap": "masks that overlap",
    "depth": "16-bit images",
    "exif": "images rotated by EXIF",
    "empty": "images without a box",
    "crowd-regions": "crowd regions",
    "cut": "boxes clipped at the border",
    "dropped": "left out on request",
}
"""Description of each kind of finding, in the order of a report."""


@dataclass(repr=False)
class Report(Contents):
    """Issues and contents of a dataset.

    Attributes:
        root: path of the dataset.
        reader: name of the reader of its annotations.
        labeling: rules for its type of labels.
        findings: all findings; after `sort`, errors first, then in the order of `KINDS`.
    """

    root: str
    reader: str
    labeling: Labeling
    findings: list[Finding] = field(default_factory=list)

    def sort(self) -> None:
        """Sort the findings by level, kind and split."""
        order = {kind: i for i, kind in enumerate(KINDS)}
        last = len(order)  # a reader may have kinds of its own
        self.findings.sort(
            key=lambda f: (LEVELS.index(f.level), order.get(f.kind, last), f.kind, f.split)
        )

    def count(self, level: str) -> int:
        """Count the findings of a level: "error", "warning" or "note"."""
        return sum(finding.level == level for finding in self.findings)

    def groups(self) -> dict[tuple[str, str], list[Finding]]:
        """Group the findings by level and kind, in order."""
        groups: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            groups.setdefault((finding.level, finding.kind), []).append(finding)
        return groups

    @property
    def ok(self) -> bool:
        """Whether there are no findings of level "error"."""
        return not self.count("error")

    def __repr__(self) -> str:
        counts = ", ".join(f"{self.count(level):,} {level}s" for level in LEVELS)
        return f"Report({self.root}, {self.reader}: {counts})"

    def __str__(self) -> str:
        return self.text()

    def raise_if_errors(self) -> None:
        """Raise one error that lists all findings of level "error", if there are any.

        Raises:
            DataError: the dataset has errors.
        """
        refuse(self.root, [finding for finding in self.findings if finding.level == "error"])

    def text(self) -> str:
        """Return the report as text for a terminal, with the first three findings of each kind."""
        lines = [f"{self.root} ({self.reader})"]
        for split, dataset in self.datasets.items():
            row = self.labeling.columns(dataset, self.tallies[split])
            lines.append(f"  {split}: " + ", ".join(f"{n:,} {name}" for name, n in row.items()))
        for (level, kind), found in self.groups().items():
            lines.append(f"{level}: {KINDS.get(kind, kind)} ({len(found):,})")
            for finding in found[:_SHOWN]:
                split = f"[{finding.split}] " if finding.split else ""
                lines.append(f"    {split}{finding}")
            if len(found) > _SHOWN:
                lines.append(f"    … and {len(found) - _SHOWN:,} more")
            lines += [f"    fix: {fix}" for fix in fixes_of(found)]
        counts = ", ".join(f"{self.count(level):,} {level}s" for level in LEVELS)
        return printable("\n".join([*lines, counts if self.findings else "no issues found"]))

    def _repr_html_(self) -> str:
        return preformatted(self.text())

    def to_json(self) -> str:
        """Return the complete report as JSON text."""
        return json.dumps(self.to_dict(), indent=1)

    def to_dict(self) -> dict[str, Any]:
        """Convert the complete report to a JSON-serializable dict."""
        rows: dict[str, Any] = {"root": self.root, "reader": self.reader, "splits": {}}
        unit = self.labeling.unit
        for split, per_class in self.counts().items():
            total = {"images": len(self.datasets[split]), unit: sum(per_class.values())}
            total |= self.labeling.details(self.datasets[split])
            rows["splits"][split] = total | {f"{unit}_of_class": per_class}
        rows |= {level: self.count(level) for level in LEVELS}
        rows["findings"] = [asdict(finding) for finding in self.findings]
        return rows


def write_json(report: Report, path: Path) -> None:
    """Write the report as a JSON file."""
    atomic_write(path, report.to_json())
