"""COCO mAP equals pycocotools."""

import contextlib
import io
import json

import cv2
import numpy as np
import pytest
from tests.make_samples import boxes_of, sample

from visiongarden import UserError
from visiongarden.data import read
from visiongarden.metrics import CocoMeanAveragePrecision
from visiongarden.metrics.coco_map import METRICS
from visiongarden.samples import Boxes, Instances, RotatedBoxes
from visiongarden.types import ClassMap

CLASSES = ClassMap(("cat", "dog", "owl"))


def boxes(rng, n):
    corner, side = rng.uniform(0, 300, (n, 2)), rng.uniform(4, 200, (n, 2))
    return np.concatenate([corner, corner + side], 1).astype(np.float32)


def scene(seed, images=12, crowds=True, areas=False):
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(images):
        n = int(rng.integers(0, 8))
        corners = boxes(rng, n)
        classes, crowd = rng.integers(0, 2, n), (rng.random(n) < 0.2) & crowds
        area = None
        if areas:  # of masks, as in annotation files; without one, the area of the box counts
            share = np.where(rng.random(n) < 0.2, 1, rng.uniform(0.01, 1, n))
            area = (corners[:, 2:] - corners[:, :2]).prod(axis=1).astype(np.float64) * share
        ground_truth = sample(corners, classes, size=(500, 500), crowd=crowd, area=area)
        kept = corners[rng.random(n) < 0.8]
        near = kept + rng.normal(0, 8, kept.shape).astype(np.float32)
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        every = np.concatenate([near, boxes(rng, int(rng.integers(0, 5)))])
        m = len(every)
        scores = rng.random(m)
        rows.append((detections(every, scores, rng.integers(0, 3, m)), ground_truth))
    return rows


def detections(boxes, scores, classes):
    return Instances((0, 0), Boxes(boxes), classes, scores=scores)


