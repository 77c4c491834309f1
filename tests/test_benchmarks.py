"""The evaluation of the benchmarks, which compare with other libraries."""

import numpy as np
import pytest
from benchmarks import coco_map, learning

import visiongarden as vg
from visiongarden.scenes import make_scenes


def test_coco_metrics_of_both_libraries():
    class_map = vg.ClassMap(("a", "b", "c"))
    rows = coco_map.make(images=30, detections=20, classes=3)
    expected = coco_map.pycocotools(rows, class_map)
    assert 0.1 < expected[0] < 0.9
    assert coco_map.ours(rows, class_map) == pytest.approx(expected, abs=1e-9)


def test_rows_of_the_peer(tmp_path):
    """Its boxes are rows (image, x1, y1, x2, y2, score, class)."""
    dataset = vg.read(make_scenes(tmp_path / "scenes", 4, (64, 64), val_share=0.0))
    rows = np.array(
        [
            [number, *box, 0.9, kind]
            for number, row in enumerate(dataset.rows())
            for box, kind in zip(row.boxes.tolist(), row.classes.tolist(), strict=True)
        ]
    )
    assert len(rows) > 4
    assert learning.evaluate_rows(dataset, rows)["AP"] == pytest.approx(1.0)
    others = rows.copy()
    others[:, 6] = (rows[:, 6] + 1) % len(dataset.class_map)
    assert learning.evaluate_rows(dataset, others)["AP"] < 0.5
