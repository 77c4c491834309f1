"""Sublayers of a `Composite`: dtype policy, names, unknown heights and widths."""

import keras
import numpy as np
import pytest
from keras import ops

import visiongarden as vg
from visiongarden.backends.precision import dtype_policy
from visiongarden.backends.sublayers import with_sublayers
from visiongarden.errors import UserError
from visiongarden.layers import Composite, ConvNormAct


@vg.register(package="tests_inside")
class Inner(Composite):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.convs = [keras.layers.Conv2D(filters, 3, padding="same") for _ in range(2)]

    def call(self, x):
        return self.convs[1](self.convs[0](x))


@vg.register(package="tests_inside")
class Outer(Composite):
    def __init__(self, filters, exact=None, **kwargs):
        super().__init__(**kwargs)
        self.inner = Inner(filters)
        self.conv = ConvNormAct(filters, 1)
        self.attention = keras.layers.MultiHeadAttention(2, 4)
        self.exact = exact if exact is not None else keras.layers.Dense(3, dtype="float32")

    def call(self, x):
        y = self.conv(self.inner(x))
        return self.exact(self.attention(y, y))


@vg.register(package="tests_inside")
class Derived(Outer):
    """Without a custom constructor."""


class Plain:
    """Not a layer; its constructor comes first."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.note = "plain"


@vg.register(package="tests_inside")
class Mixed(Plain, Inner):
    """Whose constructor is that of another base."""


@pytest.mark.slow_backends
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_mixed_model_reopens_equal_under_float32(tmp_path, policy):
    images = np.random.default_rng(0).random((2, 8, 8, 3), dtype=np.float32)
    with dtype_policy(policy):
        inputs = keras.Input((8, 8, 3))
        model = keras.Model(inputs, Derived(4, name="derived")(inputs))
        before = ops.convert_to_numpy(model(images, training=False))
        model.save(tmp_path / "m.keras")
    assert keras.config.dtype_policy().name == "float32"
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(ops.convert_to_numpy(again(images, training=False)), before)
    policies = {layer.path: layer.dtype_policy.name for layer in with_sublayers(again)}
    inside = {
        name for path, name in policies.items() if "derived/" in str(path) and "exact" not in path
    }
    assert inside == {policy}
    assert policies["derived/exact"] == "float32"


def test_a_dtype_reaches_sublayers_and_nothing_else():
    layer = Outer(4, exact=keras.layers.Dense(3), dtype="mixed_bfloat16")
    assert layer.inner.convs[0].compute_dtype == "bfloat16"
    assert layer.conv.norm.dtype_policy.name == "mixed_bfloat16"
    assert layer.exact.compute_dtype == "float32", "a layer that was given keeps its own"
    assert keras.config.dtype_policy().name == "float32"
    with dtype_policy("mixed_float16"):
        assert Outer(4, dtype="float32").inner.convs[0].compute_dtype == "float32"
        assert keras.config.dtype_policy().name == "mixed_float16"


def test_constructors_of_other_bases_and_those_that_fail():
    assert Mixed(filters=4, dtype="mixed_float16").convs[0].compute_dtype == "float16"
    assert keras.config.dtype_policy().name == "float32"
    with pytest.raises(ValueError, match="filters"):
        Inner(-1, dtype="mixed_float16")
    assert keras.config.dtype_policy().name == "float32"


@vg.register(package="tests_inside")
class ManyNames(Composite):
    """Attributes whose names fall together once underscores and plurals are taken off."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.units = [keras.layers.Conv2D(3, 1), keras.layers.Conv2D(3, 1)]
        self.unit1 = keras.layers.Conv2D(3, 1)
        self.unit = [keras.layers.Conv2D(3, 1)]
        self.score = keras.layers.Conv2D(3, 1)
        self._score = keras.layers.Conv2D(3, 1)
        self.by_name = {"a/b": keras.layers.Conv2D(3, 1), "a_b": keras.layers.Conv2D(3, 1)}

    def call(self, x):
        layers = [*self.units, self.unit1, *self.unit, self.score, self._score]
        for layer in (*layers, *self.by_name.values()):
            x = layer(x)
        return x


def test_no_two_attributes_share_a_name(tmp_path):
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, ManyNames(name="many")(inputs))
    paths = [weight.path for weight in model.weights]
    assert len(set(paths)) == len(paths) == 16
    assert {"many/unit1/kernel", "many/unit1_2/kernel", "many/score_2/kernel"} <= set(paths)
    model.set_weights([np.random.default_rng(0).random(w.shape) for w in model.get_weights()])
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert [weight.path for weight in again.weights] == paths
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_duplicate_names_are_refused():
    class Twice(Composite):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.one = keras.layers.Conv2D(3, 1, name="conv")
            self.other = keras.layers.Conv2D(3, 1, name="conv")

        def call(self, x):
            return self.other(self.one(x))

    with pytest.raises(UserError, match="two sublayers named 'conv'"):
        Twice().build((None, 4, 4, 3))


@vg.register(package="tests_inside")
class Enlarge(Composite):
    """Nearest upsampling by reshape and broadcast, after a convolution."""

    def __init__(self, filters, static=False, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(filters, 1)
        self.static = static

    def call(self, x):
        x = self.conv(x)
        batch, height, width, channels = x.shape if self.static else ops.shape(x)
        x = ops.reshape(x, (batch, height, 1, width, 1, channels))
        x = ops.broadcast_to(x, (batch, height, 2, width, 2, channels))
        return ops.reshape(x, (batch, 2 * height, 2 * width, channels))


@pytest.mark.backends
def test_upsampling_by_reshape_with_unknown_sides(tmp_path):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, ConvNormAct(2, 3)(Enlarge(5)(inputs)))
    assert tuple(model.output_shape) == (None, None, None, 2)
    assert Enlarge(5).compute_output_shape((None, 8, None, 3)) == (None, 16, None, 5)
    enlarged = model.layers[1]
    for height, width in ((4, 6), (10, 8)):
        images = np.random.default_rng(0).random((2, height, width, 3), dtype=np.float32)
        wanted = ops.convert_to_numpy(enlarged.conv(images)).repeat(2, axis=1).repeat(2, axis=2)
        found = ops.convert_to_numpy(enlarged(images))
        np.testing.assert_allclose(found, wanted, atol=1e-6)
        assert model.predict(images, verbose=0).shape == (2, 2 * height, 2 * width, 2)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(
        again.predict(images, verbose=0), model.predict(images, verbose=0)
    )


def test_sizes_that_tensorflow_does_not_know_are_refused_at_the_build():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("other backends know every size when they run")
    with pytest.raises(UserError, match="unknown when TensorFlow traces") as error:
        Enlarge(5, static=True)(keras.Input((None, None, 3)))
    assert "keras.ops.shape" in error.value.fix


def test_the_first_error_stays_where_sides_are_not_the_cause():
    class Wrong(Composite):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.conv = keras.layers.Conv2D(3, 1)

        def call(self, x):
            return self.conv(x) @ undefined_name  # noqa: F821

    with pytest.raises(NameError, match="undefined_name"):
        Wrong().build((None, None, None, 3))
