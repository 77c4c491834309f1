"""Memory that a captured graph reuses: the results are the same, and no argument changes."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visiongarden.backends.reuse import reuse_memory

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.backends,
    pytest.mark.skipif(keras.backend.backend() != "torch", reason="captured graphs are PyTorch's"),
]

SHAPE = (64, 96)


def arguments():
    rng = np.random.default_rng(0)
    return [torch.from_numpy(rng.standard_normal(SHAPE).astype("float32")) for _ in range(2)]


def reused(function, *tensors):
    """Return how many operations reuse memory; the results and the arguments must not change."""
    tensors = tensors or arguments()
    from torch.fx.experimental.proxy_tensor import make_fx

    expected = function(*tensors)
    graph = make_fx(function)(*tensors)
    before = [x.clone() for x in tensors]
    count = reuse_memory(graph)
    for _ in range(2):
        found = graph(*tensors)
        for one, other in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
            assert torch.equal(one, other)
            assert one.stride() == other.stride()
        assert all(map(torch.equal, tensors, before))
    return count


def test_a_chain_of_operations_allocates_once():
    assert reused(lambda x, y: ((x * 2 + y) * y - 1).sigmoid()) == 4


def test_the_longest_update_of_an_optimizer_allocates_its_results_alone():
    def update(weights, gradient):
        velocity = 0.9 * weights + gradient
        return weights - 0.1 * (gradient + velocity), velocity

    # Two of the six operations return what the caller gets, or what another one reads later.
    assert reused(update) == 3


def test_a_gradient_is_written_into_that_of_the_result():
    def gradient(x, y):
        return torch.ops.aten.silu_backward(x * y, y) + 1

    assert reused(gradient) == 2


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: x + y,  # arguments
        lambda x, y: (lambda z: (z, z + 1))(x * y),  # returned as well
        lambda x, y: (lambda z: z.exp() + z)(x * y)[:0],  # read later
        lambda x, y: (lambda z: (z + 1) - z.t().reshape(SHAPE))(x * y)[:0],  # as a view
        lambda x, y: (x * y) + (x * y)[:1],  # broadcast
        lambda x, y: (x * y)[:, :48] + 1,  # a part
        lambda x, y: (x * y).double() + y.double().t().contiguous().t(),  # another layout
        lambda x, y: (x * y) > 0,  # another type
        lambda x, y: (x[:8] * y[:8]).sum(0, keepdim=True).expand(SHAPE) + 1,  # repeated elements
    ],
)
def test_what_is_read_later_is_not_overwritten(function):
    reused(function)


def test_a_view_of_all_elements_is_reused():
    assert reused(lambda x, y: (x * y).reshape(-1) + 1) == 1
    assert reused(lambda x, y: torch.ops.aten._unsafe_view(x * y, [-1]) + 1) == 1


def test_memory_that_is_read_through_a_hidden_view_is_kept():
    def function(x, y):
        product = x * y
        view = torch.ops.aten._unsafe_view(product, [-1])
        return product + 1, view * 2

    assert reused(function) == 1


def test_a_variable_that_changes_in_place_is_followed():
    from torch.fx.experimental.proxy_tensor import make_fx

    weights = torch.nn.Parameter(torch.ones(SHAPE), requires_grad=False)

    def step(x, y):
        moved = weights - (x * y + 1)
        weights.copy_(moved)
        return moved.sum()

    graph = make_fx(step)(*arguments())
    weights.fill_(1)
    assert reuse_memory(graph) == 2
    x, y = arguments()
    graph(x, y)
    assert torch.equal(weights, 1 - (x * y + 1))


UNARY = (
    torch.neg,
    torch.sigmoid,
    torch.t,
    torch.clone,
    lambda x: x.reshape(SHAPE) if x.numel() == 64 * 96 else x,
    lambda x: x[: x.shape[0] // 2 + 1],
    lambda x: x.flatten(),
    lambda x: x.sum(0, keepdim=True).expand(x.shape),
    lambda x: x.split(x.shape[0] // 2 + 1)[0],
    lambda x: (x > 0.5).double(),
)
BINARY = (torch.add, torch.mul, torch.maximum, lambda x, y: torch.where(x > y, x, y * 2))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 13), st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_any_program_returns_the_same(lines):
    def program(x, y):
        values = [x, y]
        for kind, first, second in lines:
            one, other = values[first % len(values)], values[second % len(values)]
            if kind < len(UNARY):
                values.append(UNARY[kind](one if one.dim() == 2 else one[None]))
            else:
                if other.shape != one.shape:
                    other = one
                values.append(BINARY[kind - len(UNARY)](one, other))
        kept = {first % len(values) for _, first, _ in lines[::3]}
        return [values[-1], *(values[i] for i in sorted(kept))]

    reused(program)
