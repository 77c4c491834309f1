"""Detection of the files of labeling tools, by their names and the start of their content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visiongarden.data.file_names import names_in
from visiongarden.data.readers.build import MAX_TEXT
from visiongarden.data.readers.delimited import cells_of, delimiter_of
from visiongarden.errors import DataError
from visiongarden.storage.place import Place, read_bytes, read_ends

_START = 65_536
_FILES = 20
"""Maximum number of files per extension whose start is read, in each folder."""


@dataclass(frozen=True)
class OtherTool:
    """Tool whose file was detected.

    Attributes:
        name: Name of the reader of the file, or of a tool without a reader.
        file: File that was detected.
        fix: What the user can do; "" if there is a reader, or the file contains no labels.
    """

    name: str
    file: Place
    fix: str


_FOLDERS = ("", "annotations", "labels", "images", "train", "valid", "val", "test", "labelTxt")


def tool_of(file: Place) -> str:
    """Return the name of the reader for the file of a labeling tool; "" for any other file."""
    found = _tool_of(file)
    return found.name if found is not None else ""


def recognize(path: Place) -> OtherTool | None:
    """Return the unsupported tool that wrote the labels of a file or folder, or None.

    Args:
        path: A file, or a folder, whose usual subfolders for splits and labels are searched too.
    """
    files = [path] if path.is_file() else list(_candidates(path))
    tools = (_tool_of(file) for file in files)
    return next((tool for tool in tools if tool is not None and tool.fix), None)


def is_other(file: Place) -> bool:
    """Return whether a file was written by a labeling tool in a format of its own."""
    return _tool_of(file) is not None


def refuse(path: Place, tool: OtherTool) -> DataError:
    """Return the error for labels of an unsupported tool."""
    return DataError(
        f"{path} has labels of {tool.name}, an unsupported format",
        rule="a format that has a reader",
        received=str(tool.file),
        fix=tool.fix,
    )


def all_other(files: Sequence[Place]) -> bool:
    """Return whether all files of a folder (or the first 20) were written by such tools."""
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
    # Many shapes may push the keys after them out of the text.
    if has("shapes") and (has("imagePath") or has("shape_type") or has("points", "label")):
        return "Labelme", ""
    if has("_via_img_metadata") or has("_via_settings") or has("regions", "shape_attributes"):
        return "VIA", ""
    if has("regions", "file_attributes"):  # an export without regions
        return "VIA", ""
    if has("from_name", "to_name") or has("completed_by") or _is_label_studio_min(text):
        return "LabelStudio", ""
    keys = ("annotations", "annotation", "label")
    named = has("imagefilename") or (has("image") and any(map(has, keys)))
    if named and text.lstrip()[:1] == "[":
        return "CreateML", ""
    if has("info", "categories") and "Label Studio" in text:
        return "Label Studio (notes.json)", ""
    return None


def _is_label_studio_min(text: str) -> bool:
    return text.lstrip()[:1] == "[" and any(
        f'"{key}"' in text for key in ("original_width", "annotation_id", "lead_time")
    )


def _xml(text: str, name: str) -> Found:
    if "<annotations>" not in text[:2000]:
        return None
    if "<image " not in text and ("<track " in text or "<mode>interpolation</mode>" in text):
        return "CVAT (CVAT for video)", "in CVAT: Export as CVAT for images 1.1"
    return "CVATImages", ""


def _csv(text: str, name: str) -> Found:
    first, *lines = text.lstrip().splitlines()[:50] or [""]
    mark = delimiter_of(first)
    header = [word.strip().strip('"').lower() for word in first.split(mark)]
    rows = [cells_of(line.split(mark), mark) for line in lines if line.strip()]
    if {"region_shape_attributes", "region_attributes"} & set(header):
        return "VIA", ""
    if name == "_annotations.csv":
        return "RoboflowCSV", ""
    if name == "_classes.csv":
        return "RoboflowMultiLabel", ""
    if not set(IMAGE_COLUMNS) & set(header):
        return None
    used = [i for i, word in enumerate(header) if word not in (*OTHER_COLUMNS, *IMAGE_COLUMNS)]
    found = {row[i] for row in rows if len(row) == len(header) for i in used}
    cells = {"" if cell.lower() in UNKNOWN else cell for cell in found}
    if not used or not cells or BOX_COLUMNS & set(header):
        return None
    if cells <= {"0", "1", "-1", ""} and len(used) > 1:
        return "MultiLabelCSV", ""
    return ("ValuesCSV", "") if all(not cell or _numbers([cell]) for cell in cells) else None


IMAGE_COLUMNS = ("filename", "file_name", "image", "path", "file", "image_path", "image_id", "id")
"""Names of the column that contains the images, in tables of labels or values; the first counts."""

UNKNOWN = ("", "nan", "na", "null", "none")
"""Cells of a value that is not known, in lower case."""

OTHER_COLUMNS = ("split", "set", "subset", "width", "height")
"""Names of columns that are neither labels nor values."""

BOX_COLUMNS = {"x1", "xmin", "x_min", "left", "class", "label", "class_name"}
"""Names of columns of which a table of boxes has at least one."""


def _text(text: str, name: str) -> Found:
    lines = [line.split() for line in text.splitlines() if line.strip()]
    lines = [words for words in lines if not words[0].lower().startswith(("imagesource", "gsd"))]
    if lines and all(
        len(words) >= 9 and _numbers(words[:8]) and not _numbers(words[8:9]) for words in lines[:50]
    ):
        return "DOTA", ""
    return None


def _numbers(words: list[str]) -> bool:
    try:
        return all(float(word) == float(word) for word in words)
    except ValueError:
        return False


def _data(text: str, name: str) -> Found:
    if name == "obj.data" or (
        "names" in text and "=" in text and ("train" in text or "backup" in text)
    ):
        return "DarknetData", ""
    return None
