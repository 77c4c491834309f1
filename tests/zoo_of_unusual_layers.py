"""Valid layers that are written in unusual ways, and must pass every check.

`ZOO` maps each class to options of `check_many`; several follow Keras's guides on custom layers.
"""

import keras
import numpy as np
from keras import ops

import visiongarden as vg

ZOO = {}
"""Class -> inputs and config for `check_many`."""


def register_valid(**options):
    def note(cls):
        ZOO[cls] = options
        return vg.register(package="unusual")(cls)

    return note


@register_valid(inputs=(2, 4, 16, 24, 3))
class OverFrames(keras.layers.Layer):
    """ConvLSTM2D holds a seed for its dropout."""

    def __init__(self, filters=8, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.recurrent = keras.layers.ConvLSTM2D(filters, 3, padding="same", dropout=0.1)

    def build(self, input_shape):
        self.recurrent.build(input_shape)

    def call(self, x):
        return self.recurrent(x)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@register_valid(inputs=(2, 12, 8))
class RecurrentDropout(keras.layers.Layer):
    def __init__(self, units=6, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.gru = keras.layers.GRU(units, dropout=0.2, recurrent_dropout=0.2)

    def build(self, input_shape):
        self.gru.build(input_shape)

    def call(self, x, training=False):
        return self.gru(x, training=training)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@register_valid()
class WeightStandardizedConv(keras.layers.Conv2D):
    """A subclass of Conv2D with Conv2D's own arguments: kernel_size=4 becomes (4, 4)."""

    def call(self, x):
        kernel = ops.cast(self.kernel, "float32")
        mean = ops.mean(kernel, axis=(0, 1, 2), keepdims=True)
        deviation = ops.std(kernel, axis=(0, 1, 2), keepdims=True)
        kernel = ops.cast((kernel - mean) / (deviation + 1e-5), x.dtype)
        y = ops.conv(x, kernel, self.strides, self.padding, self.data_format, self.dilation_rate)
        return y + ops.cast(self.bias, y.dtype) if self.use_bias else y


@register_valid()
class NormedConv(keras.layers.Conv2D):
    """A subclass of Conv2D with additional arguments before Conv2D's."""

    def __init__(self, filters, kernel_size=3, scale=1.0, **kwargs):
        super().__init__(filters, kernel_size, padding="same", **kwargs)
        self.scale = scale

    def call(self, x):
        return super().call(x) * self.scale

    def get_config(self):
        config = super().get_config() | {"scale": self.scale}
        config.pop("padding")
        return config


@register_valid(config={"layer": keras.layers.Conv2D(8, 3, padding="same")})
class SpectralWrapper(keras.layers.Wrapper):
    """Keras's own base of wrappers; the wrapped layer keeps its policy."""

    def call(self, x):
        return self.layer(x)


@register_valid(config={"layer": keras.layers.Conv2D(8, 3, padding="same")})
class ResidualWrapper(keras.layers.Layer):
    """A wrapper around a layer argument, with its own config."""

    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape):
        if not self.layer.built:
            self.layer.build(input_shape)

    def call(self, x):
        return x + self.layer(x)

    def get_config(self):
        layer = keras.saving.serialize_keras_object(self.layer)
        return {**super().get_config(), "layer": layer}

    @classmethod
    def from_config(cls, config):
        layer = keras.saving.deserialize_keras_object(config.pop("layer"))
        return cls(layer, **config)


@register_valid(config={"inner": keras.layers.Conv2D(8, 3, padding="same")})
class CompositeWrapper(vg.layers.Composite):
    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def call(self, x):
        return ops.silu(self.inner(x))


@register_valid(
    config={"branches": [keras.layers.Conv2D(4, 1), keras.layers.Conv2D(4, 3, padding="same")]}
)
class Branches(vg.layers.Composite):
    """Takes a list of layers."""

    def __init__(self, branches, **kwargs):
        super().__init__(**kwargs)
        self.branches = list(branches)

    def call(self, x):
        return ops.concatenate([branch(x) for branch in self.branches], axis=-1)


@register_valid(config={"experts": {"a": keras.layers.Dense(8), "b": keras.layers.Dense(8)}})
class Experts(keras.layers.Layer):
    """Takes a dict of layers."""

    def __init__(self, experts, **kwargs):
        super().__init__(**kwargs)
        self.experts = experts

    def build(self, input_shape):
        for expert in self.experts.values():
            if not expert.built:  # a layer that comes out of a config is built already
                expert.build(input_shape)

    def call(self, x):
        return self.experts["a"](x) * self.experts["b"](x)

    def get_config(self):
        experts = {k: keras.saving.serialize_keras_object(v) for k, v in self.experts.items()}
        return {**super().get_config(), "experts": experts}

    @classmethod
    def from_config(cls, config):
        experts = config.pop("experts")
        made = {k: keras.saving.deserialize_keras_object(v) for k, v in experts.items()}
        return cls(made, **config)


@register_valid()
class MadeInBuild(keras.layers.Layer):
    """Sublayers made, and built, in build."""

    def __init__(self, filters, depth=2, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.depth = filters, depth

    def build(self, input_shape):
        self.convs = []
        shape = input_shape
        for _ in range(self.depth):
            conv = keras.layers.Conv2D(self.filters, 3, padding="same")
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
            self.convs.append(conv)

    def call(self, x):
        for conv in self.convs:
            x = conv(x)
        return x

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "depth": self.depth}


@register_valid()
class WidthOfItsInput(keras.layers.Layer):
    """Makes a sublayer in build because its width is that of the input."""

    def build(self, input_shape):
        self.conv = keras.layers.Conv2D(input_shape[-1], 3, padding="same")
        self.norm = keras.layers.BatchNormalization()
        self.conv.build(input_shape)
        self.norm.build(input_shape)

    def call(self, x, training=None):
        return ops.relu(self.norm(self.conv(x), training=training))


@register_valid()
class ActivityPenalty(keras.layers.Layer):
    """Keras's guide: add_loss in call."""

    def __init__(self, rate=1e-2, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, x):
        self.add_loss(self.rate * ops.mean(ops.square(ops.cast(x, "float32"))))
        return x

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


@register_valid(inputs=(2, 8))
class CountsWithAMetric(keras.layers.Layer):
    """Keras's guide: a metric as an attribute, updated in call."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.mean = keras.metrics.Mean(name="activation")
        self.dense = keras.layers.Dense(units)

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, x, training=False):
        y = self.dense(x)
        if training:
            self.mean.update_state(ops.cast(y, "float32"))
        return y

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@register_valid(inputs=np.array([[1, 2, 0], [3, 0, 0]]))
class MaskedWords(keras.layers.Layer):
    """Keras's guide: a layer that makes a mask, and one that takes it."""

    def __init__(self, units=8, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.table = keras.layers.Embedding(4, units, mask_zero=True)
        self.lstm = keras.layers.LSTM(units)

    def build(self, input_shape):
        self.table.build(input_shape)
        self.lstm.build((*input_shape, self.units))

    def call(self, x):
        return self.lstm(self.table(x), mask=self.table.compute_mask(x))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@register_valid(inputs=(2, 12, 8))
class MaskedMean(keras.layers.Layer):
    """Takes a mask that need not be there."""

    supports_masking = True

    def call(self, x, mask=None):
        if mask is None:
            return ops.mean(x, axis=1)
        weights = ops.cast(mask, x.dtype)[..., None]
        return ops.sum(x * weights, axis=1) / (ops.sum(weights, axis=1) + 1e-3)

    def compute_mask(self, inputs, mask=None):
        return None


@register_valid()
class NoisyInTraining(keras.layers.Layer):
    """Keras's guide: its own random seed generator, numbers in training alone."""

    def __init__(self, rate=0.1, seed=1337, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.seed = rate, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x, training=None):
        if training:
            noise = keras.random.normal(ops.shape(x), dtype=x.dtype, seed=self.seed_generator)
            return x + self.rate * noise
        return x

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@register_valid(inputs=(2, 8))
class Antirectifier(keras.layers.Layer):
    """Keras's example of a custom layer."""

    def __init__(self, initializer="he_normal", **kwargs):
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape):
        size = input_shape[-1]
        self.kernel = self.add_weight(
            shape=(size * 2, size), initializer=self.initializer, name="kernel", trainable=True
        )

    def call(self, inputs):
        inputs = inputs - ops.mean(inputs, axis=-1, keepdims=True)
        pos, neg = ops.relu(inputs), ops.relu(-inputs)
        mixed = ops.matmul(ops.concatenate([pos, neg], axis=-1), self.kernel)
        return mixed

    def get_config(self):
        base_config = super().get_config()
        config = {"initializer": keras.initializers.serialize(self.initializer)}
        return dict(list(base_config.items()) + list(config.items()))


@register_valid(inputs=(2, 8))
class Linear(keras.layers.Layer):
    """Keras's guide: weights by add_weight, in build."""

    def __init__(self, units=32, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.w = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="random_normal", trainable=True
        )
        self.b = self.add_weight(shape=(self.units,), initializer="random_normal", trainable=True)

    def call(self, inputs):
        return ops.matmul(inputs, self.w) + self.b

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@register_valid(inputs=(2, 8))
class MLPBlock(keras.layers.Layer):
    """Keras's guide: sublayers without a build of their own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.linear_1 = Linear(32)
        self.linear_2 = Linear(32)
        self.linear_3 = Linear(1)

    def call(self, inputs):
        x = ops.relu(self.linear_1(inputs))
        x = ops.relu(self.linear_2(x))
        return self.linear_3(x)


@register_valid(inputs=(2, 8))
class ComputeSum(keras.layers.Layer):
    """Keras's guide: weights that are not trained."""

    def __init__(self, input_dim=8, **kwargs):
        super().__init__(**kwargs)
        self.input_dim = input_dim
        self.total = self.add_weight(initializer="zeros", shape=(input_dim,), trainable=False)

    def call(self, inputs, training=False):
        if training:
            self.total.assign_add(ops.cast(ops.sum(inputs, axis=0), self.total.dtype))
        return inputs + ops.cast(self.total, inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "input_dim": self.input_dim}


@register_valid(inputs=(2, 8))
class VariationalSampling(keras.layers.Layer):
    """Keras's example of a VAE, with sampling in training."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.mean = keras.layers.Dense(units)
        self.log_var = keras.layers.Dense(units)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def build(self, input_shape):
        self.mean.build(input_shape)
        self.log_var.build(input_shape)

    def call(self, inputs, training=False):
        mean, log_var = self.mean(inputs), self.log_var(inputs)
        kl = -0.5 * ops.mean(log_var - ops.square(mean) - ops.exp(log_var) + 1)
        self.add_loss(ops.cast(kl, "float32"))
        if not training:
            return mean
        noise = keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_var) * noise

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@register_valid()
class SpectralConv(keras.layers.Layer):
    """Spectral normalization: a vector that training updates by power iteration."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.filters), initializer="glorot_uniform", name="kernel"
        )
        self.u = self.add_weight(
            shape=(1, self.filters), initializer="random_normal", trainable=False, name="u"
        )

    def call(self, x, training=False):
        kernel = ops.cast(self.kernel, "float32")
        u = ops.cast(self.u, "float32")
        v = ops.normalize(ops.matmul(u, ops.transpose(kernel)), axis=-1)
        u = ops.normalize(ops.matmul(v, kernel), axis=-1)
        u, v = ops.stop_gradient(u), ops.stop_gradient(v)
        if training:
            self.u.assign(ops.cast(u, self.u.dtype))
        sigma = ops.matmul(ops.matmul(v, kernel), ops.transpose(u))
        return ops.matmul(x, ops.cast(kernel / sigma, x.dtype))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@register_valid()
