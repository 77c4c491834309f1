"""NMS equals OpenCV's, and follows its rules."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visiongarden.postprocess import Nms, to_original
from visiongarden.types import Detections, Placement


def some(seed, n, classes=3):
    rng = np.random.default_rng(seed)
    corner, side = rng.uniform(0, 100, (n, 2)), rng.uniform(5, 60, (n, 2))
    boxes = np.concatenate([corner, corner + side], 1).astype(np.float32)
    return boxes, rng.random((n, classes)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 80), st.sampled_from([0.3, 0.5, 0.7]))
def test_equals_opencv(seed, n, threshold):
    boxes, scores = some(seed, n)
    found = Nms(score_threshold=0.4, iou_threshold=threshold)(boxes, scores)
    best, classes = scores.max(1, initial=0), scores.argmax(1) if n else np.zeros(0, int)
    wanted = []
    for c in range(3):
        own = np.flatnonzero((classes == c) & (best > 0.4))
        rects = np.concatenate([boxes[own, :2], boxes[own, 2:] - boxes[own, :2]], 1)
        kept = cv2.dnn.NMSBoxes(rects.tolist(), best[own].tolist(), 0.4, threshold)
        wanted += [(own[i], c) for i in np.asarray(kept, int).ravel()]
    wanted.sort(key=lambda row: -best[row[0]])
    np.testing.assert_array_equal(found.boxes, boxes[[i for i, _ in wanted]].reshape(-1, 4))
    assert found.classes.tolist() == [c for _, c in wanted]


ONE = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]], np.float32)


@pytest.mark.parametrize(
    ("options", "scores", "kept"),
    [
        ({}, [[0.9, 0], [0.8, 0], [0.7, 0]], [(0, 0), (2, 0)]),
        ({}, [[0.9, 0], [0, 0.8], [0.7, 0]], [(0, 0), (1, 1), (2, 0)]),
        ({"class_agnostic": True}, [[0.9, 0], [0, 0.8], [0.7, 0]], [(0, 0), (2, 0)]),
        ({"multi_label": True}, [[0.9, 0.5], [0, 0], [0, 0]], [(0, 0), (0, 1)]),
        ({"max_detections": 1}, [[0.9, 0], [0, 0], [0.7, 0]], [(0, 0)]),
        ({"candidates": 2}, [[0.9, 0], [0.8, 0], [0.7, 0]], [(0, 0)]),
        ({"score_threshold": 0.95}, [[0.9, 0], [0.8, 0], [0.7, 0]], []),
    ],
)
def test_rules(options, scores, kept):
    found = Nms(**options)(ONE, np.array(scores, np.float32))
    assert [
        (ONE.tolist().index(b.tolist()), c) for b, c in zip(found.boxes, found.classes, strict=True)
    ] == kept


def test_back_to_the_original_image():
    found = Detections(np.array([[10, 20, 30, 400]], np.float32), np.ones(1), np.zeros(1, int))
    placement = Placement((0.5, 0.5), (0, 10))
    assert to_original(found, placement, (100, 200)).boxes.tolist() == [[20, 20, 60, 100]]
