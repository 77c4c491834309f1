"""NMS equals OpenCV's, and follows its rules."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visiongarden.darknet.nms import DarknetNms
from visiongarden.errors import NotFiniteError
from visiongarden.postprocess import Nms, TopK, to_original
from visiongarden.samples import Boxes, Instances, Keypoints, Masks, RotatedBoxes
from visiongarden.types import Placement


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
    found = Instances((0, 0), Boxes([[10, 20, 30, 400]]), [0], scores=[1])
    placement = Placement((0.5, 0.5), (0, 10))
    original = to_original(found, placement, (100, 200))
    assert np.asarray(original.boxes).tolist() == [[20, 20, 60, 100]]
    assert original.size == (100, 200)


def test_all_fields_are_moved_to_the_original_image():
    rings = [[[10, 20, 30, 20, 30, 40]], [[0, 0, 4, 0, 4, 4]]]
    found = Instances(
        (120, 100), RotatedBoxes([[20, 30, 10, 4, 30], [200, 30, 10, 4, 0]]), [0, 1],
        scores=[0.9, 0.5], masks=Masks.from_polygons(rings, (120, 100)),
        keypoints=Keypoints([[[10, 20, 2]], [[50, 60, 1]]]),
        data={"anchors": Boxes([[10, 20, 30, 40], [0, 10, 2, 12]]), "cell": np.array([7, 8])},
        area=[10, 20],
    )  # fmt: skip
    original = to_original(found, Placement((0.5, 0.5), (0, 10)), (200, 200))
    # x = 2 x', y = 2 (y' - 10); no object is removed, not even outside the image.
    boxes = [[40, 40, 20, 8, 30], [400, 40, 20, 8, 0]]
    np.testing.assert_allclose(original.boxes, boxes, rtol=1e-6)
    assert original.masks.size == original.size == (200, 200)
    assert original.masks.polygons()[0][0].tolist() == [[20, 20], [60, 20], [60, 60]]
    assert original.keypoints.values.tolist() == [[[20, 20, 2]], [[100, 100, 1]]]
    assert np.asarray(original.data["anchors"]).tolist() == [[20, 20, 60, 60], [0, 0, 4, 4]]
    assert original.data["cell"].tolist() == [7, 8]
    np.testing.assert_allclose(original.area, [40, 80])


@pytest.mark.parametrize("suppress", [Nms(), Nms(multi_label=True), TopK(), DarknetNms()])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_boxes_that_are_not_finite_are_an_error(suppress, value):
    boxes = np.array([[0, 0, 10, 10], [0, 0, value, 10]], np.float32)
    assert len(suppress(boxes, np.array([[0.9], [0.1]], np.float32))) == 1  # no candidate
    with pytest.raises(NotFiniteError, match="is not finite"):
        suppress(boxes, np.array([[0.9], [0.8]], np.float32))
