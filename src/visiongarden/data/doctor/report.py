"""`Report`: what the doctor found, as a value, a text and JSON."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.faults import Finding, printable, refuse

LEVELS = ("error", "warning", "note")
_SHOWN = 3

KINDS = {
    "unreadable": "files that cannot be parsed",
    "image": "images that are missing, damaged, or belong to nothing",
    "label": "labels that say nothing",
    "outline": "outlines that are none",
    "id": "class ids or names outside the class map",
    "off-by-one": "class ids shifted by one",
    "image-id": "labels of images that are not listed",
    "listed-twice": "images listed twice",
    "size": "wrong image sizes",
    "outside": "boxes outside the image",
    "degenerate": "boxes without area",
    "not-finite": "boxes that are no numbers",
    "pixels": "pixels where shares belong",
    "shares": "shares where pixels belong",
    "corners": "corners where width and height belong",
    "duplicate-image": "the same image twice",
    "near-duplicate": "images that look alike",
    "duplicate-box": "the same box twice",
    "two-classes": "one box, two classes",
    "tiny": "boxes smaller than one stride",
    "aspect": "extreme aspect ratios",
    "split-class": "classes missing from a split",
    "unused-class": "classes without a box",
    "similar-names": "class names that differ in case or space",
    "one-based": "corners that seem to count from 1",
    "exif": "images rotated by EXIF",
    "empty": "images without a box",
    "cut": "boxes cut at the border",
    "dropped": "left out on request",
}
"""Kind -> what it is, in the order of a report."""


@dataclass
class Report:
    """What was found in a data set.

    Attributes:
        root: where it lies.
        format: of its annotations.
        findings: errors first, then in the order of `KINDS`.
        datasets: split -> what is sound in it.
    """

    root: str
    format: str
    findings: list[Finding] = field(default_factory=list)
    datasets: dict[str, DetectionDataset] = field(default_factory=dict)

    def sort(self) -> None:
        """Puts the findings in order."""
        order = {kind: i for i, kind in enumerate(KINDS)}
        self.findings.sort(key=lambda f: (LEVELS.index(f.level), order[f.kind], f.split))

    def count(self, level: str) -> int:
        """Number of findings of a level."""
        return sum(finding.level == level for finding in self.findings)

    def groups(self) -> dict[tuple[str, str], list[Finding]]:
        """(level, kind) -> its findings, in order."""
        found: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            found.setdefault((finding.level, finding.kind), []).append(finding)
        return found

    def raise_if_errors(self) -> None:
        """Raises one report of the errors, if there are any."""
        refuse(self.root, [finding for finding in self.findings if finding.level == "error"])

    def text(self) -> str:
        """A page for a terminal: each kind with its number and the first few."""
        lines = [f"{self.root} ({self.format})"]
        for split, dataset in self.datasets.items():
            boxes = int(dataset.counts().sum())
            lines.append(f"  {split}: {len(dataset):,} images, {boxes:,} boxes")
        for (level, kind), found in self.groups().items():
            lines.append(f"{level}: {KINDS[kind]} ({len(found):,})")
            for finding in found[:_SHOWN]:
                split = f"[{finding.split}] " if finding.split else ""
                lines.append(f"    {split}{finding}")
            if len(found) > _SHOWN:
                lines.append(f"    … and {len(found) - _SHOWN:,} more")
        counts = ", ".join(f"{self.count(level):,} {level}s" for level in LEVELS)
        return printable("\n".join([*lines, counts if self.findings else "nothing to remark"]))

    def to_json(self) -> str:
        """Everything, for a program."""
        rows: dict[str, Any] = {"root": self.root, "format": self.format, "splits": {}}
        for split, dataset in self.datasets.items():
            names = dataset.class_map.names
            per_class = Counter(int(i) for example in dataset for i in example.classes)
            rows["splits"][split] = {
                "images": len(dataset),
                "boxes": int(dataset.counts().sum()),
                "boxes_of_class": {name: per_class[i] for i, name in enumerate(names)},
            }
        rows |= {level: self.count(level) for level in LEVELS}
        rows["findings"] = [asdict(finding) for finding in self.findings]
        return json.dumps(rows, indent=1)


def write_json(report: Report, path: Path) -> None:
    """Writes the report's JSON."""
    path.write_text(report.to_json(), encoding="utf-8")
