"""A user's module: a layer in the style of TensorFlow Model Garden, parts and models."""

from typing import Any

import keras

import visiongarden as vg


@keras.utils.register_keras_serializable(package="Vision")
class SqueezeExcitation(keras.layers.Layer):
    """Layer with `build`, `call` and a custom `get_config`, as in Model Garden's layers."""

    def __init__(self, in_filters, se_ratio=0.25, activation="relu", **kwargs):
        super().__init__(**kwargs)
        self._in_filters = in_filters
        self._se_ratio = se_ratio
        self._activation = activation
        self._activation_fn = keras.activations.get(activation)

    def build(self, input_shape):
        reduced = max(1, int(self._in_filters * self._se_ratio))
        self._se_reduce = keras.layers.Conv2D(reduced, 1, padding="same")
        self._se_reduce.build((input_shape[0], 1, 1, input_shape[-1]))
        self._se_expand = keras.layers.Conv2D(self._in_filters, 1, padding="same")
        self._se_expand.build((input_shape[0], 1, 1, reduced))
        super().build(input_shape)

    def get_config(self):
        config = {
            "in_filters": self._in_filters,
            "se_ratio": self._se_ratio,
            "activation": self._activation,
        }
        base_config = super().get_config()
        return dict(list(base_config.items()) + list(config.items()))

    def call(self, inputs):
        x = keras.ops.mean(inputs, axis=(1, 2), keepdims=True)
        x = self._activation_fn(self._se_reduce(x))
        return keras.activations.sigmoid(self._se_expand(x)) * inputs


@vg.register(package="user_models")
class Tiny(vg.Backbone):
    levels: tuple[str, ...] = ("p3",)
    channels: int = 8

    def wire(self, images):
        x = vg.layers.ConvNormAct(self.channels, 3, strides=4, name="stem")(images)
        x = SqueezeExcitation(self.channels, name="se")(x)
        return {"p3": vg.layers.ConvNormAct(self.channels, 3, strides=2, name="stage")(x)}


# Registered with Keras alone, as a user may do.
@keras.saving.register_keras_serializable(package="user_models")
class Wide(Tiny):
    channels: int = 12


@vg.register(package="user_models")
class Watcher(vg.Detector):
    """Subclass with a custom constructor."""

    def __init__(self, channels: int, layers: Any = (), **kwargs: Any):
        super().__init__(
            Wide(channels=channels), vg.decoders.PassOn(levels=("p3",)),
            vg.heads.AnchorFree(num_classes=2, bins=4), image_size=32, **kwargs,
        )  # fmt: skip
        self.channels = channels


def detector(cls=vg.Detector, **kwargs):
    return cls(
        Tiny(), vg.decoders.PassOn(levels=("p3",)), vg.heads.AnchorFree(num_classes=2, bins=4),
        image_size=32, class_map=("cat", "dog"), **kwargs,
    )  # fmt: skip


def classifier(dropout=0.5, **kwargs):
    head = vg.heads.Classification(num_classes=2, dropout=dropout)
    return vg.Classifier(Tiny(), head, image_size=32, **kwargs)


def segmenter(**kwargs):
    decoder = vg.decoders.PassOn(levels=("p3",))
    return vg.Segmenter(Tiny(), decoder, vg.heads.Segmentation(num_classes=3), 32, **kwargs)


def darknet(**kwargs):
    net = "[net]\nwidth=32\nheight=32\n"
    layer = "[conv]\nbatch_normalize=1\nfilters=8\nsize=3\npad=1\nstride=2\nactivation=mish\n"
    return vg.DarknetModel(net + layer + layer, **kwargs)


def frozen():
    model = detector()
    model.backbone.trainable = False
    model.head.layers[-1].trainable = False
    return model


def compiled():
    model = classifier()
    compile_it(model, keras.optimizers.Adam(0.01))
    return model


def plain():
    images = keras.Input((32, 32, 3))
    x = vg.layers.activation("mish")(vg.layers.ConvNormAct(8, 3, name="stem")(images))
    return keras.Model(images, vg.blocks.CSP(8, 1)(x))


def mish_alone():
    return keras.Sequential([keras.Input((32, 32, 3)), vg.layers.activation("mish")])


MODELS = {
    "detector": detector,
    "classifier": classifier,
    "segmenter": segmenter,
    "darknet": darknet,
    "subclass": lambda: Watcher(12),
    "frozen": frozen,
    "fused": lambda: detector().fused(),
    "compiled": compiled,
    "mixed": lambda: detector(dtype="mixed_bfloat16"),
}
PLAIN = {"plain": plain, "mish": mish_alone}


def compile_it(model, optimizer):
    jax = keras.backend.backend() == "jax"
    loss = {"p3": {"classes": keras.losses.CategoricalCrossentropy(from_logits=True)}}
    model.compile(optimizer, loss, jit_compile=jax, run_eagerly=not jax)
