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


def results_of(dataset, with_masks):
    """Return the ground truth as COCO results with the indices that the peer uses."""
    rows = []
    for number, sample in enumerate(dataset):
        objects = sample.instances
        for index, (box, kind) in enumerate(
            zip(np.asarray(objects.boxes).tolist(), objects.classes.tolist(), strict=True)
        ):
            left, top, right, bottom = box
            row = {
                "image_id": number,
                "category_id": kind + 1,
                "bbox": [left, top, right - left, bottom - top],
                "score": 0.9,
            }
            if with_masks:
                bitmap = objects.masks[index : index + 1].bitmaps()[0]
                # As the peer writes it: lists of lengths, which are not compressed.
                row["segmentation"] = {"size": list(bitmap.shape), "counts": run_lengths(bitmap)}
            rows.append(row)
    return rows


def run_lengths(bitmap):
    values, counts = [0], [0]
    for pixel in bitmap.T.ravel().tolist():
        if pixel == values[-1]:
            counts[-1] += 1
        else:
            values.append(pixel)
            counts.append(1)
    return counts


@pytest.mark.parametrize("with_masks", [False, True])
def test_results_of_the_peer(tmp_path, with_masks):
    """Ids of images are indices, those of classes begin at 1."""
    scenes = make_scenes(tmp_path / "scenes", 4, (64, 64), val_share=0.0, masks=True)
    dataset = vg.read(scenes)
    results = results_of(dataset, with_masks)
    found = learning.evaluate_results(dataset, results, with_masks)
    names = ["AP", "mask_AP"] if with_masks else ["AP"]
    for name in names:
        assert found[name] == pytest.approx(1.0)
    for row in results:
        row["category_id"] = row["category_id"] % len(dataset.class_map) + 1
    wrong = learning.evaluate_results(dataset, results, with_masks)
    assert all(wrong[name] < 0.5 for name in names)