class ExponentialAverage(keras.layers.Layer):
    """Normalizes by moving statistics that start at 0 and 1, as BatchNormalization's."""

    def __init__(self, momentum=0.9, **kwargs):
        super().__init__(**kwargs)
        self.momentum = momentum

    def build(self, input_shape):
        width = (input_shape[-1],)
        self.gamma = self.add_weight(shape=width, initializer="ones", name="gamma")
        self.average = self.add_weight(
            shape=width, initializer="zeros", trainable=False, name="average"
        )

    def call(self, x, training=None):
        if training:
            mean = ops.mean(ops.cast(x, "float32"), axis=(0, 1, 2))
            average = ops.cast(self.average, "float32")
            self.average.assign(average * self.momentum + mean * (1 - self.momentum))
            return (x - ops.cast(mean, x.dtype)) * self.gamma
        return (x - ops.cast(self.average, x.dtype)) * self.gamma

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum}


@register_valid()
class FixedFilter(keras.layers.Layer):
    """A constant kernel as a weight that is not trained: blur before subsampling."""

    def build(self, input_shape):
        line = np.array([1.0, 2.0, 1.0])
        kernel = np.outer(line, line) / 16
        self.kernel = self.add_weight(
            shape=(3, 3, input_shape[-1], 1),
            initializer=lambda shape, dtype=None: ops.broadcast_to(
                ops.convert_to_tensor(kernel[:, :, None, None], dtype=dtype), shape
            ),
            trainable=False,
            name="kernel",
        )

    def call(self, x):
        return ops.depthwise_conv(x, ops.cast(self.kernel, x.dtype), 2, "same")


