"""Layers whose error shows in training, at another size or in another process only.

`ZOO` maps each class to the check that must fail and a word of its advice. A comment marks the
lines that `visiongarden lint` reports.
"""

import functools
import random

import keras
import numpy as np
from keras import ops

import visiongarden as vg

ZOO = {}
OPTIONS = {}


def register_faulty(check, advice, **options):
    def note(cls):
        ZOO[cls] = (check, advice)
        OPTIONS[cls] = options
        return vg.register(package="subtle")(cls)

    return note


# One layer several times in a container.


@register_faulty("sublayers_apart", "[make() for _ in range(n)]")
class MultipliedList(vg.layers.Composite):
    def __init__(self, filters, depth=3, **kwargs):
        super().__init__(**kwargs)
        self.units = [keras.layers.Conv2D(filters, 3, padding="same")] * depth  # error: VG211

    def call(self, x):
        for unit in self.units:
            x = unit(x)
        return x


@register_faulty("sublayers_apart", "range(n)")
class MultipliedFromLeft(keras.layers.Layer):
    def __init__(self, filters, depth=3, **kwargs):
        super().__init__(**kwargs)
        unit = keras.layers.Conv2D(filters, 3, padding="same")
        self.units = depth * [unit]  # error: VG211

    def call(self, x):
        for unit in self.units:
            x = unit(x)
        return x


