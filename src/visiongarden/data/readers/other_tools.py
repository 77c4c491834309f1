"""Detection of labels of unsupported tools, by file names and the start of files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visiongarden.data.readers.build import MAX_TEXT, names_in
from visiongarden.errors import DataError
from visiongarden.storage.place import Place, read_bytes, read_ends

_START = 65_536
_FILES = 20
"""Maximum number of files per extension whose start is read, in each folder."""


@dataclass(frozen=True)
class OtherTool:
    """Unsupported tool whose file was detected.

    Attributes:
        name: Name of the tool.
        file: File that was detected.
        fix: What the user can do; "" if the file contains no labels.
    """

    name: str
    file: Place
    fix: str


_FOLDERS = ("", "annotations", "labels", "images", "train", "valid", "val", "test", "labelTxt")
_EXPORT = "export the project as COCO or YOLO in that tool"


def recognize(path: Place) -> OtherTool | None:
    """Return the unsupported tool that wrote the labels of a file or folder, or None.

    Args:
        path: A file, or a folder, whose usual subfolders for splits and labels are searched too.
    """
    files = [path] if path.is_file() else list(_candidates(path))
    tools = (_tool_of(file) for file in files)
    return next((tool for tool in tools if tool is not None and tool.fix), None)


def is_other(file: Place) -> bool:
    """Return whether a file was written by an unsupported tool."""
    return _tool_of(file) is not None


def refuse(path: Place, tool: OtherTool) -> DataError:
    """Return the error for labels of an unsupported tool."""
    return DataError(
        f"{path} has labels of {tool.name}, an unsupported format",
        rule="COCO JSON, YOLO txt, Pascal VOC XML, CSV, ArrayRecord, class folders, or masks",
        received=str(tool.file),
        fix=tool.fix,
    )


def all_other(files: Sequence[Place]) -> bool:
    """Return whether all files of a folder (or the first 20) were written by unsupported tools."""
    return bool(files) and all(map(is_other, files[:_FILES]))


def _candidates(root: Place) -> Iterator[Place]:
    for folder in dict.fromkeys(root / name if name else root for name in _FOLDERS):
        names = names_in(folder)
        for suffix in (".data", ".json", ".xml", ".csv", ".txt"):
            yield from [folder / name for name in names if name.endswith(suffix)][:_FILES]


def _tool_of(file: Place) -> OtherTool | None:
    suffix = file.suffix.lower()
    look = {
        ".json": _json, ".jsonl": _json, ".xml": _xml, ".csv": _csv, ".txt": _text, ".data": _data,
    }.get(suffix)  # fmt: skip
    if look is None or not file.is_file():
        return None
    try:
        found = look(_start(file), file.name)
    except DataError:
        return None
    return OtherTool(found[0], file, found[1]) if found else None


def _start(file: Any) -> str:
    raw = read_ends(file, _START)[0] if isinstance(file, Path) else read_bytes(file, MAX_TEXT)
    return raw[:_START].decode("utf-8-sig", "replace")


Found = tuple[str, str] | None


def _json(text: str, name: str) -> Found:
    def has(*keys: str) -> bool:
        return all(f'"{key}"' in text for key in keys)

    if has("images", "annotations") or has("images", "categories"):
        return None  # COCO
    if has("shapes", "imagePath"):
        return (
            "labelme",
            "convert them with labelme2coco, or X-AnyLabeling's export to COCO or YOLO",
        )
    if has("_via_img_metadata") or has("_via_settings") or has("regions", "shape_attributes"):
        return "VIA (VGG Image Annotator)", "in VIA: Annotation > Export Annotations (COCO format)"
    if has("coordinates") and (has("annotations", "image") or has("annotations", "imagefilename")):
        return "CreateML", "export the project as COCO or YOLO from the tool that wrote it"
    if has("completed_by") or has("from_name", "to_name"):
        return "Label Studio (its JSON)", f"in Label Studio, {_EXPORT}"
    if has("info", "categories") and "Label Studio" in text:
        return "Label Studio (notes.json)", ""
    return None


def _xml(text: str, name: str) -> Found:
    if "<annotations>" in text[:2000]:
        return (
            "CVAT (CVAT for images)",
            "in CVAT: Export as COCO 1.0, or Ultralytics YOLO Detection",
        )
    return None


def _csv(text: str, name: str) -> Found:
    header = [word.strip().strip('"').lower() for word in text.partition("\n")[0].split(",")]
    rows = [line.split(",") for line in text.splitlines()[1:50] if line.strip()]
    if {"region_shape_attributes", "region_attributes"} & set(header):
        return "VIA (VGG Image Annotator)", "in VIA: Annotation > Export Annotations (COCO format)"
    if name == "_annotations.csv":
        return "Roboflow (its CSV)", "in Roboflow, export the version as COCO or YOLO"
    names = ("filename", "file_name", "image", "path", "file", "image_path", "image_id", "id")
    flags = [row[1:] for row in rows if len(row) == len(header)]
    cells = {cell.strip() for row in flags for cell in row}
    if len(header) > 2 and header[0] in names and flags and cells <= {"0", "1"}:
        return (
            "a CSV of several labels for each image (multi-label classification)",
            "give each image one class, and each class a folder: train/cat/a.jpg",
        )
    return None


def _text(text: str, name: str) -> Found:
    lines = [line.split() for line in text.splitlines() if line.strip()]
    lines = [words for words in lines if not words[0].lower().startswith(("imagesource", "gsd"))]
    if lines and all(
        len(words) in (9, 10) and _numbers(words[:8]) and not _numbers(words[8:9])
        for words in lines[:50]
    ):
        return "DOTA (oriented boxes)", "convert them to COCO or YOLO with the upright boxes"
    return None


def _numbers(words: list[str]) -> bool:
    try:
        return all(float(word) == float(word) for word in words)
    except ValueError:
        return False


def _data(text: str, name: str) -> Found:
    if name == "obj.data" or ("names" in text and "backup" in text and "=" in text):
        return (
            "CVAT or Darknet (YOLO 1.1, obj.data)",
            "in CVAT: Export as Ultralytics YOLO Detection 1.0, or COCO 1.0",
        )
    return None
