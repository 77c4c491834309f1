"""Decoding of anchor offsets, computed by hand for both size encodings."""

import math

import numpy as np
import pytest
from keras import ops as k

from visiongarden import heads
from visiongarden.errors import ConfigError
from visiongarden.losses import quotients
from visiongarden.types import HeadContext

ANCHORS = {"p3": ((10.0, 14.0),), "p4": ((30.0, 33.0), (62.0, 45.0))}
SIZE = (32, 32)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def raw(offset):
    return {
        level: {
            "boxes": np.tile(np.array(offset, np.float32), (1, side, side, len(ANCHORS[level]), 1)),
            "objectness": np.zeros((1, side, side, len(ANCHORS[level])), np.float32),
            "classes": np.zeros((1, side, side, len(ANCHORS[level]), 1), np.float32),
        }
        for level, side in (("p3", 4), ("p4", 2))
    }


@pytest.mark.backends
@pytest.mark.parametrize("scale", [1.0, 1.05, 2.0, {"p3": 1.2, "p4": 1.1}])
@pytest.mark.parametrize("sizes", ["exponential", "squared"])
def test_as_darknet_defines_it(scale, sizes):
    """scale_x_y and new_coords: x = (s(t) * scale - (scale - 1) / 2 + column) * stride."""
    offset = [0.3, -0.7, 0.4, -0.2]
    head = heads.AnchorBased(num_classes=1, anchors=ANCHORS, scale_xy=scale, size_encoding=sizes)
    boxes = k.convert_to_numpy(head.decoding(raw(offset), HeadContext(head, SIZE, None))["boxes"])[
        0
    ]
    # Column 2, row 1 of p3 has place 6; column 1, row 0 of p4 and its second anchor 16 + 3.
    for place, level, column, row, anchor in ((6, "p3", 2, 1, 0), (19, "p4", 1, 0, 1)):
        reach = scale[level] if isinstance(scale, dict) else scale
        stride = 2 ** int(level[1:])
        x, y = (
            (sigmoid(t) * reach - (reach - 1) / 2 + cell) * stride
            for t, cell in zip(offset[:2], (column, row), strict=True)
        )
        grow = math.exp if sizes == "exponential" else (lambda t: (2 * sigmoid(t)) ** 2)
        w, h = (side * grow(t) for side, t in zip(ANCHORS[level][anchor], offset[2:], strict=True))
        wanted = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
        np.testing.assert_allclose(boxes[place], wanted, rtol=1e-4)


def test_the_loss_decodes_as_the_predictor_does():
    """A prediction that decodes to the box itself has no box loss."""
    head = heads.AnchorBased(
        num_classes=1,
        anchors=ANCHORS,
        scale_xy={"p3": 1.2, "p4": 1.1},
        size_encoding="squared",
        hidden_conv=False,
    )
    maps = raw([0.3, -0.7, 0.4, -0.2])
    boxes = k.convert_to_numpy(head.decoding(maps, HeadContext(head, SIZE, None))["boxes"])
    targets = {"boxes": boxes[:, 6:7], "classes": np.zeros((1, 1), np.int32)}
    terms = quotients(head.loss(maps, targets, HeadContext(head, SIZE, None)))
    assert float(terms["box"]) == pytest.approx(0, abs=1e-4)


def test_a_reach_for_each_level_names_all_levels():
    with pytest.raises(ConfigError, match="p3 p4"):
        heads.AnchorBased(num_classes=1, anchors=ANCHORS, scale_xy={"p3": 1.0})