@register_faulty("sublayers_apart", "range(n)")
class OneForAllKeys(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.convs = dict.fromkeys(("a", "b"), keras.layers.Dense(filters))  # error: VG211

    def call(self, x):
        return self.convs["a"](x) * self.convs["b"](x)


@register_faulty("sublayers_apart", "range(n)")
class OneInAComprehension(vg.layers.Composite):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        norm = keras.layers.BatchNormalization()
        self.convs = [keras.layers.Conv2D(filters, 1) for _ in range(2)]
        self.norms = [norm for _ in range(2)]  # error: VG211

    def call(self, x):
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = norm(conv(x))
        return x


# A start from which nothing is learned.


@register_faulty("learns", "not both")
class BothFactorsZero(keras.layers.Layer):
    def __init__(self, rank=2, **kwargs):
        super().__init__(**kwargs)
        self.rank = rank

    def build(self, input_shape):
        width = input_shape[-1]
        self.down = self.add_weight(shape=(width, self.rank), initializer="zeros", name="down")
        self.up = self.add_weight(shape=(self.rank, width), initializer="zeros", name="up")

    def call(self, x):
        return x + ops.matmul(ops.matmul(x, self.down), self.up)  # error: VG203


@register_faulty("learns", "not both")
class ZeroGateOnZeroConv(vg.layers.Composite):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(filters, 3, padding="same", kernel_initializer="zeros")
        self.alpha = self.add_weight(shape=(), initializer="zeros", name="alpha")

    def call(self, x):
        return x + self.conv(x) * ops.cast(self.alpha, x.dtype)  # error: VG203


@register_faulty("learns", "not both")
class ZeroPairBelow(vg.layers.Composite):
    """Other weights learn; the pair does not."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.stem = keras.layers.Conv2D(filters, 3, padding="same")
        self.a = keras.layers.Dense(filters, kernel_initializer="zeros", use_bias=False)
        self.b = keras.layers.Dense(filters, kernel_initializer="zeros", use_bias=False)

    def call(self, x):
        x = self.stem(x)
        return x + self.b(self.a(x))  # error: VG203


# Shapes that are right for even sides only.


@register_faulty("static_shape", "compute_output_shape")
class HalvesDown(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.conv = keras.layers.Conv2D(filters, 3, strides=2, padding="same")

    def build(self, input_shape):
        self.conv.build(input_shape)

    def call(self, x):
        return self.conv(x)

    def compute_output_shape(self, input_shape):
        batch, h, w, _ = input_shape
        return (batch, h and h // 2, w and w // 2, self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@register_faulty("static_shape", "compute_output_shape")
class PoolsRoundedUp(keras.layers.Layer):
    def call(self, x):
        return ops.max_pool(x, 2, 2, padding="valid")

    def compute_output_shape(self, input_shape):
        batch, h, w, c = input_shape
        return (batch, h and (h + 1) // 2, w and (w + 1) // 2, c)


@register_faulty("static_shape", "compute_output_shape", inputs=(2, 12, 8))
class ShortensASequence(keras.layers.Layer):
    def call(self, x):
        return x[:, ::2]

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[1] and input_shape[1] // 2, input_shape[2])


# Statistics that nothing updates.


@register_faulty("statistics_updated", "if training")
class NeverUpdatesItsMean(keras.layers.Layer):
    def build(self, input_shape):
        self.running_mean = self.add_weight(  # error: VG214
            shape=(input_shape[-1],), initializer="zeros", trainable=False, name="running_mean"
        )

    def call(self, x, training=False):
        if training:
            return x - ops.mean(x, axis=(0, 1, 2), keepdims=True)
        return x - ops.cast(self.running_mean, x.dtype)


@register_faulty("statistics_updated", "if training")
class UpdatesHalf(keras.layers.Layer):
    def build(self, input_shape):
        width = (input_shape[-1],)
        self.mean = self.add_weight(shape=width, initializer="zeros", trainable=False)
        self.var = self.add_weight(shape=width, initializer="ones", trainable=False)  # error: VG214

    def call(self, x, training=False):
        if training:
            mean = ops.mean(x, axis=(0, 1, 2))
            self.mean.assign(0.9 * self.mean + 0.1 * ops.cast(mean, self.mean.dtype))
        deviation = ops.sqrt(ops.cast(self.var, x.dtype) + 1e-3)
        return (x - ops.cast(self.mean, x.dtype)) / deviation


@register_faulty("statistics_updated", "if training")
class UpdatesAtAFlagOfItsOwn(keras.layers.Layer):
    """The update waits for an attribute that nobody sets."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.is_training = False

    def build(self, input_shape):
        self.average = self.add_weight(
            shape=(input_shape[-1],), initializer="zeros", trainable=False, name="average"
        )

    def call(self, x):
        if self.is_training:
            self.average.assign(ops.mean(x, axis=(0, 1, 2)))
        return x - ops.cast(self.average, x.dtype)


# Random numbers that a trace freezes.


@register_faulty("fresh_noise", "SeedGenerator")
class PythonRandom(keras.layers.Layer):
    def call(self, x, training=False):
        if training and random.random() < 0.5:  # error: VG212
            return x[:, :, ::-1]
        return x


@register_faulty("fresh_noise", "SeedGenerator")
class NumPyRandom(keras.layers.Layer):
    def call(self, x, training=False):
        if training:
            return x * np.random.uniform(0.9, 1.1)  # error: VG212
        return x


@register_faulty("fresh_noise", "SeedGenerator")
class GeneratorOfItsOwn(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.rng = np.random.default_rng(0)

    def call(self, x, training=False):
        if training:
            return x + float(self.rng.normal())  # error: VG212
        return x


@register_faulty("fresh_noise", "SeedGenerator")
class IntegerSeed(keras.layers.Layer):
    def call(self, x, training=False):
        if training:
            return x + keras.random.normal(ops.shape(x), dtype=x.dtype, seed=7)  # error: VG212
        return x


@register_faulty("fresh_noise", "SeedGenerator")
class IntegerSeedAttribute(keras.layers.Layer):
    def __init__(self, rate=0.3, seed=1337, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.seed = rate, seed

    def call(self, x, training=False):
        if training:
            return keras.random.dropout(x, self.rate, seed=self.seed)  # error: VG212
        return x


# Mixed precision that breaks in training only.


@register_faulty("mixed_float16", "x.dtype")
class Float32NoiseInTraining(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seeds = keras.random.SeedGenerator()

    def call(self, x, training=False):
        if training:
            return x + keras.random.normal(ops.shape(x), dtype="float32", seed=self.seeds)
        return x


@register_faulty("mixed_bfloat16", "x.dtype")
class AssignsHalfToItsMean(keras.layers.Layer):
    def build(self, input_shape):
        self.mean = self.add_weight(
            shape=(input_shape[-1],), initializer="zeros", trainable=False, name="mean"
        )

    def call(self, x, training=False):
        if training:
            mean = ops.mean(x, axis=(0, 1, 2))
            mixed = ops.cast(self.mean, "float32") * 0.9 + mean * 0.1
            self.mean.assign(mixed)
            return ops.subtract(x, ops.convert_to_tensor(np.zeros(8, "float32"))) - mean
        return x - ops.cast(self.mean, x.dtype)


# Tensors that should be variables.


@register_faulty("variables_tracked", "add_weight")
class TensorOfOnes(keras.layers.Layer):
    def __init__(self, channels=8, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.w = ops.ones((channels,))  # error: VG213

    def call(self, x):
        return x * ops.cast(self.w, x.dtype)


@register_faulty("variables_tracked", "add_weight")
class TensorMadeInBuild(keras.layers.Layer):
    def build(self, input_shape):
        self.bias = ops.zeros((input_shape[-1],))  # error: VG213

    def call(self, x):
        return x + ops.cast(self.bias, x.dtype)


@register_faulty("variables_tracked", "add_weight")
class RandomTensor(keras.layers.Layer):
    def __init__(self, channels=8, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.kernel = keras.random.normal((channels, channels))  # error: VG213

    def call(self, x):
        return ops.matmul(x, ops.cast(self.kernel, x.dtype))


@register_faulty("variables_tracked", "add_weight")
class TensorsInAList(keras.layers.Layer):
    def __init__(self, channels=8, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.scales = [ops.ones((channels,)) for _ in range(2)]  # error: VG213

    def call(self, x):
        for scale in self.scales:
            x = x * ops.cast(scale, x.dtype)
        return x


# Arrays in the config.


@register_faulty("config_complete", "tolist()", config={"anchors": np.array([1.0, 2.0, 3.0])})
class ArrayInTheConfig(keras.layers.Layer):
    def __init__(self, anchors, **kwargs):
        super().__init__(**kwargs)
        self.anchors = anchors

    def call(self, x):
        return x * float(np.sum(self.anchors))

    def get_config(self):
        return {**super().get_config(), "anchors": self.anchors}


@register_faulty("config_complete", "tolist()")
class ListBecomesAnArray(keras.layers.Layer):
    def __init__(self, sizes=(1.0, 2.0), **kwargs):
        super().__init__(**kwargs)
        self.sizes = np.asarray(sizes, "float32")

    def call(self, x):
        return x * float(self.sizes.sum())

    def get_config(self):
        return {**super().get_config(), "sizes": self.sizes}  # error: VG113


# Layers that Keras does not see.


def stacked(filters):
    convs = [keras.layers.Conv2D(filters, 1) for _ in range(2)]

    def run(x):
        for conv in convs:
            x = conv(x)
        return x

    return run


@register_faulty("variables_tracked", "flat lists")
class HiddenInAClosure(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.run = stacked(filters)  # error: VG111

    def call(self, x):
        return self.run(x)


@register_faulty("variables_tracked", "flat lists")
class ClosureInInit(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        conv = keras.layers.Conv2D(filters, 1)

        def run(x):
            return conv(x)

        self.run = run  # error: VG111

    def call(self, x):
        return self.run(x)


@register_faulty("variables_tracked", "flat lists")
class HiddenInAPartial(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.run = functools.partial(keras.layers.Conv2D(filters, 1))  # error: VG111

    def call(self, x):
        return self.run(x)


# Names that Keras uses itself.


@register_faulty("own_names", "another name")
class PrivateLayerList(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self._layers = [keras.layers.Conv2D(filters, 1) for _ in range(2)]  # error: VG110

    def call(self, x):
        for conv in self._layers:
            x = conv(x)
        return x


@register_faulty("own_names", "another name")
class PrivateLosses(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self._losses = [keras.layers.Conv2D(filters, 1)]  # error: VG110

    def call(self, x):
        for conv in self._losses:
            x = conv(x)
        return x


@register_faulty("own_names", "another name")
class PrivateMetrics(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self._metrics = [keras.layers.Conv2D(filters, 1)]  # error: VG110

    def call(self, x):
        return self._metrics[0](x)


@register_faulty("own_names", "another name")
class PrivateVariables(keras.layers.Layer):
    def build(self, input_shape):
        self._trainable_variables = [  # error: VG110
            self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")
        ]

    def call(self, x):
        return x * self._trainable_variables[0]


@register_faulty("own_names", "another name")
class TakesAProperty(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.weights = keras.layers.Conv2D(filters, 1)  # error: VG110

    def call(self, x):
        return self.weights(x)
