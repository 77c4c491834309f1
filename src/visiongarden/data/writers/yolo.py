"""Writer of YOLO labels: boxes, polygons, boxes with keypoints, or oriented boxes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from visiongarden.config import load_yaml
from visiongarden.data.readers.yolo import YAML_KEYS
from visiongarden.data.rows import Row
from visiongarden.data.writers.checked import CheckedWriter
from visiongarden.data.writers.held import (
    Held,
    count_of_keypoints,
    drop_keys_of_files,
    drop_scheme,
    objects,
    shares,
)
from visiongarden.data.writers.images import Splits, named, stem_of
from visiongarden.data.writers.lost import Lost
from visiongarden.data.writers.splits import make_folder, one_map, write_file
from visiongarden.errors import UserError
from visiongarden.registry import register
from visiongarden.samples import RotatedBoxes


@register
class YOLOWriter(CheckedWriter):
    """Writer of `data.yaml`, `images/<split>/` and `labels/<split>/`.

    A dataset has lines of one kind. Rotated boxes are written as their corners. Otherwise, if at
    least as many objects have keypoints as have masks, and all have the same number, boxes are
    written with keypoints; `flip_idx` stores which of them a mirror swaps. Otherwise masks are
    written as polygons, whose parts are joined by bridges of zero width, and other objects as
    boxes.
    """

    format: ClassVar[str] = "yolo"
    reader: ClassVar[str] = "YOLO"

    def fill(self, splits: Splits, folder: Path, lost: Lost) -> None:
        """Write the files; see `CheckedWriter.fill`."""
        points = count_of_keypoints(splits)
        keys = _keys(splits)
        swapped = _swapped(splits, points)
        drop_keys_of_files(splits, lost, held=keys is not None)
        for split, dataset in splits.items():
            drop_scheme(split, dataset.scheme, lost, pairs=swapped is None)
        write_file(folder, "data.yaml", content=_yaml(splits, points, swapped) + (keys or ""))
        for split, dataset in splits.items():
            make_folder(folder, "labels", split)
            for name, row, raw in named(split, dataset, lost):
                write_file(folder, "images", split, name, content=raw)
                held, dropped = shares(row, points)
                lost.of(name, dropped)
                write_file(folder, "labels", split, f"{stem_of(name)}.txt", content=_text(held))

    def holds(self, splits: Splits) -> Callable[[Row], Held]:
        """Return what YOLO stores; see `CheckedWriter.holds`."""
        return partial(shares, points=count_of_keypoints(splits))


def _keys(splits: Splits) -> str | None:
    """Return the unused keys of the dataset as YAML text; None if one file cannot store them.

    That is the case if they differ between splits, collide with YOLO's own keys, or change when the
    text is parsed again.
    """
    first, *others = (dataset.extra for dataset in splits.values())
    if any(other != first for other in others) or set(first) & {*YAML_KEYS, "flip_idx"}:
        return None
    try:
        text = "".join(f"{_json(key)}: {_json(value)}\n" for key, value in first.items())
        return text if not text or load_yaml(text) == first else None
    except (UserError, RecursionError):
        return None


def _json(value: object) -> str:
    """Return JSON on one line, which is also valid YAML."""
    return json.dumps(value, ensure_ascii=False)


def _swapped(splits: Splits, points: int) -> list[int] | None:
    """Return the index of each keypoint in a mirrored image; None if it is not known."""
    found = {d.scheme.pairs for d in splits.values() if "keypoints" in d.fields}
    if not points or len(found) != 1:
        return None
    (pairs,) = found
    if pairs is None:
        return None
    order = list(range(points))
    for left, right in pairs:
        order[left], order[right] = right, left
    return order


def _yaml(splits: Splits, points: int, swapped: list[int] | None) -> str:
    names = one_map(splits).names
    lines = ["path: .", *(f"{split}: images/{split}" for split in splits)]
    lines += [f"kpt_shape: [{points}, 3]"] * bool(points)
    lines += [f"flip_idx: {swapped}"] * (swapped is not None)
    lines += ["names:"]
    lines += [f"  {i}: {_json(name)}" for i, name in enumerate(names)]
    return "\n".join(lines) + "\n"


def _text(held: Row) -> str:
    sides = np.array(held.size[::-1], np.float64)
    if held.boxes.shape[1] == 5:
        rings = RotatedBoxes(held.boxes).corners().astype(np.float64) / sides
        return _lines(held.classes, [ring.ravel().tolist() for ring in rings])
    rows = []
    for i, (box, _, _, polygons) in enumerate(objects(held)):
        x1, y1, x2, y2 = box
        values = np.array([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]) / np.tile(sides, 2)
        if polygons is not None:
            values = (polygons[0].astype(np.float64) / sides).ravel()
        elif held.keypoints is not None:
            points = held.keypoints[i].astype(np.float64)
            points[:, :2] /= sides
            values = np.concatenate([values, points.ravel()])
        rows.append(values.tolist())
    return _lines(held.classes, rows, first_point=4 if held.keypoints is not None else None)


def _lines(classes: np.ndarray, rows: list[list[float]], first_point: int | None = None) -> str:
    """Return one line per object; from `first_point`, every third value is a visibility."""
    lines = []
    for index, values in zip(classes.tolist(), rows, strict=True):
        words = [f"{value:.9f}" for value in values]
        if first_point is not None:
            for place in range(first_point + 2, len(words), 3):
                words[place] = f"{values[place]:g}"
        lines.append(" ".join([str(index), *words]) + "\n")
    return "".join(lines)
