"""Compiled forward passes: one per image size, cached on the model, at most `MAX_SIZES`."""

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.evaluation import Predictor, predict
from visiongarden.evaluation.forward import MAX_SIZES, forward_of

TRACES = keras.backend.backend() in ("tensorflow", "jax")


def detector(size=64):
    return vg.Detector(
        vg.backbones.CSPDarknet(depth=0.33, width=0.0625),
        vg.decoders.FPN(channels=16),
        vg.heads.AnchorFree(num_classes=2, bins=4),
        image_size=size,
    )


@pytest.fixture
def calls(monkeypatch):
    """Grows whenever Python runs through a model."""
    detector()  # Keras gives the class its `call` with the first model
    counted, call = [], vg.Detector.call

    def counting(self, inputs, *args, **kwargs):
        counted.append(tuple(inputs.shape[1:3]))
        return call(self, inputs, *args, **kwargs)

    monkeypatch.setattr(vg.Detector, "call", counting)
    return counted


def images(count=1, size=64):
    return list(np.random.default_rng(0).integers(0, 255, (count, size, size, 3), np.uint8))


@pytest.mark.backends
def test_the_second_image_of_a_size_costs_no_trace(calls):
    model = detector()
    first = list(predict(model, images(), score=0.0))
    seen = len(calls)
    again = list(predict(model, images(), score=0.0))
    Predictor(model).raw(np.stack(images()))
    assert not TRACES or (seen == 1 and len(calls) == 1)
    np.testing.assert_array_equal(first[0].boxes, again[0].boxes)


@pytest.mark.slow
@pytest.mark.backends
def test_a_cached_pass_uses_the_current_weights():
    model, x = detector(), np.stack(images())
    before = Predictor(model).raw(x)
    model.set_weights([weight * 0.5 + 0.01 for weight in model.get_weights()])
    after = Predictor(model).raw(x)
    fresh = detector()
    fresh.set_weights(model.get_weights())
    assert np.abs(before["scores"] - after["scores"]).max() > 1e-6
    again = Predictor(fresh).raw(x)
    for name, kept in after.items():
        np.testing.assert_allclose(kept, again[name], rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_each_size_has_a_pass_and_the_oldest_is_dropped(calls):
    model = detector(None)
    sizes = [(32 * n, 32) for n in range(1, MAX_SIZES + 2)]
    passes = [forward_of(model, size) for size in sizes]
    assert len(set(map(id, passes))) == len(sizes)
    assert forward_of(model, sizes[-1]) is passes[-1]
    assert forward_of(model, sizes[1]) is passes[1]
    assert forward_of(model, sizes[0]) is not passes[0]
    passes[1](np.zeros((1, *sizes[1], 3), np.uint8))
    assert calls[-1] == sizes[1]


@pytest.mark.slow
def test_a_model_with_a_cached_pass_is_saved_and_freed(tmp_path):
    import gc
    import weakref

    model = detector()
    found = next(predict(model, images(), score=0.0))
    model.save(tmp_path / "model.keras")
    again = next(predict(vg.load(tmp_path / "model.keras"), images(), score=0.0))
    np.testing.assert_array_equal(found.boxes, again.boxes)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
