"""Composite: build, shapes, config and names follow from `__init__` and `call`."""

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

    with pytest.raises(UserError, match=r"makes spare and never uses it"):
        Forgetful().build((None, 4, 4, 3))


@pytest.mark.parametrize(
    ("shapes", "sound"),
    [
        ([(None, 4, 4, 3), (None, 4, 4, 3)], True),
        ([(None, None, None, 3), (None, 4, 4, 3)], True),
        ([(None, 4, 4, 3), (None, 4, 4, 1)], False),
        ([(None, 4, 4, 3), (None, 4, 3)], False),
    ],
)
def test_sum_refuses_to_broadcast(shapes, sound):
    if sound:
        assert Sum().compute_output_shape(shapes) == shapes[0]
    else:
        with pytest.raises(UserError, match="different shapes"):
            Sum().compute_output_shape(shapes)
