"""COCO's metrics of masks equal pycocotools, from bitmaps, polygons and run lengths."""

import contextlib
import io

import cv2
import numpy as np
import pytest
from tests.make_samples import sample

from visiongarden import UserError
from visiongarden.metrics import CocoMeanAveragePrecision
from visiongarden.metrics.coco_map import METRICS
from visiongarden.samples import Boxes, Instances, Masks
from visiongarden.types import ClassMap

CLASSES = ClassMap(("cat", "dog"))
SIZE = (120, 160)


def ellipses(rng, count):
    found = np.zeros((count, *SIZE), np.uint8)
    for canvas in found:
        center = tuple(map(int, rng.uniform((20, 20), (140, 100))))
        axes = tuple(map(int, rng.uniform(3, 60, 2)))
        cv2.ellipse(canvas, center, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return found


def scene(seed, images=8):
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(images):
        real = ellipses(rng, int(rng.integers(1, 6)))
        classes, crowd = rng.integers(0, 2, len(real)), rng.random(len(real)) < 0.2
        near = np.array([np.roll(one, rng.integers(-6, 7, 2), (0, 1)) for one in real])
        every = np.concatenate([near.reshape(-1, *SIZE), ellipses(rng, int(rng.integers(0, 4)))])
        guesses = np.concatenate([classes, rng.integers(0, 2, len(every) - len(real))])
        rows.append((real, classes, crowd, every, guesses, rng.random(len(every))))
    return rows


def by_pycocotools(rows):
    from pycocotools import mask
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def encoded(bitmap):
        return mask.encode(np.asfortranarray(bitmap))

    ground_truths, results = [], []
    for number, (real, classes, crowd, every, guesses, scores) in enumerate(rows, 1):
        for one, index, many in zip(real, classes, crowd, strict=True):
            rle = encoded(one)
            ground_truths.append(
                {
                    "id": len(ground_truths) + 1,
                    "image_id": number,
                    "category_id": int(index) + 1,
                    "segmentation": rle,
                    "bbox": mask.toBbox(rle).tolist(),
                    "area": float(mask.area(rle)),
                    "iscrowd": int(many),
                }
            )
        results += [
            {
                "image_id": number,
                "category_id": int(index) + 1,
                "segmentation": encoded(one),
                "score": float(score),
            }
            for one, index, score in zip(every, guesses, scores, strict=True)
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [
                {"id": i + 1, "height": SIZE[0], "width": SIZE[1]} for i in range(len(rows))
            ],
            "annotations": ground_truths,
            "categories": [{"id": i + 1, "name": n} for i, n in enumerate(CLASSES.names)],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(METRICS, evaluation.stats, strict=True))


def add(metric, row):
    real, classes, crowd, every, guesses, scores = row
    masks = Masks.from_bitmaps(real)
    ground_truth = sample(masks.boxes(), classes, size=SIZE, crowd=crowd, masks=masks)
    found = Masks.from_bitmaps(every)
    detections = Instances(SIZE, Boxes(found.boxes()), guesses, scores=scores, masks=found)
    metric.update_state([ground_truth], [detections])


@pytest.mark.parametrize("seed", range(5))
def test_equals_pycocotools(seed):
    rows = scene(seed)
    metric = CocoMeanAveragePrecision(CLASSES, masks=True)
    for row in rows:
        add(metric, row)
    wanted = by_pycocotools(rows)
    assert wanted["AP"] > 0.05
    for name, value in metric.result().items():
        expected = wanted[name.removeprefix("mask_")]
        np.testing.assert_allclose(value, expected if expected >= 0 else np.nan, atol=1e-6)
    assert set(metric.per_class()["cat"]) == {"mask_AP", "mask_AP50"}


def test_merged_metrics_equal_one_metric():
    rows = scene(9)
    whole, parts = (
        CocoMeanAveragePrecision(CLASSES, masks=True),
        [CocoMeanAveragePrecision(CLASSES, masks=True) for _ in range(2)],
    )
    for number, row in enumerate(rows):
        add(parts[number >= 3], row)
    for row in rows:
        add(whole, row)
    parts[0].merge_state(parts[1:])
    assert str(parts[0].result()) == str(whole.result())


def test_detections_without_masks_are_an_error():
    metric = CocoMeanAveragePrecision(CLASSES, masks=True)
    boxes = np.array([[0, 0, 9, 9]], np.float32)
    plain = Instances(SIZE, Boxes(boxes), np.zeros(1, int), scores=np.ones(1))
    with pytest.raises(UserError, match="have no masks"):
        metric.update_state([sample(boxes, [0], size=SIZE)], [plain])