@register_valid()
class ConstantsOfNumPy(keras.layers.Layer):
    """A constant array made in __init__ by a fixed formula is the same in each process."""

    def __init__(self, channels=8, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self._factors = np.linspace(0.5, 1.5, channels).astype("float32")

    def call(self, x):
        return x * ops.cast(self._factors, x.dtype)

    def get_config(self):
        return {**super().get_config(), "channels": self.channels}


@register_valid(inputs=[(2, 12, 8), (2, 5, 8)])
class CrossAttention(keras.layers.Layer):
    """Attention with an optional mask and two inputs."""

    def __init__(self, num_heads=2, key_dim=4, **kwargs):
        super().__init__(**kwargs)
        self.num_heads, self.key_dim = num_heads, key_dim
        self.attend = keras.layers.MultiHeadAttention(num_heads, key_dim, dropout=0.1)

    def build(self, query_shape, context_shape):
        self.attend.build(query_shape, context_shape)

    def call(self, query, context, attention_mask=None, training=False):
        return self.attend(query, context, attention_mask=attention_mask, training=training)

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads, "key_dim": self.key_dim}


@register_valid(inputs=(2, 12, 8))
class OptionalContext(keras.layers.Layer):
    """Attends to itself where no context is given."""

    def __init__(self, num_heads=2, key_dim=4, **kwargs):
        super().__init__(**kwargs)
        self.num_heads, self.key_dim = num_heads, key_dim
        self.attend = keras.layers.MultiHeadAttention(num_heads, key_dim)

    def build(self, query_shape, context_shape=None):
        self.attend.build(query_shape, context_shape or query_shape)

    def call(self, query, context=None):
        return self.attend(query, query if context is None else context)

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads, "key_dim": self.key_dim}


