"""A recorded function: the same numbers, gradients and state; what must not be recorded is not."""

import itertools

import keras
import numpy as np
import pytest

from visiongarden.layers import ConvNormAct
from visiongarden.ops import recorded
from visiongarden.ops.recorded import MOST, Recorded

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.backends,
    pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch alone records"),
]


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(recorded, "AFTER", 2)


def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, {"a": ConvNormAct(4, 3, 2)(ConvNormAct(4, 3)(inputs))})


def image(seed=0, size=8):
    return torch.rand((2, size, size, 3), generator=torch.Generator().manual_seed(seed))


def test_gradients_and_moving_averages_are_those_of_the_layers():
    plain, other = network(), network()
    run = Recorded(lambda x: other(x, training=True), lambda: other.non_trainable_variables)
    for step in range(4):
        losses = [
            made["a"].square().sum()
            for made in (plain(image(step), training=True), run(image(step)))
        ]
        for loss in losses:
            loss.backward()
        assert float(losses[0].detach()) == float(losses[1].detach())
    assert run.recorded == 1
    for one, two in zip(plain.variables, other.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())
    for one, two in zip(plain.trainable_variables, other.trainable_variables, strict=True):
        np.testing.assert_array_equal(one.value.grad.numpy(), two.value.grad.numpy())


def test_weights_that_change_are_followed():
    model = network()
    run = Recorded(lambda x: model(x, training=False))
    with torch.no_grad():
        for _ in range(3):
            run(image())
        model.set_weights([w * 0.5 for w in model.get_weights()])
        np.testing.assert_array_equal(run(image())["a"].numpy(), model(image())["a"].numpy())
    assert run.recorded == 1


@pytest.mark.parametrize("what", ["seeded noise", "a number of a tensor", "a branch"])
def test_what_python_decides_at_each_call_is_not_recorded(what):
    scale = torch.tensor(1.0)
    seeds = keras.random.SeedGenerator(1)
    function = {
        "seeded noise": lambda x: x + keras.random.normal((2, 8, 8, 3), seed=seeds),
        "a number of a tensor": lambda x: x * scale.item(),
        "a branch": lambda x: x if x.mean() > 0 else -x,
    }[what]
    run = Recorded(function)
    with torch.no_grad():
        for _ in range(3):
            run(image())
        scale += 1
        assert run.recorded == 0
        if what == "a number of a tensor":
            np.testing.assert_array_equal(run(image()).numpy(), (image() * 2).numpy())
        elif what == "a branch":
            np.testing.assert_array_equal(run(-image()).numpy(), image().numpy())
        else:
            assert not torch.equal(run(image()), run(image()))


def test_dropout_differs_from_call_to_call():
    layer = keras.layers.Dropout(0.5)
    run = Recorded(lambda x: layer(x, training=True))
    found = [run(image()).numpy() for _ in range(5)]
    assert all((one != two).any() for one, two in itertools.pairwise(found))


def test_few_recordings_are_kept():
    run = Recorded(lambda x: x + 1)
    for size in range(1, MOST + 4):
        for _ in range(3):
            np.testing.assert_array_equal(run(image(0, size)).numpy(), (image(0, size) + 1).numpy())
    assert run.recorded == MOST
