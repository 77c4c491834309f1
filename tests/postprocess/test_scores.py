"""Scores of pixels are mapped back to the original image."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visiongarden.postprocess import SoftmaxDecoding, best_of_each
from visiongarden.transforms import Letterbox


@given(st.integers(8, 200), st.integers(8, 200), st.integers(0, 2**32 - 1))
def test_a_mask_is_restored_from_the_canvas(height, width, seed):
    """A rectangle, letterboxed as one-hot scores, is found again within a pixel of the canvas."""
    rng = np.random.default_rng(seed)
    ground_truth = np.zeros((height, width), np.uint8)
    top, left = int(rng.integers(0, height // 2)), int(rng.integers(0, width // 2))
    ground_truth[top : top + height // 2, left : left + width // 2] = 1
    picture = np.repeat(ground_truth[..., None] * 255, 3, axis=-1)
    canvas, placement = Letterbox(fill=0).place(picture, (64, 64))
    second = canvas[..., 0].astype(np.float32) / 255
    found = best_of_each(np.stack([1 - second, second], axis=-1), placement, (height, width))
    assert found.classes.shape == (height, width)
    # Pixels away from the edge by one of the canvas are all right.
    far = max(1, int(np.ceil(max(height, width) / 64)))
    inner = ground_truth[top + far : top + height // 2 - far, left + far : left + width // 2 - far]
    seen = found.classes[top + far : top + height // 2 - far, left + far : left + width // 2 - far]
    np.testing.assert_array_equal(seen, inner)
    assert abs(int(found.classes.sum()) - int(ground_truth.sum())) <= 2 * (far + 1) * (
        height + width
    )


def test_the_best_class_and_its_score():
    scores = np.zeros((4, 4, 3), np.float32)
    scores[..., 2] = 0.6
    scores[..., 0] = 0.4
    canvas_like = Letterbox().place(np.zeros((4, 4, 3), np.uint8), (4, 4))[1]
    found = best_of_each(scores, canvas_like, (4, 4))
    assert (found.classes == 2).all()
    assert found.scores == pytest.approx(0.6)


@pytest.mark.backends
def test_softmax_in_the_graph():
    logits = np.array([[1.0, 2.0, 3.0]], np.float32)
    scores = SoftmaxDecoding()({"p5": {"classes": logits}}, None)["scores"]
    wanted = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(keras.ops.convert_to_numpy(scores), wanted, rtol=1e-5)
