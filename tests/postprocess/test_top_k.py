"""The best boxes are kept without suppression, for heads that predict each object once."""

import numpy as np
import pytest

import visiongarden as vg
from visiongarden.evaluation import Predictor
from visiongarden.postprocess import Nms, TopK, suppression

BOXES = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]], np.float32)
SCORES = np.array([[0.5, 0.1], [0.9, 0.4], [0.2, 0.3]], np.float32)


def test_empty():
    found = TopK()(np.zeros((0, 4), np.float32), np.zeros((0, 2), np.float32))
    assert len(found) == 0


@pytest.mark.parametrize(
    ("fields", "scores", "classes"),
    [
        ({}, [0.9, 0.5, 0.3], [0, 0, 1]),
        ({"max_detections": 1}, [0.9], [0]),
        ({"score_threshold": 0.45}, [0.9, 0.5], [0, 0]),
        ({"multi_label": True}, [0.9, 0.5, 0.4, 0.3], [0, 0, 1, 1]),
    ],
)
def test_best_first_with_overlaps(fields, scores, classes):
    found = TopK(**fields)(BOXES, SCORES)
    np.testing.assert_allclose(found.scores, scores)
    assert found.classes.tolist() == classes
    assert len(Nms(**fields)(BOXES, SCORES)) < len(found) or fields == {"max_detections": 1}


def test_the_postprocessing_depends_on_the_head():
    nms = Nms(score_threshold=0.1, max_detections=7, multi_label=True)
    assert suppression(True, nms) is nms
    assert suppression(False, nms) == TopK(score_threshold=0.1, max_detections=7, multi_label=True)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        pytest.param(vg.heads.DualAssignment, TopK, marks=pytest.mark.slow),
        (vg.heads.AnchorFree, Nms),
    ],
)
def test_a_predictor_uses_the_postprocessing_of_its_head(head, kind):
    model = vg.Detector(
        vg.backbones.CSPDarknet(width=0.125),
        vg.decoders.FPN(channels=8),
        head(num_classes=2, bins=4),
        (32, 32),
    )
    predictor = Predictor(
        model, postprocess=suppression(model.parts.head.decoding.needs_nms, Nms(score_threshold=0))
    )
    assert isinstance(predictor.postprocess, kind)
    assert isinstance(Predictor(model).postprocess, kind)
    found = predictor(np.zeros((1, 32, 32, 3), np.uint8))[0]
    if kind is TopK:
        assert len(found) == 16 + 4 + 1  # every cell of p3, p4 and p5
