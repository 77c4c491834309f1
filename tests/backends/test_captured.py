"""Captured functions equal the originals, or are not captured."""

import itertools

import keras
import numpy as np
import pytest

from visiongarden.backends import captured
from visiongarden.backends.captured import MAX_GRAPHS, Captured
from visiongarden.backends.seeded import uniform
from visiongarden.heads.region_proposals import SampleRegions, SamplingOrder
from visiongarden.layers import ConvNormAct, StochasticDepth

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.backends,
    pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch alone records"),
]


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(captured, "AFTER", 2)


def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, {"a": ConvNormAct(4, 3, 2)(ConvNormAct(4, 3)(inputs))})


def image(seed=0, size=8):
    random = torch.Generator().manual_seed(seed)
    return keras.ops.convert_to_tensor(torch.rand((2, size, size, 3), generator=random))


def numbers(x):
    return keras.ops.convert_to_numpy(x)


def step_of(model):
    """Gradient descent by a thousandth; returns the loss."""

    def step(x):
        with torch.enable_grad():
            loss = model(x, training=True)["a"].square().sum()
        values = [weight.value for weight in model.trainable_variables]
        for value, gradient in zip(values, torch.autograd.grad(loss, values), strict=True):
            value.sub_(0.001 * gradient)
        return loss.detach()

    return step


def test_a_step_of_training_is_that_of_the_layers():
    plain, other = network(), network()
    run = Captured(step_of(other), lambda: other.variables)
    for number in range(5):
        with torch.no_grad():
            assert float(step_of(plain)(image(number))) == float(run(image(number)))
    assert run.captured == 1
    for one, two in zip(plain.variables, other.variables, strict=True):
        np.testing.assert_array_equal(numbers(one), numbers(two))


class Sevenfold(torch.autograd.Function):
    """The identity, whose gradient is seven times what it should be."""

    @staticmethod
    def forward(ctx, x):
        return x * 1.0

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 7


def without(x):
    with torch.no_grad():
        constant = x * 2
    return x * constant


@pytest.mark.parametrize(("function", "expected"), [(Sevenfold.apply, 7.0), (without, 2.0)])
def test_a_custom_gradient_is_captured(function, expected):
    def gradient(x):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(function(x).sum(), x)[0]

    run = Captured(gradient)
    with torch.no_grad():
        for _ in range(4):
            np.testing.assert_array_equal(numbers(run(torch.ones(3))), np.full(3, expected))
    assert run.captured == 1


def test_nothing_is_captured_while_gradients_are_enabled():
    run = Captured(Sevenfold.apply)
    for _ in range(4):
        x = torch.ones(2, requires_grad=True)
        run(x).sum().backward()
        np.testing.assert_array_equal(numbers(x.grad), [7.0, 7.0])
    assert run.captured == 0


def test_a_state_that_was_not_named_is_noticed():
    model = network()
    # The moving averages change, and a recording would have changed them once more.
    run = Captured(lambda x: model(x, training=True)["a"] * model.variables[-1].value.sum())
    with torch.no_grad():
        for number in range(4):
            run(image(number))
    assert run.captured == 0


def test_weights_that_change_are_followed():
    model = network()
    run = Captured(lambda x: model(x, training=False))
    with torch.no_grad():
        for _ in range(4):
            run(image())
        model.set_weights([w * 0.5 for w in model.get_weights()])
        np.testing.assert_array_equal(numbers(run(image())["a"]), numbers(model(image())["a"]))
    assert run.captured == 1


def test_random_numbers_of_a_graph_are_those_of_keras():
    seeds, others = keras.random.SeedGenerator(3), keras.random.SeedGenerator(3)
    run = Captured(lambda x: x + uniform((2, 8, 8, 3), seeds), lambda: [seeds.state])
    with torch.no_grad():
        for number in range(6):
            x = image(number)
            wanted = x + keras.random.uniform((2, 8, 8, 3), seed=others)
            np.testing.assert_array_equal(numbers(run(x)), numbers(wanted))
    assert run.captured == 1


