"""Valid layers of many kinds, which must pass every check."""

import keras
import numpy as np
from keras import ops

import visiongarden as vg

ZOO = {}
"""Class -> inputs and config for `check_many`."""


def register_valid(**options):
    def note(cls):
        ZOO[cls] = options
        return vg.register(package="valid")(cls)

    return note


@register_valid()
class WithDropout(vg.layers.Composite):
    def __init__(self, filters, rate=0.3, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")
        self.drop = keras.layers.Dropout(rate)

    def call(self, x):
        return self.drop(self.conv(x))


@register_valid(inputs=(2, 12, 8))
class OverTime(keras.layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.gru = keras.layers.GRU(units, return_sequences=True)

    def build(self, input_shape):
        self.gru.build(input_shape)

    def call(self, x):
        return self.gru(x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@register_valid()
class TwoInputs(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.one = keras.layers.Conv2D(filters, 1)
        self.two = keras.layers.Conv2D(filters, 1)

    def call(self, image, guide):
        return self.one(image) * ops.sigmoid(self.two(guide))


@register_valid()
class DictOutputs(vg.layers.Composite):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.boxes = keras.layers.Conv2D(4, 1)
        self.classes = keras.layers.Conv2D(filters, 1)

    def call(self, x):
        return {"boxes": self.boxes(x), "classes": self.classes(x)}


@register_valid()
class TupleOutputs(keras.layers.Layer):
    def call(self, x):
        return ops.max(x, axis=-1), ops.cast(x > 0, "int32")


@register_valid()
class GroupNormed(vg.layers.Composite):
    def __init__(self, filters, groups=4, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)
        self.norm = keras.layers.GroupNormalization(4)

    def call(self, x):
        return keras.activations.gelu(self.norm(self.conv(x)))


@register_valid(inputs=(2, 12, 8))
class AttentionBlock(vg.layers.Composite):
    def __init__(self, units, num_heads=2, **kwargs):
        super().__init__(**kwargs)
        self.norm1 = keras.layers.LayerNormalization(epsilon=1e-5)
        self.attend = keras.layers.MultiHeadAttention(num_heads, 4)
        self.norm2 = keras.layers.LayerNormalization(epsilon=1e-5)
        self.wide = keras.layers.Dense(2 * units, activation="gelu")
        self.narrow = keras.layers.Dense(units)
        self.sum = vg.layers.Sum()

    def call(self, x):
        y = self.norm1(x)
        x = self.sum([x, self.attend(y, y)])
        return self.sum([x, self.narrow(self.wide(self.norm2(x)))])


@register_valid()
class MovingMean(keras.layers.Layer):
    """State that training alone updates."""

    def build(self, input_shape):
        self.mean = self.add_weight(
            shape=(input_shape[-1],), initializer="zeros", trainable=False, name="mean"
        )

    def call(self, x, training=False):
        if training:
            now = ops.cast(ops.mean(x, axis=(0, 1, 2)), self.mean.dtype)
            self.mean.assign(0.9 * self.mean + 0.1 * now)
        return x - ops.cast(self.mean, x.dtype)


@register_valid()
class SqueezeAndExcite(vg.layers.Composite):
    def __init__(self, filters, ratio=2, **kwargs):
        super().__init__(**kwargs)
        self.pool = keras.layers.GlobalAveragePooling2D(keepdims=True)
        self.narrow = keras.layers.Conv2D(filters // ratio, 1, activation="relu")
        self.wide = keras.layers.Conv2D(filters, 1, activation="sigmoid")

    def call(self, x):
        return x * self.wide(self.narrow(self.pool(x)))


@register_valid()
class GlobalContext(vg.layers.Composite):
    """Adds one vector a picture to every cell: a stretch that is meant."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.pool = keras.layers.GlobalAveragePooling2D(keepdims=True)
        self.mix = keras.layers.Conv2D(filters, 1)

    def call(self, x):
        return x + self.mix(self.pool(x))


@register_valid()
class CoordinateSum(keras.layers.Layer):
    def call(self, x):
        return ops.mean(x, 1, keepdims=True) + ops.mean(x, 2, keepdims=True)


@register_valid()
class LayerScale(keras.layers.Layer):
    """Starts at 0, so that its input gets no gradient at first."""

    def __init__(self, value=0.0, **kwargs):
        super().__init__(**kwargs)
        self.value = value

    def build(self, input_shape):
        self.gamma = self.add_weight(
            shape=(input_shape[-1],), initializer=keras.initializers.Constant(self.value)
        )

    def call(self, x):
        return x * self.gamma


@register_valid()
class DropPath(keras.layers.Layer):
    """Drops whole images' branches in training, by its own random seeds."""

    def __init__(self, rate=0.3, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seeds = keras.random.SeedGenerator(seed)

    def call(self, x, training=False):
        if not training or self.rate == 0:
            return x
        shape = (ops.shape(x)[0],) + (1,) * (len(x.shape) - 1)
        keep = keras.random.uniform(shape, seed=self.seeds) >= self.rate
        return x * ops.cast(keep, x.dtype) / (1 - self.rate)


@register_valid()
class StraightThrough(keras.layers.Layer):
    def call(self, x):
        return x + ops.stop_gradient(ops.round(x) - x)


@register_valid()
class Shuffle(keras.layers.Layer):
    def call(self, x):
        shape, channels = ops.shape(x), x.shape[-1]
        y = ops.reshape(x, (-1, shape[1], shape[2], 2, channels // 2))
        y = ops.transpose(y, (0, 1, 2, 4, 3))
        return ops.reshape(y, (-1, shape[1], shape[2], channels))

    def compute_output_shape(self, input_shape):
        return input_shape


@register_valid()
class WindowAttention(keras.layers.Layer):
    """Folds windows into the batch, and back."""

    def __init__(self, window_size=4, **kwargs):
        super().__init__(**kwargs)
        self.window = window_size
        self.attend = keras.layers.MultiHeadAttention(2, 4)

    def build(self, input_shape):
        tokens = (None, self.window**2, input_shape[-1])
        self.attend.build(tokens, tokens)

    def call(self, x):
        (_, h, w, _), c, s = ops.shape(x), x.shape[-1], self.window
        y = ops.reshape(x, (-1, h // s, s, w // s, s, c))
        y = ops.reshape(ops.transpose(y, (0, 1, 3, 2, 4, 5)), (-1, s * s, c))
        y = ops.reshape(self.attend(y, y), (-1, h // s, w // s, s, s, c))
        return ops.reshape(ops.transpose(y, (0, 1, 3, 2, 4, 5)), (-1, h, w, c))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "window_size": self.window}


@register_valid(inputs=(2, 12, 8))
class ClassToken(keras.layers.Layer):
    def build(self, input_shape):
        self.token = self.add_weight(shape=(1, 1, input_shape[-1]), name="token")
        self.place = self.add_weight(shape=(1, input_shape[1] + 1, input_shape[-1]), name="place")

    def call(self, x):
        shape = (ops.shape(x)[0], 1, x.shape[-1])
        return ops.concatenate([ops.broadcast_to(self.token, shape), x], 1) + self.place


@register_valid()
class SharedTwice(vg.layers.Composite):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(filters, 3, padding="same")

    def call(self, x):
        return self.conv(ops.relu(self.conv(x)))


@register_valid()
class FrozenStem(vg.layers.Composite):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.stem = keras.layers.Conv2D(filters, 3, padding="same", trainable=False)
        self.norm = keras.layers.BatchNormalization(trainable=False)
        self.conv = keras.layers.Conv2D(filters, 1)

    def call(self, x):
        return self.conv(self.norm(self.stem(x)))


@register_valid()
class Float32Scores(vg.layers.Composite):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(filters, 1)
        self.scores = keras.layers.Softmax(dtype="float32")

    def call(self, x):
        return self.scores(self.conv(x))


@register_valid()
class WithASequential(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.body = keras.Sequential(
            [keras.layers.Conv2D(filters, 3, padding="same"), keras.layers.BatchNormalization()]
        )

    def build(self, input_shape):
        self.body.build(input_shape)

    def call(self, x):
        return ops.relu(self.body(x))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@register_valid()
class NestedLists(keras.layers.Layer):
    """Lists in a list, filled before they are attached."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.rows = [[keras.layers.Conv2D(filters, 1) for _ in range(2)] for _ in range(2)]
        self.named = {"last": keras.layers.Conv2D(filters, 1)}

    def call(self, x):
        for row in self.rows:
            for conv in row:
                x = conv(x)
        return self.named["last"](x)


@register_valid(inputs={"p3": (2, 8, 12, 8), "p4": (2, 4, 6, 16)})
class FusesLevels(vg.layers.Composite):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.fine = keras.layers.Conv2D(filters, 1)
        self.coarse = keras.layers.Conv2D(filters, 1)
        self.up = keras.layers.UpSampling2D()
        self.sum = vg.layers.Sum()

    def call(self, features):
        return self.sum([self.fine(features["p3"]), self.up(self.coarse(features["p4"]))])


@register_valid()
class Regularized(keras.layers.Layer):
    """A loss added by `add_loss`; Keras asks for a plain layer then."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(filters, 1, kernel_regularizer="l2")

    def call(self, x):
        y = self.conv(x)
        self.add_loss(ops.mean(ops.square(ops.cast(y, "float32"))))
        return y


@register_valid()
class AdaptiveNorm(keras.layers.Layer):
    """Sums in float32, answers in the policy's own dtype."""

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones")

    def call(self, x):
        y = ops.cast(x, "float32")
        y = y * ops.rsqrt(ops.mean(ops.square(y), axis=-1, keepdims=True) + 1e-6)
        return ops.cast(y, self.compute_dtype) * self.scale


@register_valid(inputs=[(2, 16, 24, 8), (2, 8)])
class Modulated(keras.layers.Layer):
    """A map and a vector in one list."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.conv = keras.layers.Conv2D(filters, 3, padding="same")
        self.dense = keras.layers.Dense(filters)

    def build(self, input_shape):
        self.conv.build(input_shape[0])
        self.dense.build(input_shape[1])

    def call(self, inputs):
        x, vector = inputs
        return self.conv(x) * self.dense(vector)[:, None, None, :]


@register_valid()
class UnusedTrainingArgument(keras.layers.Layer):
    def call(self, x, training=None):
        return ops.silu(x)


@register_valid()
class PatchesOfPixels(keras.layers.Layer):
    def call(self, x):
        return ops.concatenate(
            [x[:, ::2, ::2], x[:, 1::2, ::2], x[:, ::2, 1::2], x[:, 1::2, 1::2]], axis=-1
        )


@register_valid()
class OptionalBranch(vg.layers.Composite):
    def __init__(self, filters, shortcut=None, kernel_sizes=(1, 3), **kwargs):
        super().__init__(**kwargs)
        self.convs = [keras.layers.Conv2D(filters, k, padding="same") for k in kernel_sizes]
        self.shortcut = shortcut

    def call(self, x):
        y = x
        for conv in self.convs:
            y = ops.relu(conv(y))
        return y if self.shortcut is None else y + self.shortcut(x)


@register_valid(inputs=np.array([[1, 2], [3, 0]]))
class Words(keras.layers.Layer):
    """Takes whole numbers."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.table = keras.layers.Embedding(4, units)

    def call(self, x):
        return self.table(x)
