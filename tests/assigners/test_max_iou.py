"""Assignment by overlap with anchors, against the rule written out anchor by anchor."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops as k

from visiongarden.assigners import MaxIoU
from visiongarden.errors import ConfigError, UserError
from visiongarden.types import Candidates


def overlap(a, b):
    w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return w * h / (area - w * h) if w * h else 0.0


def candidates(points, sizes):
    count = len(points)
    return Candidates(
        np.zeros((1, count, 1), np.float32),
        np.zeros((1, count, 4), np.float32),
        np.array(points, np.float32),
        np.full(count, 8, np.float32),
        np.array(sizes, np.float32),
    )


def assign(points, sizes, boxes, classes, **fields):
    targets = {
        "boxes": np.array([boxes], np.float32),
        "classes": np.array([classes], np.int32),
    }
    found = MaxIoU(**fields)(candidates(points, sizes), targets)
    index, weight = (k.convert_to_numpy(x)[0] for x in found)
    assert ((index >= 0) == (weight == 1)).all()
    return index.tolist()


def test_thresholds_and_the_best_anchor():
    """Anchors of 10 × 10 pixels beside a box of 10 × 10: shifted by d, IoU (10 - d) / (10 + d)."""
    # 0.818, 0.538, 0.429, 0.333
    points = [(5 + d, 5) for d in (1, 3, 4, 5)]
    boxes = [[0, 0, 10, 10]]
    assert assign(points, [(10, 10)] * 4, boxes, [0]) == [0, 0, -2, -1]
    assert assign(points[2:], [(10, 10)] * 2, boxes, [0]) == [0, -1]
    assert assign(points[2:], [(10, 10)] * 2, boxes, [0], match_best=False) == [-2, -1]


def test_padding_and_objects_beyond_all_anchors_have_no_positive():
    assert assign([(5, 5)], [(10, 10)], [[0, 0, 10, 10]], [-1]) == [-1]
    assert assign([(5, 5)], [(10, 10)], [[50, 50, 60, 60]], [0]) == [-1]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_boxes_follow_the_rule(seed):
    rng = np.random.default_rng(seed)
    points, sizes = rng.uniform(0, 64, (40, 2)), rng.uniform(4, 40, (40, 2))
    low = rng.uniform(0, 50, (5, 2))
    boxes = np.concatenate([low, low + rng.uniform(2, 30, (5, 2))], -1).astype(np.float32)
    classes = [0, 1, -1, 0, 2]
    anchors = np.concatenate([points - sizes / 2, points + sizes / 2], -1)
    table = np.array([[overlap(box, anchor) for anchor in anchors] for box in boxes])
    table[2] = 0
    wanted = []
    for column in range(40):
        own = table[:, column]
        is_best = any(table[row].max() > 0 and own[row] == table[row].max() for row in range(5))
        if own.max() >= 0.5 or is_best:
            wanted.append(int(own.argmax()))
        else:
            wanted.append(-1 if own.max() < 0.4 else -2)
    assert assign(points, sizes, boxes, classes) == wanted


def test_wrong_fields_and_a_head_without_anchors_are_errors():
    with pytest.raises(ConfigError, match="negative is at most positive"):
        MaxIoU(positive=0.3)
    found = candidates([(5, 5)], [(10, 10)])._replace(anchors=None)
    targets = {"boxes": np.zeros((1, 1, 4), np.float32), "classes": np.zeros((1, 1), np.int32)}
    with pytest.raises(UserError, match="needs a head with anchors"):
        MaxIoU()(found, targets)
