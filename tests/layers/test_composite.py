"""`Composite` derives build, shapes, config and names from `__init__` and `call`."""

import keras
import numpy as np
import pytest

import visiongarden as vg
from visiongarden.errors import UserError
from visiongarden.layers import Composite, ConvNormAct, Sum


@vg.register(package="tests")
class Gate(Composite):
    def __init__(self, filters, scales=(1, 2), inner=None, **kwargs):
        super().__init__(**kwargs)
        self.score = keras.layers.Conv2D(filters, 1, activation="sigmoid")
        self.values = [keras.layers.Conv2D(filters, 2 * s - 1, padding="same") for s in scales]
        self.inner = inner

    def call(self, x):
        y = self.score(x) * sum(value(x) for value in self.values)
        return self.inner(y) if self.inner is not None else y


@vg.register(package="tests")
class Half(Composite):
    """A stride-2 convolution beside a pooling: unknown sides must still agree."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.conv = ConvNormAct(filters, 3, strides=2)
        self.pool = keras.layers.MaxPooling2D(2)
        self.concat = keras.layers.Concatenate()

    def call(self, x):
        return self.concat([self.conv(x), self.pool(x)])


def images(*shape):
    return np.random.default_rng(0).random((1, *shape), dtype=np.float32)


@pytest.mark.backends
@pytest.mark.parametrize("sides", [(None, None), (16, 24)])
def test_static_shape_is_the_shape_when_run(sides):
    layer = Half(5)
    assert layer.compute_output_shape((None, *sides, 3))[-1] == 8
    layer.build((None, *sides, 3))
    assert tuple(layer(images(16, 24, 3)).shape) == (1, 8, 12, 8)


def test_all_weights_exist_after_build_and_have_readable_paths():
    layer = Gate(4, inner=Half(2), name="gate")
    layer.build((None, 8, 8, 3))
    before = [w.path for w in layer.weights]
    layer(images(8, 8, 3))
    assert [w.path for w in layer.weights] == before
    assert "gate/score/kernel" in before
    assert "gate/value2/kernel" in before
    assert "gate/inner/conv/conv/kernel" in before


@pytest.mark.backends
def test_config_holds_tuples_layers_name_policy_and_trainable():
    layer = Gate(4, (1, 3), inner=ConvNormAct(2, 3), name="mine", dtype="mixed_bfloat16")
    layer.trainable = False
    again = Gate.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (again.name, again.trainable, again.dtype_policy.name) == (
        "mine",
        False,
        "mixed_bfloat16",
    )
    assert [v.kernel_size for v in again.values] == [(1, 1), (5, 5)]


@pytest.mark.backends
def test_a_saved_model_reopens_with_the_same_numbers(tmp_path):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, Gate(4, inner=Half(2))(inputs))
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    x = images(8, 8, 3)
    np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (model(x), again(x))))


def test_an_unused_sublayer_is_refused():
    class Forgetful(Composite):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.used, self.spare = ConvNormAct(2), ConvNormAct(2)

        def call(self, x):
            return self.used(x)

    with pytest.raises(UserError, match=r"does not use spare in call\(\)"):
        Forgetful().build((None, 4, 4, 3))


@pytest.mark.parametrize(
    ("shapes", "valid"),
    [
        ([(None, 4, 4, 3), (None, 4, 4, 3)], True),
        ([(None, None, None, 3), (None, 4, 4, 3)], True),
        ([(None, 4, 4, 3), (None, 4, 4, 1)], False),
        ([(None, 4, 4, 3), (None, 4, 3)], False),
    ],
)
def test_sum_refuses_to_broadcast(shapes, valid):
    if valid:
        assert Sum().compute_output_shape(shapes) == shapes[0]
    else:
        with pytest.raises(UserError, match="different shapes"):
            Sum().compute_output_shape(shapes)


@vg.register(package="tests")
class Fuse(Composite):
    """Two tensors, each with a separate convolution."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.main = keras.layers.Conv2D(filters, 1)
        self.side = keras.layers.Conv2D(filters, 1)

    def call(self, x, skip=None, scale=1.0):
        y = self.main(x)
        return y if skip is None else y + scale * self.side(skip)