@register_valid(inputs={"image": (2, 16, 24, 8), "vector": (2, 5)})
class DictInputs(keras.layers.Layer):
    def __init__(self, filters=8, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.conv = keras.layers.Conv2D(filters, 1)
        self.dense = keras.layers.Dense(filters)

    def build(self, input_shape):
        self.conv.build(input_shape["image"])
        self.dense.build(input_shape["vector"])

    def call(self, inputs):
        return self.conv(inputs["image"]) * self.dense(inputs["vector"])[:, None, None, :]

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@register_valid(inputs=(2, 16, 24, 3))
class Patches(keras.layers.Layer):
    """Image to tokens, with a class token and positions."""

    def __init__(self, width=8, patch=4, **kwargs):
        super().__init__(**kwargs)
        self.width, self.patch = width, patch
        self.embed = keras.layers.Conv2D(width, patch, strides=patch)

    def build(self, input_shape):
        self.embed.build(input_shape)
        count = (input_shape[1] // self.patch) * (input_shape[2] // self.patch)
        self.token = self.add_weight(shape=(1, 1, self.width), initializer="zeros", name="token")
        self.positions = self.add_weight(
            shape=(1, count + 1, self.width), initializer="random_normal", name="positions"
        )

    def call(self, x):
        y = self.embed(x)
        y = ops.reshape(y, (-1, y.shape[1] * y.shape[2], self.width))
        token = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, self.width))
        return ops.concatenate([ops.cast(token, y.dtype), y], axis=1) + self.positions

    def get_config(self):
        return {**super().get_config(), "width": self.width, "patch": self.patch}


