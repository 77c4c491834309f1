"""RoIAlign against a loop over samples in float64, written from the paper's definition."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops as k

import visiongarden as vg
from visiongarden.backends.gradients import value_and_gradients
from visiongarden.errors import UserError

STRIDES = (4, 8)
SIZE = (48, 64)


def value_at(x, row, column):
    """The bilinear value at a point between the centers of cells; 0 beyond one cell outside."""
    height, width = x.shape[:2]
    if row < -1 or row > height or column < -1 or column > width:
        return np.zeros(x.shape[-1])
    row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
    total = np.zeros(x.shape[-1])
    for r, c in itertools.product(range(height), range(width)):
        weight = max(0, 1 - abs(row - r)) * max(0, 1 - abs(column - c))
        total += weight * x[r, c]
    return total


def looped(x, stride, box, bins, samples, aligned):
    """He et al. 2017, section 3: the average of regularly placed samples of each bin."""
    x1, y1, x2, y2 = np.float64(box) / stride - (0.5 if aligned else 0)
    width, height = x2 - x1, y2 - y1
    if not aligned:
        width, height = max(width, 1), max(height, 1)
    found = np.zeros((bins, bins, x.shape[-1]))
    for i, j in itertools.product(range(bins), range(bins)):
        for a, b in itertools.product(range(samples), range(samples)):
            row = y1 + (i + (a + 0.5) / samples) * height / bins
            column = x1 + (j + (b + 0.5) / samples) * width / bins
            found[i, j] += value_at(np.float64(x), row, column) / samples**2
    return found


def maps(rng):
    return [rng.normal(size=(2, SIZE[0] // s, SIZE[1] // s, 3)).astype("f4") for s in STRIDES]


def regions(rng):
    """Inside, across and outside the image, smaller than a cell, and without area."""
    low = rng.uniform(-20, 50, (2, 5, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 40, (2, 5, 2))], -1)
    more = [[0, 0, 0, 0], [0, 0, 64, 48], [9.5, 9.5, 10, 10.25], [70, 60, 90, 80]]
    return np.concatenate([boxes, np.tile(more, (2, 1, 1))], 1).astype("f4")


def level_of(box):
    """FPN, equation 1, with a canonical size of 16 pixels on p2."""
    side = np.sqrt(max(box[2] - box[0], 0) * max(box[3] - box[1], 0))
    level = 2 if side == 0 else int(np.floor(2 + np.log2(side / 16)))
    return min(max(level, 2), 3) - 2


@pytest.mark.backends
@pytest.mark.parametrize(("aligned", "samples"), [(True, 2), (False, 2), (True, 1)])
def test_features_are_those_of_the_definition(aligned, samples):
    rng = np.random.default_rng(0)
    given, boxes = maps(rng), regions(rng)
    layer = vg.layers.RoIAlign(STRIDES, 3, samples, aligned, canonical_size=16, canonical_level=2)
    found = k.convert_to_numpy(layer(given, boxes))
    assert {level_of(box) for box in boxes[0]} == {0, 1}
    for image, row in itertools.product(range(2), range(boxes.shape[1])):
        box = boxes[image, row]
        level = level_of(box)
        wanted = looped(given[level][image], STRIDES[level], box, 3, samples, aligned)
        np.testing.assert_allclose(found[image, row], wanted, atol=1e-5)


@pytest.mark.backends
def test_the_gradient_is_that_of_finite_differences():
    rng = np.random.default_rng(1)
    given, boxes = maps(rng), regions(rng)
    factors = rng.normal(size=(2, boxes.shape[1], 2, 2, 3)).astype("f4")
    layer = vg.layers.RoIAlign(STRIDES, 2, canonical_size=16, canonical_level=2)

    def total(tensors):
        return k.sum(layer(tensors, boxes) * k.convert_to_tensor(factors))

    _, gradients = value_and_gradients(total)(given)
    # The layer is linear in the maps: differences are exact up to rounding.
    for place, (x, gradient) in enumerate(zip(given, gradients, strict=True)):
        direction = rng.normal(size=x.shape).astype("f4")
        ends = []
        for sign in (1, -1):
            moved = [*given]
            moved[place] = x + sign * direction
            ends.append(float(total([k.convert_to_tensor(each) for each in moved])))
        slope = (ends[0] - ends[1]) / 2
        assert np.vdot(gradient, direction) == pytest.approx(slope, rel=1e-4, abs=1e-4)


def test_coordinates_keep_their_precision_in_half_precision():
    layer = vg.layers.RoIAlign((1,), 1, 1, dtype="mixed_bfloat16")
    x = np.arange(400, dtype=np.float32).reshape(1, 1, 400, 1)
    boxes = np.array([[[301.25, 0, 302.25, 1]]], np.float32)  # bfloat16 has 8 bits: 302
    found = layer([x], boxes)
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"
    # Between 301 and 302, which bfloat16 stores as 300 and 302 here.
    assert float(k.convert_to_numpy(k.cast(found, "float32")).ravel()[0]) == pytest.approx(
        301, abs=1
    )


def test_invalid_arguments_and_maps():
    with pytest.raises(UserError, match="consecutive levels"):
        vg.layers.RoIAlign((4, 16))
    with pytest.raises(UserError, match="sampling_ratio of RoIAlign is 0"):
        vg.layers.RoIAlign((4,), sampling_ratio=0)
    layer = vg.layers.RoIAlign((4, 8))
    with pytest.raises(UserError, match="one for each stride"):
        layer([keras.Input((8, 8, 3))], keras.Input((5, 4)))
    with pytest.raises(UserError, match="known height and width"):
        layer([keras.Input((None, None, 3))] * 2, keras.Input((5, 4)))


def functional():
    features = [keras.Input((SIZE[0] // s, SIZE[1] // s, 3)) for s in STRIDES]
    boxes = keras.Input((9, 4))
    layer = vg.layers.RoIAlign(STRIDES, 3, aligned=False, canonical_size=16, canonical_level=2)
    rng = np.random.default_rng(2)
    return keras.Model([*features, boxes], layer(features, boxes)), [*maps(rng), regions(rng)]


def test_a_file_with_the_layer_reopens(tmp_path):
    model, given = functional()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(again.predict_on_batch(given), model.predict_on_batch(given))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of tf2onnx
def test_the_exported_layer_returns_the_same(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model, given = functional()
    expected = model.predict_on_batch(given)  # Keras exports a model that was called
    model.export(str(tmp_path / "model.onnx"), format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    names = [each.name for each in session.get_inputs()]
    (found,) = session.run(None, dict(zip(names, given, strict=True)))
    np.testing.assert_allclose(found, expected, atol=1e-5)
