"""Losses that layers add are minimized on every backend."""

import keras
import numpy as np
import pytest
from keras import ops

import visiongarden as vg
from visiongarden.training import Training
from visiongarden.training.building import make_optimizer
from visiongarden.training.running import trained_with


@vg.register(package="tests")
class Penalized(keras.layers.Layer):
    """Returns its input; adds the square of one weight, and of the input's mean."""

    def build(self, shape):
        self.scale = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(3.0), name="scale",
            regularizer=lambda x: 0.5 * ops.sum(x * x),
        )  # fmt: skip

    def call(self, x):
        self.add_loss(2.0 * ops.mean(ops.ones_like(x)))
        return x * ops.stop_gradient(self.scale) / 3.0

    def compute_output_shape(self, shape):
        return shape


@vg.register(package="tests")
class PenalizedPass(vg.decoders.PassOn):
    """Passes the maps on through a layer that adds losses."""

    def wire(self, features):
        return {level: Penalized()(x) for level, x in super().wire(features).items()}


def trained(decoder, size=32):
    keras.utils.set_random_seed(0)
    model = vg.Classifier(
        vg.backbones.DarknetTiny(width=0.0625, levels=("p5",)),
        vg.heads.Classification(num_classes=3, dropout=0.0),
        decoder,
        image_size=32,
    )
    sizes = {model.image_size, (size, size)}
    settings = Training(optimizer={"type": "VectorSGD", "weight_decay": 0.0}, ema_decay=None)
    images = np.random.default_rng(0).integers(0, 255, (4, size, size, 3)).astype(np.uint8)
    targets = {"labels": np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]}
    with trained_with(model, sizes=tuple(sizes)):
        jit = keras.backend.backend() == "jax"
        model.compile(make_optimizer(settings, 10), jit_compile=jit)
        return model, model.train_on_batch(images, targets, return_dict=True)


@pytest.mark.slow
@pytest.mark.slow_backends
@pytest.mark.parametrize("size", [pytest.param(32, marks=pytest.mark.backends), 64])
def test_added_losses_are_part_of_the_loss(size):
    _, plain = trained(vg.decoders.PassOn(levels=("p5",)), size)
    model, penalized = trained(PenalizedPass(levels=("p5",)), size)
    # Half of 3 squared, and twice the mean of ones.
    assert penalized["loss"] == pytest.approx(plain["loss"] + 4.5 + 2.0, rel=1e-5)
    (scale,) = [w for w in model.trainable_weights if w.path.endswith("scale")]
    # The rate of the first step, and the gradient of the regularizer alone.
    assert 0 < float(ops.convert_to_numpy(scale.value)) < 3.0
