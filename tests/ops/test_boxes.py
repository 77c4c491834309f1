"""Boxes and overlaps: exact values, and properties of any box."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops as k

from visiongarden import ops

SIDE = st.floats(-500, 500, width=32)
BOX = st.tuples(SIDE, SIDE, st.floats(1, 400, width=32), st.floats(1, 400, width=32)).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)


def array(x):
    return np.array(x, np.float32)


def found(x):
    return k.convert_to_numpy(x)


@pytest.mark.backends
@pytest.mark.parametrize(
    ("a", "b", "iou", "giou"),
    [
        ([0, 0, 2, 2], [0, 0, 2, 2], 1, 1),
        ([0, 0, 2, 2], [1, 0, 3, 2], 1 / 3, 1 / 3),
        ([0, 0, 2, 2], [1, 1, 3, 3], 1 / 7, 1 / 7 - 2 / 9),
        ([0, 0, 1, 1], [3, 0, 4, 1], 0, -0.5),
        ([0, 0, 0, 0], [0, 0, 1, 1], 0, 0),
    ],
)
def test_exact_overlaps(a, b, iou, giou):
    assert float(ops.iou(array(a), array(b))) == pytest.approx(iou, abs=1e-6)
    assert float(ops.giou(array(a), array(b))) == pytest.approx(giou, abs=1e-6)


@pytest.mark.backends
def test_ciou_by_hand():
    """Zheng et al. 2020, equations 10 to 12, for (0,0,4,2) and (1,0,3,4)."""
    overlap = 4 / 12
    distance = 1**2 / (4**2 + 4**2)
    aspect = 4 / math.pi**2 * (math.atan(4 / 2) - math.atan(2 / 4)) ** 2
    wanted = overlap - distance - aspect * aspect / (1 - overlap + aspect)
    assert float(ops.ciou(array([0, 0, 4, 2]), array([1, 0, 3, 4]))) == pytest.approx(wanted)


@pytest.mark.backends
def test_diou_by_hand():
    """Zheng et al. 2020, equation 7, for (0,0,4,2) and (1,0,3,4)."""
    wanted = 4 / 12 - 1**2 / (4**2 + 4**2)
    assert float(ops.diou(array([0, 0, 4, 2]), array([1, 0, 3, 4]))) == pytest.approx(wanted)


@pytest.mark.backends
def test_siou_by_hand():
    """Gevorgyan 2022 (arXiv 2205.12740), with the angle cost as the paper writes it."""
    a, b = [0, 0, 4, 2], [2, 1, 5, 5]
    overlap = 2 * 1 / (8 + 12 - 2)
    dx, dy = 3.5 - 2, 3 - 1
    angle = 1 - 2 * math.sin(math.asin(dy / math.hypot(dx, dy)) - math.pi / 4) ** 2
    gamma = 2 - angle
    distance = 2 - math.exp(-gamma * (dx / 5) ** 2) - math.exp(-gamma * (dy / 5) ** 2)
    shape = (1 - math.exp(-1 / 4)) ** 4 + (1 - math.exp(-2 / 4)) ** 4
    wanted = overlap - (distance + shape) / 2
    assert float(ops.siou(array(a), array(b))) == pytest.approx(wanted, abs=1e-6)
    assert float(ops.siou(array(b), array(a))) == pytest.approx(wanted, abs=1e-6)
    assert float(ops.siou(array(a), array(a))) == pytest.approx(1, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(BOX, BOX)
def test_orders_of_the_overlaps(a, b):
    one = float(ops.iou(array(a), array(b)))
    assert 0 <= one <= 1 + 1e-5
    assert float(ops.iou(array(b), array(a))) == pytest.approx(one, abs=1e-5)
    assert float(ops.giou(array(a), array(b))) <= one + 1e-5
    for overlap in (ops.diou, ops.siou):
        value = float(overlap(array(a), array(b)))
        assert -2 <= value <= one + 1e-5
        assert float(overlap(array(b), array(a))) == pytest.approx(value, abs=1e-5)
    assert -1.5 - 1e-4 <= float(ops.ciou(array(a), array(b))) <= one + 1e-5


@settings(max_examples=40, deadline=None)
@given(st.lists(BOX, max_size=5))
def test_spellings_and_clip(boxes):
    boxes = array(boxes).reshape(-1, 4)
    back = found(ops.cxcywh_to_xyxy(ops.xyxy_to_cxcywh(boxes)))
    np.testing.assert_allclose(back, boxes, atol=1e-2)
    cut = found(ops.clip(boxes, (100, 200)))
    np.testing.assert_allclose(cut, np.clip(boxes, 0, [200, 100, 200, 100]), atol=1e-6)


def test_pairwise_shape_and_values():
    a, b = array([[0, 0, 2, 2], [5, 5, 6, 6]]), array([[0, 0, 2, 2], [1, 0, 3, 2], [9, 9, 9, 9]])
    np.testing.assert_allclose(found(ops.pairwise_iou(a, b)), [[1, 1 / 3, 0], [0, 0, 0]], atol=1e-6)


def test_cells():
    cells = ops.cells_of(("p3", "p4"), (16, 32))
    assert cells.counts == (8, 2)
    assert cells.centers[[0, 1, 4, 8, 9]].tolist() == [[4, 4], [12, 4], [4, 12], [8, 8], [24, 8]]
    assert cells.strides.tolist() == [8] * 8 + [16] * 2
