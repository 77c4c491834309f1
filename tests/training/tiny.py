"""A classifier that trains in milliseconds, and batches for it."""

import keras
import numpy as np

import visiongarden as vg
from visiongarden.layers import ConvNormAct
from visiongarden.training import Training


@vg.register(package="test_training")
class TinyBackbone(vg.Backbone):
    """A stem and two convolutions."""

    levels: tuple[str, ...] = ("p3",)

    def wire(self, images):
        x = ConvNormAct(4, 3, strides=2, name="stem")(images)
        x = ConvNormAct(4, 3, strides=2, name="middle")(x)
        return {"p3": ConvNormAct(6, 3, strides=2, name="last")(x)}


def classifier(size=16, **options):
    keras.utils.set_random_seed(0)
    return vg.Classifier(
        backbone=TinyBackbone(), head=vg.heads.Classification(num_classes=2), image_size=size,
        **options,
    )  # fmt: skip


def batches(count=3, size=16, images=4):
    rng = np.random.default_rng(0)
    return [
        (
            rng.integers(0, 255, (images, size, size, 3)).astype(np.uint8),
            {"labels": np.eye(2, dtype=np.float32)[rng.integers(0, 2, images)]},
        )
        for _ in range(count)
    ]


def settings(**changes):
    fields = {"epochs": 3, "optimizer": {"learning_rate": {"warmup_epochs": 0}}}
    return Training(**({"tensorboard": False} | fields | changes))


def values(model):
    return {w.path: np.array(keras.ops.convert_to_numpy(w)) for w in model.weights}
