"""Writer of YOLO labels: boxes, polygons, or boxes with keypoints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from visiongarden.config import load_yaml
from visiongarden.data.readers.yolo import YAML_KEYS
from visiongarden.data.writers.examples import Lost, Splits, named, objects, size_of, stem_of
from visiongarden.data.writers.held import (
    drop_keys_of_files,
    keypoints_of,
    shape_of_keypoints,
    shares,
)
from visiongarden.data.writers.splits import make_folder, one_map, write_file
from visiongarden.errors import UserError
from visiongarden.samples.extra import unpack
from visiongarden.types import Example


def write(splits: Splits, folder: Path, lost: Lost) -> None:
    """Write `data.yaml`, `images/<split>/` and `labels/<split>/`; masks become polygons.

    Args:
        splits: Datasets by split, all with the same class map.
        folder: Folder to write to.
        lost: Collector of what YOLO cannot store.
    """
    points = shape_of_keypoints(splits)
    keys = _keys(splits)
    drop_keys_of_files(splits, lost, held=keys is not None)
    write_file(folder, "data.yaml", content=_yaml(splits, points) + (keys or ""))
    for split, dataset in splits.items():
        make_folder(folder, "labels", split)
        for name, example, raw in named(split, dataset, lost):
            write_file(folder, "images", split, name, content=raw)
            held, dropped = shares(example, points)
            lost.of(name, dropped)
            write_file(folder, "labels", split, f"{stem_of(name)}.txt", content=_text(held, points))


def _keys(splits: Splits) -> str | None:
    """Return the unused keys of the dataset as YAML text; None if one file cannot store them.

    That is the case if they differ between splits, collide with YOLO's own keys, or change when the
    text is parsed again.
    """
    first, *others = (dataset.extra for dataset in splits.values())
    if any(other != first for other in others) or set(first) & set(YAML_KEYS):
        return None
    try:
        text = "".join(f"{_json(key)}: {_json(value)}\n" for key, value in first.items())
        return text if not text or load_yaml(text) == first else None
    except (UserError, RecursionError):
        return None


def _json(value: object) -> str:
    """Return JSON on one line, which is also valid YAML."""
    return json.dumps(value, ensure_ascii=False)


def _yaml(splits: Splits, points: int) -> str:
    names = one_map(splits).names
    lines = ["path: .", *(f"{split}: images/{split}" for split in splits)]
    lines += [f"kpt_shape: [{points}, 3]"] * bool(points)
    lines += ["names:"]
    lines += [f"  {i}: {_json(name)}" for i, name in enumerate(names)]
    return "\n".join(lines) + "\n"


def _text(example: Example, points: int) -> str:
    sides = np.array(size_of(example)[::-1], np.float64)
    lines = []
    for (box, index, _, polygons), keys in zip(objects(example), unpack(example)[1], strict=True):
        x1, y1, x2, y2 = box
        values = np.array([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]) / np.tile(sides, 2)
        if polygons is not None:
            values = (polygons[0].astype(np.float64) / sides).ravel()
        words = [f"{value:.9f}" for value in values]
        if points:  # all lines of pose labels must have the same number of values
            words += _keypoints(keypoints_of(keys, points) or [0.0] * 3 * points, sides)
        lines.append(" ".join([str(index), *words]) + "\n")
    return "".join(lines)


def _keypoints(values: list[float], sides: np.ndarray) -> list[str]:
    words = []
    for x, y, visible in np.array(values).reshape(-1, 3).tolist():
        words += [f"{x / sides[0]:.9f}", f"{y / sides[1]:.9f}", f"{visible:g}"]
    return words