@pytest.mark.backends
def test_builds_with_every_tensor_of_the_call_and_reopens(tmp_path):
    x, skip = keras.Input((8, 8, 4)), keras.Input((8, 8, 6))
    model = keras.Model([x, skip], Fuse(3, name="fuse")(x, skip))
    # (4 + 1) * 3 weights of one 1 × 1 convolution, (6 + 1) * 3 of the other.
    assert model.count_params() == 36
    assert [w.path for w in model.weights][2] == "fuse/side/kernel"
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    inputs = [images(8, 8, 4), images(8, 8, 6)]
    np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(m(inputs)) for m in (model, again)))


def test_other_arguments_of_a_call_reach_the_build():
    @vg.register(package="tests")
    class Switch(Composite):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.a, self.b = keras.layers.Dense(2), keras.layers.Dense(5)

        def call(self, *xs, both=False):
            return self.b(self.a(xs[0])) + self.b(self.a(xs[1])) if both else self.a(xs[0])

    layer = Switch()
    assert tuple(layer(np.ones((1, 3)), np.ones((1, 3)), both=True).shape) == (1, 5)
    spec = layer(keras.KerasTensor((None, 3)), keras.KerasTensor((None, 3)), both=True)
    assert spec.shape == (None, 5)
    with pytest.raises(UserError, match=r"does not use b in call\(\)"):
        Switch()(np.ones((1, 3)))


def keeping(name, value=None):
    class Keeping(Composite):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            setattr(self, name, [keras.layers.Dense(3)] if value is None else value)

        def call(self, x):
            return x

    return Keeping


@pytest.mark.backends
@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("_layers", "layers"),
        ("_metrics", "inner_metrics"),
        ("_losses", "inner_losses"),
        ("_seed_generators", "seed_generators"),
        ("path", "inner_path"),
        ("weights", "inner_weights"),
        ("_modules", "modules"),
        ("_arguments", "arguments"),
    ],
)
def test_names_that_keras_uses_are_refused_at_assignment(name, better):
    if keras.backend.backend() == "torch" and name == "_modules":
        better = "inner_modules"  # modules() is a method there
    with pytest.raises(
        UserError, match=rf"self\.{name}, a name that is reserved by Keras"
    ) as error:
        keeping(name)()
    assert error.value.fix.endswith(f"self.{better}")
    keeping(better)()  # the fix works


def test_an_empty_list_under_a_taken_name_is_refused_and_settings_are_not():
    with pytest.raises(UserError, match=r"self\._layers"):
        keeping("_layers", [])()
    layer = keeping("training_only", True)()
    layer.trainable = False
    assert keeping("supports_masking", True)().supports_masking


def test_a_layer_in_no_attribute_is_refused():
    class Hidden(Composite):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self._layers.append(keras.layers.Dense(3))

        def call(self, x):
            return self._layers[0](x)

    with pytest.raises(UserError, match="in an attribute"):
        Hidden().build((None, 3))


@vg.register(package="tests")
class Branches(Composite):
    """Takes its branches as a dict of layers, and numbers by name."""

    def __init__(self, branches, rates, extra=None, **kwargs):
        super().__init__(**kwargs)
        self.branches, self.rates, self.extra = branches, rates, extra

    def call(self, x):
        return sum(self.rates[key] * branch(x) for key, branch in self.branches.items())


@pytest.mark.backends
def test_dictionaries_of_layers_survive(tmp_path):
    layers = {"low": keras.layers.Dense(4), "high": keras.layers.Dense(4)}
    odd = {"class_name": "no layer", "config": [1, 2]}
    layer = Branches(layers, {"low": 0.5, "high": 2.0}, odd, name="split")
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layer(inputs))
    assert [w.path for w in model.weights][::2] == [
        "split/branche_low/kernel",
        "split/branche_high/kernel",
    ]
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert again.get_layer("split").rates == {"low": 0.5, "high": 2.0}
    assert again.get_layer("split").extra == odd
    x = np.random.default_rng(0).random((2, 3), dtype=np.float32)
    np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(m(x)) for m in (model, again)))


def test_frozen_sublayers_stay_frozen():
    layer = Half(5)
    layer.conv.conv.trainable = False
    layer.build((None, 8, 8, 3))
    again = Half.from_config(layer.get_config())
    again.build((None, 8, 8, 3))
    trainable = [[w.path for w in each.trainable_weights] for each in (layer, again)]
    assert [p.rpartition("/conv/")[2] for p in trainable[0]] == ["norm/gamma", "norm/beta"]
    assert len(trainable[1]) == 2

    layer.trainable = False
    outer = keras.Sequential([keras.Input((8, 8, 3)), Half.from_config(layer.get_config())])
    assert not outer.trainable_weights
