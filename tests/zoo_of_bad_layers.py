"""Layers with common bugs, each with the check that must report its bug.

`ZOO` maps each class to the check that must fail and a part of its advice. The comment `# error:`
marks the lines that `visiongarden lint` reports, with the code.
"""

# ruff: noqa: B006, RUF012

import keras
import numpy as np
from keras import ops

import visiongarden as vg

ZOO = {}
OPTIONS = {}


def faulty(check, advice, **options):
    """Add a class to the zoo, with the check that must fail and a part of its advice."""

    def note(cls):
        ZOO[cls] = (check, advice)
        OPTIONS[cls] = options
        return cls

    return note


@faulty("config_complete", "super().get_config()")
@vg.register(package="zoo")
class ConfigWithoutSuper(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.conv = keras.layers.Conv2D(filters, 3, padding="same")

    def call(self, x):
        return self.conv(x)

    def get_config(self):  # error: VG103
        return {"filters": self.filters}


@faulty("config_complete", "rate")
@vg.register(package="zoo")
class ConfigForgetsOne(keras.layers.Layer):
    def __init__(self, filters, rate=0.5, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.rate = filters, rate
        self.conv = keras.layers.Conv2D(filters, 1)

    def call(self, x):
        return self.conv(x) * self.rate

    def get_config(self):  # error: VG104
        return {**super().get_config(), "filters": self.filters}


@faulty("config_complete", "value that was passed to the constructor")
@vg.register(package="zoo")
class ConfigReturnsAConstant(keras.layers.Layer):
    def __init__(self, filters, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.conv = keras.layers.Conv2D(filters, 1, use_bias=use_bias)

    def call(self, x):
        return self.conv(x)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "use_bias": True}


@faulty("round_trip", "values that were passed to the constructor")
@vg.register(package="zoo")
class ConfigDoubles(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters * 2
        self.conv = keras.layers.Conv2D(self.filters, 1)

    def call(self, x):
        return self.conv(x)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@faulty("round_trip", "super().__init__(**kwargs)")
@vg.register(package="zoo")
class SwallowsKwargs(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__()  # error: VG105
        self.conv = keras.layers.Conv2D(filters, 1)

    def call(self, x):
        return self.conv(x)


@faulty("round_trip", "**kwargs")
@vg.register(package="zoo")
class TakesNoKwargs(keras.layers.Layer):
    def __init__(self, filters):  # error: VG105
        super().__init__()
        self.conv = keras.layers.Conv2D(filters, 1)

    def call(self, x):
        return self.conv(x)


@faulty("runs_from_config", "lists into tuples", config={"window": (2, 2)})
@vg.register(package="zoo")
class TupleComesBackAsList(keras.layers.Layer):
    def __init__(self, window=(2, 2), **kwargs):
        super().__init__(**kwargs)
        self.window = window

    def call(self, x):
        factors = {(2, 2): 2.0, (3, 3): 3.0}
        return x * factors[self.window]


@faulty("config_complete", "get_config")
@vg.register(package="zoo")
class LayerAsArgument(keras.layers.Layer):
    def __init__(self, inner_layer, **kwargs):  # error: VG112
        super().__init__(**kwargs)
        self.inner = inner_layer

    def call(self, x):
        return self.inner(x)


@faulty("config_complete", "lambda", config={"function": lambda x: x * 2})
@vg.register(package="zoo")
class TakesALambda(keras.layers.Layer):
    def __init__(self, function, **kwargs):  # error: VG112
        super().__init__(**kwargs)
        self.function = function

    def call(self, x):
        return self.function(x)


@faulty("reload", "lambda", config={"inner": keras.layers.Lambda(lambda x: x * 2)})
@vg.register(package="zoo")
class HoldsALambdaLayer(vg.layers.Composite):
    def __init__(self, inner=None, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner or keras.layers.Lambda(lambda x: x)  # error: VG107

    def call(self, x):
        return self.inner(x)


@faulty("variables_before_call", "__init__")
@vg.register(package="zoo")
class SublayerMadeInCall(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def call(self, x):
        return keras.layers.Conv2D(self.filters, 3, padding="same")(x)  # error: VG201


@faulty("variables_before_call", "build")
@vg.register(package="zoo")
class MadeInBuildNeverBuilt(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, input_shape):
        self.conv = keras.layers.Conv2D(self.filters, 3, padding="same")  # error: VG102

    def call(self, x):
        return self.conv(x)


@faulty("runs", "__init__")
@vg.register(package="zoo")
class MakesAWeightInCall(keras.layers.Layer):
    def call(self, x):
        scale = self.add_weight(shape=(x.shape[-1],), initializer="ones")  # error: VG201
        return x * scale


@faulty("variables_tracked", "flat lists")
@vg.register(package="zoo")
class RowsFilledLater(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.rows = []
        for _ in range(2):
            row = []
            self.rows.append(row)  # error: VG111
            for _ in range(2):
                row.append(keras.layers.Conv2D(filters, 1))

    def call(self, x):
        for row in self.rows:
            for conv in row:
                x = conv(x)
        return x


class Holder:
    def __init__(self, filters):
        self.conv = keras.layers.Conv2D(filters, 1)


@faulty("variables_tracked", "Keras tracks attributes")
@vg.register(package="zoo")
class HidesALayerInAnObject(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.holder = Holder(filters)  # error: VG111

    def call(self, x):
        return self.holder.conv(x)


@faulty("instances_apart", "class attribute")
@vg.register(package="zoo")
class SharesAClassAttribute(keras.layers.Layer):
    units = []  # error: VG109

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.units.append(keras.layers.Conv2D(filters, 1))

    def call(self, x):
        for unit in self.units:
            x = unit(x)
        return x


@faulty("instances_apart", "mutable default")
@vg.register(package="zoo")
class GrowsItsDefault(keras.layers.Layer):
    def __init__(self, filters, sizes=[3], **kwargs):  # error: VG108
        super().__init__(**kwargs)
        sizes.append(1)
        self.convs = [keras.layers.Conv2D(filters, size, padding="same") for size in sizes]

    def call(self, x):
        for conv in self.convs:
            x = conv(x)
        return x

    def get_config(self):
        return {**super().get_config(), "filters": 8, "sizes": [3]}


@faulty("sublayers_used", "call()")
@vg.register(package="zoo")
class SpareSublayer(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.used = keras.layers.Conv2D(filters, 1)
        self.spare = keras.layers.Conv2D(filters, 1)

    def call(self, x):
        return self.used(x)


@faulty("traces", "ops.where")
@vg.register(package="zoo")
class PythonIf(keras.layers.Layer):
    def call(self, x):
        if ops.mean(x) > 0:  # error: VG202
            return x * 2
        return x


@faulty("traces", "keras.ops")
@vg.register(package="zoo")
class NumpyInCall(keras.layers.Layer):
    def call(self, x):
        return ops.convert_to_tensor(np.tanh(x))  # error: VG204


@faulty("input_gradient", "NumPy")
@vg.register(package="zoo")
class NumpyBehindAShape(keras.layers.Layer):
    def call(self, x):
        return ops.convert_to_tensor(x.numpy() * 2)  # error: VG205

    def compute_output_shape(self, input_shape):
        return input_shape


@faulty("static_shape", "compute_output_shape")
@vg.register(package="zoo")
class WrongOutputShape(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(filters, 3, strides=2, padding="same")

    def call(self, x):
        return self.conv(x)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:3], self.conv.filters)


@faulty("open_sides", "ops.shape", inputs=(2, 32, 32, 8))
@vg.register(package="zoo")
class HardCodedSides(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.mix = keras.layers.Dense(filters)

    def call(self, x):
        y = self.mix(ops.reshape(x, (-1, 32 * 32, 8)))  # error: VG206
        return ops.reshape(y, (-1, 32, 32, 8))  # error: VG206


@faulty("batch_independence", "first axis")
@vg.register(package="zoo")
class FoldsTheBatch(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.mix = keras.layers.Dense(filters)

    def call(self, x):
        return self.mix(ops.reshape(x, (-1, x.shape[-1])))


@faulty("batch_independence", "axis 0")
@vg.register(package="zoo")
class MixesTheBatch(keras.layers.Layer):
    def call(self, x):
        shape = ops.shape(x)
        y = ops.reshape(x, (shape[1], shape[0], shape[2], x.shape[-1]))
        return ops.reshape(ops.flip(ops.transpose(y, (1, 0, 2, 3)), 1), shape)


@faulty("batch_independence", "batch statistics")
@vg.register(package="zoo")
class BatchStatisticsAlways(keras.layers.Layer):
    def call(self, x):
        mean = ops.mean(x, axis=(0, 1, 2), keepdims=True)
        return (x - mean) / (ops.std(x, axis=(0, 1, 2), keepdims=True) + 1e-3)


@faulty("batch_independence", "training")
@vg.register(package="zoo")
class NormalizesAsInTraining(vg.layers.Composite):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(filters, 1)
        self.norm = keras.layers.LayerNormalization(axis=(0, 1, 2, 3), center=False, scale=False)

    def call(self, x):
        return self.norm(self.conv(x))


@faulty("broadcasting", "vg.layers.Sum")
@vg.register(package="zoo")
class BroadcastSkip(vg.layers.Composite):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(filters, 3, padding="same")
        self.gate = keras.layers.Conv2D(1, 1)

    def call(self, x):
        return self.conv(x) + self.gate(x)  # error: VG203


@faulty("broadcasting", "vg.layers.Sum")
@vg.register(package="zoo")
class BroadcastByAdd(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.gate = keras.layers.Conv2D(1, 1)
        self.conv = keras.layers.Conv2D(filters, 3, padding="same")
        self.add = keras.layers.Add()

    def call(self, x):
        return self.add([self.conv(x), self.gate(x)])


@faulty("mixed_float16", "x.dtype")
@vg.register(package="zoo")
class CastsToFloat32(keras.layers.Layer):
    def call(self, x):
        return ops.tanh(ops.cast(x, "float32"))  # error: VG207


@faulty("mixed_float16", "65504")
@vg.register(package="zoo")
class SoftmaxByHand(keras.layers.Layer):
    def call(self, x):
        y = ops.exp(x)
        return y / ops.sum(y, axis=-1, keepdims=True)


@faulty("mixed_float16", "epsilons")
@vg.register(package="zoo")
class TinyEpsilon(keras.layers.Layer):
    def call(self, x):
        return x / (ops.sqrt(ops.sum(x * x, axis=-1, keepdims=True)) + 1e-9)


@faulty("gradients", "differentiable")
@vg.register(package="zoo")
class UnusedBranch(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.one = keras.layers.Conv2D(filters, 1)
        self.two = keras.layers.Conv2D(filters, 1)

    def call(self, x):
        y, _ = self.one(x), self.two(x)
        return y


@faulty("gradients", "rounding")
@vg.register(package="zoo")
class RoundsItsWeights(keras.layers.Layer):
    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")

    def call(self, x):
        return x * ops.round(self.scale)


@faulty("repeatable", "training")
@vg.register(package="zoo")
class NoiseInInference(keras.layers.Layer):
    def call(self, x):
        return x + 0.1 * keras.random.normal(ops.shape(x), dtype=x.dtype)  # error: VG208


@faulty("repeatable", "Dropout")
@vg.register(package="zoo")
class DropsAlways(keras.layers.Layer):
    def __init__(self, rate=0.5, **kwargs):
        super().__init__(**kwargs)
        self.drop = keras.layers.Dropout(rate)

    def call(self, x):
        return self.drop(x, training=True)  # error: VG209


@faulty("repeatable", "if training")
@vg.register(package="zoo")
class CountsInInference(keras.layers.Layer):
    def build(self, input_shape):
        self.mean = self.add_weight(shape=(), initializer="zeros", trainable=False, name="mean")

    def call(self, x):
        self.mean.assign(0.9 * self.mean + 0.1 * ops.mean(x))
        return x * 2


@faulty("training", "training=False")
@vg.register(package="zoo")
class NeverDrops(keras.layers.Layer):
    def __init__(self, rate=0.5, **kwargs):
        super().__init__(**kwargs)
        self.drop = keras.layers.Dropout(rate)

    def call(self, x):
        return self.drop(x, training=False) * 2


@faulty("training", "training=False")
@vg.register(package="zoo")
class TrainsByDefault(keras.layers.Layer):
    def __init__(self, rate=0.5, **kwargs):
        super().__init__(**kwargs)
        self.drop = keras.layers.Dropout(rate)

    def call(self, x, training=True):
        return self.drop(x, training=training) * 2


@faulty("variables_tracked", "different names")
@vg.register(package="zoo")
class OneNameForTwo(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.one = keras.layers.Conv2D(filters, 1, name="conv")
        self.two = keras.layers.Conv2D(filters, 3, padding="same", name="conv")

    def call(self, x):
        return self.two(self.one(x))


@faulty("reload", "every argument in the config")
@vg.register(package="zoo")
class DrawsAConstant(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.factors = np.random.default_rng().normal(size=filters).astype("float32")

    def call(self, x):
        return x * ops.cast(self.factors, x.dtype)


@faulty("traces", "stride")
@vg.register(package="zoo")
class WrongStride(vg.Decoder):
    def wire(self, features):
        return {level: keras.layers.MaxPooling2D(2)(x) for level, x in features.items()}


@faulty("registered", "vg.register")
class NotRegistered(keras.layers.Layer):  # error: VG101
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(filters, 1)

    def call(self, x):
        return self.conv(x)


@faulty("registered", "one class")
@keras.saving.register_keras_serializable("zoo", "SameName")
class FirstOfTheName(keras.layers.Layer):
    def call(self, x):
        return x * 2


@keras.saving.register_keras_serializable("zoo", "SameName")
class SecondOfTheName(keras.layers.Layer):
    def call(self, x):
        return x * 3


@faulty("runs", "another name")
@vg.register(package="zoo")
class TakesTheNameOfAProperty(keras.layers.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.path = keras.layers.Conv2D(filters, 1)  # error: VG110

    def call(self, x):
        return self.path(x)


@faulty("runs", "0")
@vg.register(package="zoo")
class RootOfNegatives(keras.layers.Layer):
    def call(self, x):
        return ops.sqrt(x)
