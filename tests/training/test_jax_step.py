"""`JaxStep` equals Keras's step, for each shape of a batch."""

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.backends.jax_step import JaxStep
from visiongarden.backends.xla import compiler_options

pytest.importorskip("jax")
pytestmark = [
    pytest.mark.backends,
    pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX's own"),
]


def trained():
    """Weights and losses."""
    keras.utils.set_random_seed(0)
    model = vg.Classifier(
        vg.backbones.DarknetTiny(width=0.0625, levels=("p5",)),
        vg.heads.Classification(num_classes=3, dropout=0.0),
        image_size=128,
    )
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), jit_compile=True)
    random = np.random.default_rng(0)
    losses = []
    for count in (4, 4, 5):
        images = random.integers(0, 255, (count, 128, 128, 3)).astype(np.uint8)
        labels = np.eye(3, dtype=np.float32)[random.integers(0, 3, count)]
        losses.append(model.train_on_batch(images, {"labels": labels}, return_dict=True))
    return model.get_weights(), losses


def test_the_step_equals_keras_s_step(monkeypatch):
    used = []
    call = JaxStep.__call__
    monkeypatch.setattr(JaxStep, "__call__", lambda *args: used.append(1) or call(*args))
    weights, losses = trained()
    assert len(used) == 3
    monkeypatch.setattr(vg.Classifier, "_compiles_jax_step", lambda _: False)
    expected, expected_losses = trained()
    assert len(used) == 3
    for one, other in zip(losses, expected_losses, strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    for one, other in zip(weights, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_options_depend_on_the_device():
    import jax

    options = compiler_options()
    assert options is None or jax.default_backend() == "cpu"
    assert jax.jit(lambda x: x + 1, compiler_options=options)(1) == 2


def test_unknown_options_are_left_out(monkeypatch):
    monkeypatch.setattr("visiongarden.backends.xla._QUICK", {"xla_no_such_option": "1"})
    compiler_options.cache_clear()
    assert compiler_options() is None
    compiler_options.cache_clear()