@pytest.mark.parametrize("name", ["StochasticDepth", "SamplingOrder", "SampleRegions"])
def test_layers_that_sample_are_captured(name):
    corners = keras.ops.convert_to_tensor([[[0.0, 0, k, k] for k in range(1, 9)]] * 2)
    calls = {
        "StochasticDepth": lambda layer, x: layer(x, training=True),
        "SamplingOrder": lambda layer, x: layer(x, training=True),
        # Boxes that depend on the image; two of them are the objects.
        "SampleRegions": lambda layer, x: layer(
            corners + x[:, 0, :, :1],
            corners[:, 3:5],
            keras.ops.ones((2, 2), "int32"),
            training=True,
        ),
    }
    makers = {
        "StochasticDepth": lambda: StochasticDepth(0.5, seed=3),
        "SamplingOrder": lambda: SamplingOrder(seed=3),
        "SampleRegions": lambda: SampleRegions(count=4, positive_share=0.5, seed=3),
    }
    layer, plain = makers[name](), makers[name]()
    run = Captured(lambda x: calls[name](layer, x), lambda: layer.variables)
    with torch.no_grad():
        for number in range(6):
            found, wanted = run(image(number)), calls[name](plain, image(number))
            np.testing.assert_array_equal(numbers(found), numbers(wanted))
    assert run.captured == 1


@pytest.mark.parametrize("what", ["seeded noise", "a number of a tensor", "a branch"])
def test_decisions_of_python_at_each_call_are_not_captured(what):
    scale = torch.tensor(1.0)
    seeds = keras.random.SeedGenerator(1)
    function = {
        "seeded noise": lambda x: x + keras.random.normal((2, 8, 8, 3), seed=seeds),
        "a number of a tensor": lambda x: x * scale.item(),
        "a branch": lambda x: x if x.mean() > 0 else -x,
    }[what]
    run = Captured(function)
    with torch.no_grad():
        for _ in range(4):
            run(image())
        scale += 1
        assert run.captured == 0
        if what == "a number of a tensor":
            np.testing.assert_array_equal(numbers(run(image())), numbers(image() * 2))
        elif what == "a branch":
            np.testing.assert_array_equal(numbers(run(-image())), numbers(image()))
        else:
            assert not torch.equal(run(image()), run(image()))


@pytest.mark.parametrize("read", [lambda x: x.tolist(), keras.ops.convert_to_numpy])
def test_functions_that_read_values_as_numbers_are_not_captured(read):
    run = Captured(lambda x: x * float(np.sum(read(x))))
    with torch.no_grad():
        for number in range(5):
            found = numbers(run(image(number)))
            np.testing.assert_array_equal(
                found, numbers(image(number) * float(np.sum(read(image(number)))))
            )
    assert run.captured == 0


def test_dropout_differs_from_call_to_call():
    layer = keras.layers.Dropout(0.5)
    run = Captured(lambda x: layer(x, training=True))
    with torch.no_grad():
        found = [numbers(run(image())) for _ in range(5)]
    assert all((one != two).any() for one, two in itertools.pairwise(found))


def test_few_captured_graphs_are_kept():
    run = Captured(lambda x: x + 1)
    for size, _ in itertools.product(range(1, MAX_GRAPHS + 4), range(4)):
        with torch.no_grad():
            np.testing.assert_array_equal(numbers(run(image(0, size))), numbers(image(0, size) + 1))
    assert run.captured == MAX_GRAPHS


def test_an_error_is_the_functions_own():
    run = Captured(lambda x: x + {"a": 1}["b"])
    with torch.no_grad():
        for _ in range(4):
            with pytest.raises(KeyError, match="b"):
                run(image())


def test_an_unexpected_failure_warns_once(monkeypatch):
    def fail(graph):
        raise AttributeError("no such private name")

    monkeypatch.setattr(captured, "_fold", fail)
    run = Captured(lambda x: x + 1)
    with torch.no_grad():
        run(image())
        with pytest.warns(UserWarning, match=r"capture a step \(AttributeError: no such private"):
            found = run(image())
        np.testing.assert_array_equal(numbers(found), numbers(image() + 1))
        for _ in range(3):  # warnings are errors
            run(image())
    assert run.captured == 0