@register_valid()
class FourierMixer(keras.layers.Layer):
    """A Fourier transform, which ONNX does not export."""

    def call(self, x):
        y = ops.cast(ops.transpose(x, (0, 3, 1, 2)), "float32")
        real, _ = ops.fft2((y, ops.zeros_like(y)))
        return ops.cast(ops.transpose(real, (0, 2, 3, 1)) / 20, x.dtype)


@register_valid(inputs=(2, 12, 8))
class Codebook(keras.layers.Layer):
    """Vector quantization: argmin, straight-through gradient and a commitment loss."""

    def __init__(self, codes=5, **kwargs):
        super().__init__(**kwargs)
        self.codes = codes

    def build(self, input_shape):
        self.book = self.add_weight(
            shape=(self.codes, input_shape[-1]), initializer="random_normal", name="book"
        )

    def call(self, x):
        book = ops.cast(self.book, x.dtype)
        distance = ops.sum(ops.square(x[:, :, None] - book), axis=-1)
        nearest = ops.take(book, ops.argmin(distance, axis=-1), axis=0)
        self.add_loss(ops.cast(ops.mean(ops.square(nearest - ops.stop_gradient(x))), "float32"))
        return x + ops.stop_gradient(nearest - x)

    def get_config(self):
        return {**super().get_config(), "codes": self.codes}


@register_valid()
class LowRankAdapter(keras.layers.Layer):
    """LoRA: one factor starts at zero, the other does not."""

    def __init__(self, filters, rank=2, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.rank = filters, rank
        self.base = keras.layers.Dense(filters, trainable=False)
        self.down = keras.layers.Dense(rank, use_bias=False)
        self.up = keras.layers.Dense(filters, use_bias=False, kernel_initializer="zeros")

    def build(self, input_shape):
        self.base.build(input_shape)
        self.down.build(input_shape)
        self.up.build((*input_shape[:-1], self.rank))

    def call(self, x):
        return self.base(x) + self.up(self.down(x))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "rank": self.rank}


@register_valid()
class ReZero(vg.layers.Composite):
    """A branch that a scalar of zero switches off at the start."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(filters, 3, padding="same")
        self.alpha = self.add_weight(shape=(), initializer="zeros", name="alpha")

    def call(self, x):
        return x + self.conv(x) * ops.cast(self.alpha, x.dtype)


@register_valid()
class ZeroInitGamma(vg.layers.Composite):
    """The last batch normalization of a residual branch starts at zero (Goyal et al. 2017)."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.conv1 = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)
        self.norm1 = keras.layers.BatchNormalization()
        self.conv2 = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)
        self.norm2 = keras.layers.BatchNormalization(gamma_initializer="zeros")

    def call(self, x):
        y = ops.relu(self.norm1(self.conv1(x)))
        return ops.relu(x + self.norm2(self.conv2(y)))


@register_valid()
class TwoUsesOfOneUnit(vg.layers.Composite):
    """One unit applied twice on purpose, by a loop over a count."""

    def __init__(self, filters, repeats=2, **kwargs):
        super().__init__(**kwargs)
        self.repeats = repeats
        self.unit = keras.layers.Conv2D(filters, 3, padding="same")

    def call(self, x):
        for _ in range(self.repeats):
            x = ops.relu(self.unit(x))
        return x


