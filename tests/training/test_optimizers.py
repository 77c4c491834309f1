"""The vector optimizers equal PyTorch's, weight by weight."""

import keras
import numpy as np
import pytest

from visiongarden.training.optimizers import SGD, AdamW, WarmupCosine

torch = pytest.importorskip("torch")
SHAPES = [(3, 4), (4,), (2, 2, 3, 5), (5,)]


def steps(optimizer, gradients):
    variables = [keras.Variable(start(i), name=f"v{i}") for i in range(len(SHAPES))]
    optimizer.build(variables)
    for row in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in row], variables)
    return [keras.ops.convert_to_numpy(v.value) for v in variables]


def start(i):
    return np.random.default_rng(i).normal(size=SHAPES[i]).astype(np.float32)


def gradients(count, scale=1.0):
    rng = np.random.default_rng(9)
    return [[scale * rng.normal(size=s).astype(np.float32) for s in SHAPES] for _ in range(count)]


def by_torch(make, rows, clip=None):
    tensors = [torch.nn.Parameter(torch.tensor(start(i))) for i in range(len(SHAPES))]
    kernels = [t for t in tensors if t.ndim > 1]
    others = [t for t in tensors if t.ndim <= 1]
    optimizer = make(kernels, others)
    for row in rows:
        for tensor, gradient in zip(tensors, row, strict=True):
            tensor.grad = torch.tensor(gradient)
        if clip:
            torch.nn.utils.clip_grad_norm_(tensors, clip)
        optimizer.step()
    return [t.detach().numpy() for t in tensors]


@pytest.mark.backends
@pytest.mark.parametrize("clip", [None, 2.0])
def test_adamw_equals_torch(clip):
    rows = gradients(7)
    wanted = by_torch(
        lambda kernels, others: torch.optim.AdamW(
            [{"params": kernels, "weight_decay": 0.1}, {"params": others, "weight_decay": 0}],
            lr=0.01,
        ),
        rows,
        clip,
    )
    found = steps(AdamW(learning_rate=0.01, weight_decay=0.1, clip_norm=clip), rows)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


@pytest.mark.backends
def test_sgd_equals_torch():
    rows = gradients(7)
    wanted = by_torch(
        lambda kernels, others: torch.optim.SGD(
            kernels + others, lr=0.01, momentum=0.9, nesterov=True
        ),
        rows,
    )
    found = steps(SGD(learning_rate=0.01, momentum=0.9), rows)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


@pytest.mark.backends
def test_the_average_starts_with_the_weights_and_ramps_up():
    optimizer = SGD(learning_rate=1.0, momentum=0.0, ema_decay=0.5)
    variables = [keras.Variable(np.zeros((2, 2), np.float32))]
    optimizer.build(variables)
    values, average = 0.0, 0.0
    for step in range(12):
        optimizer.apply([keras.ops.full((2, 2), -1.0)], variables)
        values += 1
        kept = min(0.5, (1 + step) / (10 + step)) if step else 0
        average = kept * average + (1 - kept) * values
    found = keras.ops.convert_to_numpy(optimizer.averaged()[0])
    np.testing.assert_allclose(found, average, rtol=1e-5)
    assert keras.ops.convert_to_numpy(variables[0].value).tolist() == [[12, 12], [12, 12]]


def test_a_weight_without_a_gradient_stays():
    variables = [
        keras.Variable(np.ones((2, 2), np.float32)),
        keras.Variable(np.ones(3, np.float32)),
    ]
    optimizer = SGD(learning_rate=1.0)
    optimizer.build(variables)
    optimizer.apply([keras.ops.ones((2, 2)), None], variables)
    assert keras.ops.convert_to_numpy(variables[1].value).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.1), (9, 1.0), (10, 1.0), (60, 0.505), (110, 0.01), (500, 0.01)]
)
def test_warm_up_and_cosine(step, rate):
    schedule = WarmupCosine(1.0, steps=110, warmup=10, final=0.01)
    assert float(schedule(step)) == pytest.approx(rate, abs=1e-3)


@pytest.mark.backends
@pytest.mark.parametrize("kind", [AdamW, SGD])
def test_config_is_complete(kind):
    one = kind(learning_rate=WarmupCosine(0.1, 10), weight_decay=0.2, clip_norm=3.0, ema_decay=0.9)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(one))
    assert again.get_config() == one.get_config()