def by_pycocotools(rows):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    images, ground_truths, results = [], [], []
    for i, (found, ground_truth) in enumerate(rows, 1):
        images.append({"id": i, "height": 500, "width": 500})
        corners = ground_truth.instances
        areas = corners.area if corners.area is not None else np.full(len(corners), np.nan)
        rows_of = zip(boxes_of(ground_truth), corners.classes, corners.crowd, areas, strict=True)
        for b, c, crowd, area in rows_of:
            x1, y1, x2, y2 = map(float, b)
            ground_truths.append(
                {
                    "id": len(ground_truths) + 1,
                    "image_id": i,
                    "category_id": int(c) + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1) if np.isnan(area) else float(area),
                    "iscrowd": int(crowd),
                }
            )
        for b, s, c in zip(found.boxes, found.scores, found.classes, strict=True):
            x1, y1, x2, y2 = map(float, b)
            results.append(
                {
                    "image_id": i,
                    "category_id": int(c) + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": float(s),
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO()
        ground_truth.dataset = {
            "images": images,
            "annotations": ground_truths,
            "categories": [{"id": i + 1, "name": n} for i, n in enumerate(CLASSES.names)],
        }
        ground_truth.createIndex()
        validated = COCOeval(ground_truth, ground_truth.loadRes(results), "bbox")
        validated.evaluate()
        validated.accumulate()
        validated.summarize()
    return dict(zip(METRICS, validated.stats, strict=True)), validated.eval["precision"]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("areas", [False, True])
def test_equals_pycocotools(seed, areas):
    rows = scene(seed, areas=areas)
    metric = CocoMeanAveragePrecision(CLASSES)
    for row in rows:
        metric.update_state([row[1]], [row[0]])
    wanted, precision = by_pycocotools(rows)
    wanted = {n: v if v >= 0 else np.nan for n, v in wanted.items()}
    for name, value in metric.result().items():
        np.testing.assert_allclose(value, wanted[name], atol=1e-6, err_msg=name)
    for index, (name, metrics) in enumerate(metric.per_class().items()):
        known = precision[:, :, index, 0, -1]
        known = known[known > -1]
        mean = known.mean() if known.size else np.nan
        np.testing.assert_allclose(metrics["AP"], mean, atol=1e-6, err_msg=name)


def test_merged_metrics_equal_one_metric_of_all_images():
    rows = scene(0, areas=True)
    whole, *parts = (CocoMeanAveragePrecision(CLASSES) for _ in range(4))
    for number, (found, ground_truth) in enumerate(rows):
        whole.update_state([ground_truth], [found])
        parts[number % 3].update_state([ground_truth], [found])
    parts[0].merge_state(parts[1:])
    assert parts[0].result() == pytest.approx(whole.result(), nan_ok=True)
    assert parts[0].result()["AP"] > 0


def test_the_area_in_the_file_decides_the_size():
    """A triangle of area 800 in a box of 40 x 40 is small, not medium."""
    box = np.array([[10, 10, 50, 50]], np.float32)
    metric = CocoMeanAveragePrecision(CLASSES)
    ground_truth = sample(box, [0], size=(90, 90), area=[800.0])
    metric.update_state([ground_truth], [detections(box, [1], [0])])
    found = metric.result()
    assert found["APs"] == pytest.approx(1)
    assert np.isnan(found["APm"])


@pytest.mark.parametrize(
    "changes",
    [
        {"scores": None},
        {"classes": None},
        {"boxes": None},
        {"boxes": RotatedBoxes([[5, 5, 4, 2, 0]])},
    ],
)
def test_what_cannot_be_evaluated_is_refused(changes):
    metric = CocoMeanAveragePrecision(CLASSES)
    ground_truth = sample(np.ones((1, 4)), [0], size=(9, 9))
    found = detections([[0, 0, 5, 5]], [1], [0]).replace(**changes)
    with pytest.raises(UserError, match="the detections cannot be evaluated") as error:
        metric.update_state([ground_truth], [found])
    assert error.value.received


def test_no_images_is_nan():
    metric = CocoMeanAveragePrecision(CLASSES)
    assert all(np.isnan(v) for v in metric.result().values())


def test_ground_truth_without_detections_is_zero():
    metric = CocoMeanAveragePrecision(CLASSES)
    for _, ground_truth in scene(0, crowds=False):
        metric.update_state([ground_truth], [detections([], [], [])])
    metrics = metric.result()
    assert (metrics["AP"], metrics["AR100"]) == (0, 0)
    assert np.isnan(metric.per_class()["owl"]["AP"])


def test_ground_truth_as_detections_scores_1_without_output(capsys):
    metric = CocoMeanAveragePrecision(CLASSES)
    for _, one in scene(1, crowds=False):
        metric.update_state(
            [one],
            [detections(boxes_of(one), np.ones(len(one.instances)), one.instances.classes)],
        )
    assert metric.result()["AP"] == pytest.approx(1)
    assert capsys.readouterr().out == ""
    metric.reset_state()
    assert np.isnan(metric.result()["AP"])


@pytest.mark.parametrize("seed", range(3))
def test_equals_pycocotools_on_files_with_masks(tmp_path, seed):
    """All twelve metrics, with sizes by the areas of masks, some of them crowds."""
    from pycocotools import mask as coco_mask
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(seed)
    data = {"images": [], "annotations": [], "categories": [{"id": 7, "name": "owl"}]}
    for i in range(8):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((240, 320, 3), i, np.uint8))
        data["images"].append({"id": i + 1, "file_name": f"{i}.png", "width": 320, "height": 240})
        for _ in range(3):
            (x, y), sides = rng.integers(0, 120, 2).tolist(), rng.integers(4, 60, 2).tolist()
            mask = np.zeros((240, 320), np.uint8)
            thickness = int(rng.integers(1, 5)) if rng.random() < 0.5 else -1  # rings and disks
            center = (x + sides[0], y + sides[1])
            cv2.ellipse(mask, center, tuple(sides), 0, 0, 360, 1, thickness)
            found = coco_mask.encode(np.asfortranarray(mask))
            row = {"id": len(data["annotations"]) + 1, "image_id": i + 1, "category_id": 7}
            row |= {"bbox": coco_mask.toBbox(found).tolist(), "area": int(coco_mask.area(found))}
            row["segmentation"] = {"size": [240, 320], "counts": found["counts"].decode()}
            data["annotations"].append(row | {"iscrowd": int(rng.random() < 0.1)})
    (tmp_path / "val.json").write_text(json.dumps(data))
    dataset = read(tmp_path / "val.json", reader="COCO")
    metric, results = CocoMeanAveragePrecision(dataset.class_map), []
    for i, ground_truth in enumerate(dataset):
        corners = boxes_of(ground_truth)
        kept = corners[rng.random(len(corners)) < 0.8]
        found = kept + rng.normal(0, 3, kept.shape).astype(np.float32)
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        scores = rng.random(len(found)).astype(np.float32)
        metric.update_state([ground_truth], [detections(found, scores, np.zeros(len(found), int))])
        for (x1, y1, x2, y2), score in zip(found.tolist(), scores.tolist(), strict=True):
            row = {"image_id": i + 1, "category_id": 7, "score": score}
            results.append(row | {"bbox": [x1, y1, x2 - x1, y2 - y1]})
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO(str(tmp_path / "val.json"))
        expected = COCOeval(ground_truth, ground_truth.loadRes(results), "bbox")
        expected.evaluate()
        expected.accumulate()
        expected.summarize()
    wanted = np.where(expected.stats < 0, np.nan, expected.stats)
    assert np.isfinite(wanted[[3, 4]]).all()  # small and medium objects
    np.testing.assert_allclose(list(metric.result().values()), wanted, atol=1e-9)