@register_valid()
class CropsToEven(keras.layers.Layer):
    """A shape that is right for odd sizes, too."""

    def call(self, x):
        h, w = ops.shape(x)[1] // 2 * 2, ops.shape(x)[2] // 2 * 2
        return x[:, :h, :w][:, ::2, ::2]

    def compute_output_shape(self, input_shape):
        batch, h, w, c = input_shape
        return (batch, None if h is None else h // 2, None if w is None else w // 2, c)


@register_valid()
class RoundsUp(keras.layers.Layer):
    """Pools with padding: (n + 1) // 2."""

    def call(self, x):
        return ops.max_pool(x, 2, 2, padding="same")

    def compute_output_shape(self, input_shape):
        batch, h, w, c = input_shape
        return (batch, None if h is None else -(-h // 2), None if w is None else -(-w // 2), c)


@register_valid()
class EvenSidesOnly(keras.layers.Layer):
    """Folds 2 x 2 cells into channels; needs even sides, and raises an error otherwise."""

    def call(self, x):
        shape, c = ops.shape(x), x.shape[-1]
        y = ops.reshape(x, (-1, shape[1] // 2, 2, shape[2] // 2, 2, c))
        y = ops.transpose(y, (0, 1, 3, 2, 4, 5))
        return ops.reshape(y, (-1, shape[1] // 2, shape[2] // 2, 4 * c))

    def compute_output_shape(self, input_shape):
        batch, h, w, c = input_shape
        return (batch, None if h is None else h // 2, None if w is None else w // 2, 4 * c)


@register_valid(config={"activation": "gelu"})
class TakesAnActivation(keras.layers.Layer):
    def __init__(self, filters=8, activation=None, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.filters), initializer=self.kernel_initializer
        )

    def call(self, x):
        return self.activation(ops.matmul(x, self.kernel))

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@register_valid(inputs=(2, 12, 8))
class StochasticBlock(vg.layers.Composite):
    """Dropout in several places."""

    def __init__(self, units=8, rate=0.2, **kwargs):
        super().__init__(**kwargs)
        self.attend = keras.layers.MultiHeadAttention(2, 4, dropout=rate)
        self.drop = keras.layers.Dropout(rate)
        self.noise = keras.layers.GaussianNoise(0.1)
        self.dense = keras.layers.Dense(units)

    def call(self, x, training=None):
        y = self.drop(self.attend(x, x, training=training), training=training)
        return self.noise(self.dense(x + y), training=training)


@register_valid()
class Flips(keras.layers.Layer):
    """Augmentation as a layer: random in training alone."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.flip = keras.layers.RandomFlip("horizontal", seed=1)

    def call(self, x, training=False):
        return self.flip(x, training=training)


@register_valid(inputs=(2, 16, 24, 3))
class Normalizes(keras.layers.Layer):
    """Statistics that `adapt` or the constructor sets are constants, not running statistics."""

    def __init__(self, mean=(0.4, 0.5, 0.6), variance=(0.1, 0.2, 0.3), **kwargs):
        super().__init__(**kwargs)
        self.mean, self.variance = tuple(mean), tuple(variance)
        self.norm = keras.layers.Normalization(mean=self.mean, variance=self.variance)

    def build(self, input_shape):
        self.norm.build(input_shape)

    def call(self, x):
        return self.norm(x)

    def get_config(self):
        return {**super().get_config(), "mean": self.mean, "variance": self.variance}


@register_valid()
class FrozenStatistics(vg.layers.Composite):
    """Batch normalization that stays in inference mode, for fine-tuning."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(filters, 1)
        self.norm = keras.layers.BatchNormalization(trainable=False)

    def call(self, x):
        return self.norm(self.conv(x), training=False)


@register_valid()
class BufferWithoutTraining(keras.layers.Layer):
    """A fixed random projection: a weight that is never trained and never updated."""

    def build(self, input_shape):
        self.projection = self.add_weight(
            shape=(input_shape[-1], 6), initializer="random_normal", trainable=False
        )

    def call(self, x):
        return ops.matmul(x, self.projection)


@register_valid(inputs=(2, 12, 8))
class RotaryPositions(keras.layers.Layer):
    """Tables that are computed in call from static shapes."""

    def call(self, x):
        n, c = x.shape[1], x.shape[2] // 2
        angles = np.outer(np.arange(n), 1 / 100 ** (np.arange(c) / c)).astype("float32")
        cos, sin = (ops.cast(ops.convert_to_tensor(f(angles)), x.dtype) for f in (np.cos, np.sin))
        a, b = x[..., :c], x[..., c:]
        return ops.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


@register_valid(inputs=[(2, 16, 24, 8), (2, 16, 24, 8)])
class ListOfTwo(keras.layers.Layer):
    """A layer of one list; no build."""

    def call(self, inputs):
        a, b = inputs
        return ops.maximum(a, b)


@register_valid(inputs=(2, 16, 24, 8))
class ManyOutputs(keras.layers.Layer):
    def __init__(self, filters=4, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.a = keras.layers.Conv2D(filters, 1)
        self.b = keras.layers.Conv2D(filters, 3, strides=2, padding="same")

    def build(self, input_shape):
        self.a.build(input_shape)
        self.b.build(input_shape)

    def call(self, x):
        return [self.a(x), {"b": self.b(x), "pooled": ops.mean(x, axis=(1, 2))}]

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@register_valid()
class GroupedAndDilated(vg.layers.Composite):
    def __init__(self, filters, groups=2, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(filters, 3, padding="same", groups=groups)
        self.wide = keras.layers.Conv2D(filters, 3, padding="same", dilation_rate=2)
        self.depth = keras.layers.DepthwiseConv2D(3, padding="same")
        self.up = keras.layers.Conv2DTranspose(filters, 2, strides=2)

    def call(self, x):
        return self.up(self.depth(self.wide(self.conv(x))))


@register_valid(config={"norm": "layer"})
class ChoosesByName(vg.layers.Composite):
    """A string that picks a class; other strings are refused with an error."""

    def __init__(self, filters=8, norm="batch", **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(filters, 1)
        kinds = {
            "batch": keras.layers.BatchNormalization,
            "layer": keras.layers.LayerNormalization,
        }
        self.norm = kinds[norm]()

    def call(self, x):
        return self.norm(self.conv(x))


@register_valid()
class Invertible(keras.layers.Layer):
    """A custom method beside call."""

    def build(self, input_shape):
        self.log_scale = self.add_weight(shape=(input_shape[-1],), initializer="zeros")

    def call(self, x, inverse=False):
        scale = ops.exp(self.log_scale)
        return x / scale if inverse else x * scale


@register_valid(inputs=(2, 12, 8))
class CellOfItsOwn(keras.layers.Layer):
    """A recurrent cell inside keras.layers.RNN."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.rnn = keras.layers.RNN(keras.layers.LSTMCell(units), return_sequences=True)

    def build(self, input_shape):
        self.rnn.build(input_shape)

    def call(self, x):
        return self.rnn(x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@register_valid(inputs=(2, 4, 16, 24, 8))
class EachFrame(vg.layers.Composite):
    def __init__(self, filters=8, **kwargs):
        super().__init__(**kwargs)
        self.each = keras.layers.TimeDistributed(keras.layers.Conv2D(filters, 1))

    def call(self, x):
        return self.each(x)


@register_valid(inputs=(2, 12, 8))
class BothDirections(vg.layers.Composite):
    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.both = keras.layers.Bidirectional(keras.layers.LSTM(units, dropout=0.1))

    def call(self, x):
        return self.both(x)


@register_valid()
class OuterSum(keras.layers.Layer):
    """A bias per channel and per row, by weights: broadcasts that are meant."""

    def build(self, input_shape):
        self.bias = self.add_weight(shape=(1, 1, 1, input_shape[-1]), initializer="zeros")

    def call(self, x):
        return x + self.bias


@register_valid()
class CoordinateChannels(keras.layers.Layer):
    """CoordConv: channels that depend on the place."""

    def call(self, x):
        shape = ops.shape(x)
        rows = ops.cast(ops.arange(shape[1]), x.dtype)[None, :, None, None]
        ones = ops.ones_like(x[..., :1])
        return ops.concatenate([x, ones * rows / 16], axis=-1)


@register_valid(inputs=[(2, 12, 8), np.array([[0, 3], [1, 11]])])
class Gathers(keras.layers.Layer):
    """Floats and indices."""

    def call(self, tokens, indices):
        return ops.take_along_axis(tokens, indices[..., None], axis=1)


@register_valid(config={"anchors": np.array([1.0, 2.0, 3.0])})
class ArrayForAComposite(vg.layers.Composite):
    """`Composite` writes an array into the config, and reads it back."""

    def __init__(self, anchors, **kwargs):
        super().__init__(**kwargs)
        self.anchors = anchors

    def call(self, x):
        return x * float(np.sum(self.anchors))
